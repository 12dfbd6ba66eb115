"""Faults: what is killed, stopped, cut and restarted while agents run."""
