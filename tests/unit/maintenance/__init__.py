"""Tests of `orchestrator.maintenance`."""
