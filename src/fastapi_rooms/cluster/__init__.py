"""This process among others: what every broker has in common."""
