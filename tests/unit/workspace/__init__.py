"""the workspace package, on real git."""
