"""How bytes reach a client: one port, several adapters."""
