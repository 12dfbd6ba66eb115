"""The capture program: it runs in the agent's sandbox, as the agent, on the standard library alone.

Its modules import each other by relative names, because a sandbox has no package `orchestrator`.
They import large modules of the library only where they need them, because a start costs more than
the work. The output is untrusted; `workspace.bundle` checks it on the other side.
"""
