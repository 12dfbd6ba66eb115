"""The crash matrix: agents stopped each at one step of their life, a fault, and who looks on.

The system is a real one, nothing of it is changed: the `git` that stands first in its PATH, the
agent's script, a gate's command and a lock on a workspace make each agent wait where it is to be
met, once. `python -m tests.faults.crashes.table` writes the table in `docs/crash-matrix.md`.
"""
