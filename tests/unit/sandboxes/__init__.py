"""Tests of `orchestrator.sandboxes`."""
