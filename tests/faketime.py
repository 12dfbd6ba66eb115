"""A wall clock that a test sets for the programs it starts; it needs Debian's `faketime`."""

from __future__ import annotations

from pathlib import Path

_SLEEP = Path(__file__).parent / "doubles" / "faked_sleep"
LIBRARY = next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"), Path("/no-faketime"))


def faked(offset: Path) -> dict[str, str]:
    """Let a program's wall clock differ by what the file says, whenever it says so."""
    return {
        "LD_PRELOAD": str(LIBRARY),
        "FAKETIME_TIMESTAMP_FILE": str(offset),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "PYTHONPATH": str(_SLEEP),
    }
