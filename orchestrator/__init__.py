"""The execution plane for fleets of coding agents: domain, control plane and producer."""

__version__ = "0.1.0"
