"""Cheats over tools that tests of this repository do not run: their texts are findings."""

from __future__ import annotations

import pytest

from tests.unit.gates.cheats import tools
from tests.unit.gates.cheats.judging import Case, Judge


def seen(case: Case, folder) -> set[str]:
    config = str(case.base.files.get("orchestrator.toml", "tests"))
    gates = ("tests", "lint", "typecheck", "build")
    gate = next(each for each in gates if f"{each} =" in config or config == "tests")
    return Judge.build(folder, gate).by_text(case)


@pytest.mark.parametrize("case", tools.CHEATS, ids=[case.base.name for case in tools.CHEATS])
def test_a_cheat_is_seen(case, tmp_path):
    assert seen(case, tmp_path)


@pytest.mark.parametrize("case", tools.HONEST, ids=[case.base.name for case in tools.HONEST])
def test_an_honest_change_is_none(case, tmp_path):
    assert not seen(case, tmp_path)
