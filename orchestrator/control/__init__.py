"""The commands of people and clients: submit, kill, halt, pause, limits, API keys."""
