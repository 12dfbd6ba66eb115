"""Where programs of agents and gates run: one file each, exporting `build(settings) -> Sandbox`."""
