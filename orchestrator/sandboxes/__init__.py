"""The sandboxes for programs of agents and gates: one file each, `build(settings) -> Sandbox`."""
