"""The halt: one key that stops new work, set, read and lifted."""

from __future__ import annotations

from orchestrator.models import (
    Halt,
)
from orchestrator.store import keys
from orchestrator.store.operations import (
    Operation,
    command,
    essential,
    nothing,
    read_record,
)


def set_halt(halt: Halt) -> Operation[None]:
    """Set the latch; the last to set it is the one who is named."""
    return essential("SET", keys.HALT, halt.model_dump_json(by_alias=True), decode=nothing)


def find_halt() -> Operation[Halt | None]:
    """Read the latch; None where the system is not halted."""
    return read_record(Halt, keys.HALT)


def lift_halt() -> Operation[bool]:
    """Lift the latch; False where there was none."""
    return command("UNLINK", keys.HALT, decode=bool)
