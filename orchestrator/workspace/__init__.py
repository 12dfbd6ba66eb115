"""The only user of git: mirrors, agents' workspaces, their changes, and the push."""
