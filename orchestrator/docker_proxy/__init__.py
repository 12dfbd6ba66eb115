"""A filter before the Docker engine's socket: it lets through what the docker sandbox asks."""
