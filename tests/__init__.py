"""Tests: unit mirrors the source, contracts hold families, integration uses the real parts."""
