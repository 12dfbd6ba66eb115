"""Agents in real sandboxes try what they must not be able to do.

Slow: each test creates, kills and removes containers or confined process trees, and some restart
a Docker Engine of their own.
"""
