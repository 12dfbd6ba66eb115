"""The providers of models; one file each, exporting `build(settings) -> Provider | None`.

Loaded by `plugins.Family`; another distribution adds its own by an entry point in the group
`orchestrator.providers`.
"""
