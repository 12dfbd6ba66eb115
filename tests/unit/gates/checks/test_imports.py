"""`orchestrator.gates.checks._imports`: which modules tests import, and from where."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest

from orchestrator.gates.checks._imports import import_paths, imported_from_elsewhere
from orchestrator.interfaces.gate import PlannedGate
from orchestrator.interfaces.run import Completed
from orchestrator.models import Stage


def test_python_finds_the_modules_of_a_folder_of_sources_first(tmp_path):
    assert import_paths(tmp_path) == {}
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "src").symlink_to("elsewhere")
    assert import_paths(tmp_path) == {}
    (tmp_path / "src").unlink()
    (tmp_path / "src").write_text("")
    assert import_paths(tmp_path) == {}
    (tmp_path / "src").unlink()
    (tmp_path / "src").mkdir()
    assert import_paths(tmp_path) == {"PYTHONPATH": str(tmp_path / "src")}


@pytest.mark.parametrize(
    ("command", "imports", "is_asked"),
    [
        ("python3 -m pytest", ("shop",), True),
        ("CI=1 python3 -m coverage run", ("shop",), True),
        ("python3 -m pytest", (), False),
        ("make test", ("shop",), False),
        (None, ("shop",), False),
    ],
)
@pytest.mark.parametrize(
    ("printed", "said"),
    [
        (json.dumps({"shop": "/other/shop.py"}), "import shop from /other/shop.py, and not"),
        ("{}", ""),
        ("no json", ""),
        ("", ""),
    ],
)
def test_a_module_from_elsewhere_is_named(tmp_path, command, imports, is_asked, printed, said):
    asked = []

    def run(argv: tuple[str, ...], *_: object) -> Completed:
        asked.append(argv[-1])
        output = f"noise\n{printed}\n".encode() if printed else b""
        return Completed(0, output, b"", timed_out=False, truncated=False, duration_ms=1)

    gate = PlannedGate("tests", Stage.PRE_COMMIT, command, 60, imports=imports)
    found = imported_from_elsewhere(gate, SimpleNamespace(checkout=tmp_path, run=run), {})
    assert asked == (["shop"] if is_asked else [])
    assert (said in found) if is_asked and said else (found == "")
