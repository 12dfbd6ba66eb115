"""Tests of `orchestrator.queries`."""
