"""Tests with real parts: Valkey, git, workers, processes."""
