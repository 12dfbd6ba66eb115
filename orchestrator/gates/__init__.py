"""Quality gates: the checks that a change must pass before its delivery."""
