"""Days of a system in minutes: `python -m tests.soak`, `make soak`.

Slow because a real system runs, and each hour of it needs agents, a jump of all clocks and a sweep.
"""
