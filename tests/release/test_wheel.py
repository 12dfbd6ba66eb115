"""What is released works where there is no checkout."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sdist, and the wheel that is built from it."""
    made = tmp_path_factory.mktemp("dist")
    subprocess.run(
        [sys.executable, "-m", "build", "--outdir", made, ROOT], check=True, capture_output=True
    )
    return made


def test_every_file_of_the_packages_is_in_both(dist):
    listed = subprocess.run(
        ["git", "ls-files", "--", "orchestrator", "workers", "celeryconfig.py"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout.splitlines()  # fmt: skip
    with zipfile.ZipFile(next(dist.glob("*.whl"))) as wheel:
        assert not set(listed) - set(wheel.namelist())
    with tarfile.open(next(dist.glob("*.tar.gz"))) as sdist:
        assert not set(listed) - {name.partition("/")[2] for name in sdist.getnames()}


@pytest.mark.timeout(600)
def test_the_wheel_runs_the_demo_in_an_empty_environment(dist, tmp_path):
    """No checkout, nothing of this environment, and only what the wheel itself asks for."""
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True)
    bin_ = tmp_path / "venv" / "bin"
    constraints = ROOT / "deploy" / "constraints.txt"
    subprocess.run(
        [bin_ / "pip", "install", "--quiet", "-c", constraints, next(dist.glob("*.whl"))],
        cwd=tmp_path, check=True, capture_output=True,
    )  # fmt: skip
    demo = subprocess.run(
        [bin_ / "orch", "demo"],
        cwd=tmp_path, capture_output=True, text=True, check=False, timeout=400,
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path)},
    )  # fmt: skip
    assert demo.returncode == 0, demo.stderr
