"""The workspace room, on real git."""
