"""The interactive screen of `orch top`."""
