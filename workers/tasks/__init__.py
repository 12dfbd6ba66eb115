"""The tasks, one file each; importing this registers them all."""

from workers.tasks import cleanup, gate_check, spawn, sweep

__all__ = ["cleanup", "gate_check", "spawn", "sweep"]
