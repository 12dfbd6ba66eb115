"""Checks that Python's tests import the modules of the checkout, and no other copy of them."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path

from orchestrator.interfaces.gate import GateInput, PlannedGate

#: The commands that run the `python3` that the probe uses.
_PYTHON3 = re.compile(r"^(?:\w+=\S+ )*python3 -m (?:pytest|unittest|coverage)\b")
_PROBE = """\
import importlib.util, json, os, sys
root = os.path.realpath(sys.argv[1]) + os.sep
found = {}
for name in sys.argv[2:]:
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError):
        continue
    places = [spec.origin, *(spec.submodule_search_locations or ())] if spec else []
    places = [os.path.realpath(place) for place in places if place and os.path.exists(place)]
    if places and not any(place.startswith(root) for place in places):
        found[name] = places[0]
print(json.dumps(found))
"""
_PROBE_S = 30.0


def import_paths(checkout: Path) -> Mapping[str, str]:
    """Return the environment in which Python finds the modules of a checkout first."""
    source = checkout / "src"
    return {"PYTHONPATH": str(source)} if source.is_dir() and not source.is_symlink() else {}


def imported_from_elsewhere(
    gate: PlannedGate, subject: GateInput, environment: Mapping[str, str]
) -> str:
    """Return the modules that the tests would import from outside the checkout; empty if none.

    Raises the errors of `subject.run`.
    """
    if not gate.imports or not _PYTHON3.match(gate.command or ""):
        return ""
    argv = ("python3", "-c", _PROBE, str(subject.checkout), *gate.imports)
    ended = subject.run(argv, environment, b"", min(_PROBE_S, gate.timeout_s))
    try:
        found = json.loads(ended.stdout.splitlines()[-1])
        places = ", ".join(f"{name} from {place}" for name, place in sorted(found.items()))
    except (ValueError, IndexError, AttributeError, TypeError):
        # Without python3 the command itself reports the fault.
        return ""
    return (
        f"the tests would import {places}, and not the files of this change: remove that copy from"
        " the environment of the gates, or let the command install the checkout first"
        if places
        else ""
    )
