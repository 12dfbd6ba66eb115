"""Periodic work: recovery of agents, retention, orphans, consistency."""
