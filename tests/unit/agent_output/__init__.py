"""Reading what agents print."""
