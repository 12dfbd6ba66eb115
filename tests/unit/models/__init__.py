"""Tests of `orchestrator.models`."""
