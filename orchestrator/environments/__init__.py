"""How a repository's dependencies are found, installed once, stored and given to checkouts."""
