"""A minute of chaos, as `make chaos` does it for five."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.timeout(900)
def test_every_agent_comes_to_its_right_end_whatever_is_killed_meanwhile():
    ran = subprocess.run(
        [sys.executable, "-m", "tests.chaos", "--seconds=30", "--agents=12"],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "right outcomes: 12" in ran.stdout
