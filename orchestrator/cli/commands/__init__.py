"""The commands of `orch`, one file for each subject."""
