"""The kinds of agents: one file each, exporting `build(settings) -> AgentBackend`.

Loaded by `plugins.Family`; another distribution adds its own by an entry point in the group
`orchestrator.agents`.
"""
