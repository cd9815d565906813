"""Best-arm identification with a fixed budget."""
