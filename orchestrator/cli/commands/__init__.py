"""The commands of `orch`, one module per subject."""
