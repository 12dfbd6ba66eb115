"""The system that `orch up` runs on this machine."""
