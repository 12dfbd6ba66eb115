"""The tasks, one file each; importing this package registers all of them."""

from workers.tasks import cleanup, gate_check, spawn, sweep

__all__ = ["cleanup", "gate_check", "spawn", "sweep"]
