"""Real processes are killed, stopped, cut and restarted while agents run.

Slow: a lost worker is noticed when its lease expires, and Valkey, supervisord and workers are
started again in most tests. The times are those of the product, since they are under test.
"""
