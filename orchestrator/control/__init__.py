"""What people and clients ask for: submit, kill, halt, pause, limits, API keys."""
