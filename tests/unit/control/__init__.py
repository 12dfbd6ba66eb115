"""Unit tests of `orchestrator.control`."""
