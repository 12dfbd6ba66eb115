"""This host: processes of agents, control groups, cancel scopes, environment."""
