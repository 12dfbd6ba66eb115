"""The leases of agents: claimed, renewed, lost, and recovered."""
