"""Quality gates: what must hold of a change before it may leave."""
