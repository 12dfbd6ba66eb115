"""Reads what agents print, and counts what they spend."""
