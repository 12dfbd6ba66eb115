"""The Docker socket proxy: it passes only requests of the docker sandbox to the Docker Engine."""
