"""The capture program: it runs in the agent's sandbox, as the agent, on the standard library alone.

Its modules import each other by relative names, because a sandbox has no package `orchestrator`,
and heavy parts of the library only where they are needed: a start costs more than the work.
What it writes is judged by `workspace.bundle` on the other side: nothing of it is believed.
"""
