"""No false approval: Python's tests import the files of the change, not another copy of them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import venv
from pathlib import Path
from typing import Any

import pytest

from tests.integration.test_gates_packages import make_checkout

FILES = {
    "pyproject.toml": '[project]\nname = "shop"\n',
    "src/shop/__init__.py": "def price(): return 1\n",
    "tests/test_shop.py": "import unittest, shop\nclass T(unittest.TestCase):\n"
    "    def test(self): self.assertEqual(shop.price(), 1)\n",
}


@pytest.fixture
def host(tmp_path) -> Path:
    """Make a Python of the host in which a release of the package is installed."""
    venv.create(tmp_path / "host", symlinks=True)
    (packages,) = (tmp_path / "host" / "lib").glob("python*/site-packages")
    (packages / "shop").mkdir()
    (packages / "shop" / "__init__.py").write_text(FILES["src/shop/__init__.py"])
    return tmp_path / "host" / "bin"


def judged(folder: Path, path: str) -> dict[str, Any]:
    ran = subprocess.run(
        [sys.executable, "-m", "orchestrator.cli", "gates", "run", "--profile=minimal", "--json"],
        cwd=folder,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.stdout, ran.stderr
    gate: dict[str, Any] = json.loads(ran.stdout)["reports"][0]["gates"][0]
    return gate


def test_a_package_below_src_is_the_changes_own_though_the_host_has_a_release(tmp_path, host):
    checkout = make_checkout(tmp_path / "c", FILES)
    path = f"{host}{os.pathsep}{os.environ['PATH']}"
    assert judged(checkout, path)["status"] == "passed"
    (checkout / "src/shop/__init__.py").write_text("raise RuntimeError\n")
    assert judged(checkout, path)["status"] == "failed"


@pytest.mark.parametrize("how", ["removed", "a link"])
def test_a_package_that_would_come_from_elsewhere_is_no_approval(tmp_path, host, how):
    checkout = make_checkout(tmp_path / "c", FILES)
    (checkout / "src").rename(checkout / "elsewhere")
    if how == "a link":
        (checkout / "src").symlink_to(tmp_path)
    gate = judged(checkout, f"{host}{os.pathsep}{os.environ['PATH']}")
    assert gate["status"] == "errored"
    assert "would import shop from" in gate["detail"]
    assert "site-packages" in gate["detail"]


def test_a_person_has_the_tools_of_the_environment_they_work_in(tmp_path):
    command = json.dumps(f'python3 -c "import sys; sys.exit(sys.prefix != {sys.prefix!r})"')
    files = {"orchestrator.toml": f"[gates]\ntests = {command}\n"}
    own = str(Path(sys.prefix, "bin"))
    gate = judged(make_checkout(tmp_path, files), f"{own}{os.pathsep}{os.environ['PATH']}")
    assert gate["status"] == "passed", gate
