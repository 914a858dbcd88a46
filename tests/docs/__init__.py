"""The code in README.md and docs/ runs, and does what the text beside it says."""
