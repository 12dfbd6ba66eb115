"""Several hosts as containers of our own image, which share Valkey and a git remote.

Slow: each test starts containers with a whole system in them, waits until every service is ready,
and waits out real leases after it has taken a host away.
"""
