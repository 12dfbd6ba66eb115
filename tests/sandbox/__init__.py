"""Agents that try what they must not be able to do, and engines that go away."""
