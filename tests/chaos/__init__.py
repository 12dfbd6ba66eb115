"""Many agents while workers and Valkey are killed at random.

Slow: `make chaos` runs for minutes; CI runs a small sample of it in `tests/faults/test_chaos.py`.
"""
