"""The three stages of an agent, one folder or file for each queue: spawn, gate check, cleanup."""
