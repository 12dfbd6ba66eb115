"""The units of plain hosts: systemd reads them, and finds them as closed as the docs say."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy" / "systemd"
UNITS = sorted(path.name for path in FOLDER.glob("*.service"))
_DOCUMENTED = re.compile(r"^\| `(orchestrator-\w+\.service)` \| (\d\.\d) \|", re.MULTILINE)


def analyze(*arguments: str) -> str:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("no systemd-analyze: apt-get install systemd")
    # The empty last entry keeps systemd's own units, which ours come after.
    env = {**os.environ, "SYSTEMD_UNIT_PATH": f"{FOLDER}:"}
    ran = subprocess.run(
        ["systemd-analyze", *arguments], env=env, capture_output=True, text=True, check=False
    )
    return ran.stdout + ran.stderr


@pytest.mark.parametrize("unit", UNITS)
def test_systemd_understands_every_line(unit):
    reported = analyze("verify", "--man=no", str(FOLDER / unit)).splitlines()
    complaints = [
        line for line in reported if "orchestrator" in line and "not executable" not in line
    ]
    assert not complaints


def test_the_exposure_is_the_documented_one():
    documented = dict(_DOCUMENTED.findall((ROOT / "docs" / "deploying.md").read_text()))
    found = {}
    for unit in UNITS:
        reported = analyze("security", "--offline=true", str(FOLDER / unit))
        found[unit] = reported.rpartition(f"{unit}: ")[2].split()[0]
    assert found == documented
