"""`orch gates run`: the same gates for people and CI, on the checkout one stands in."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.conftest import SAMPLE, git

ALL_GATES = (
    "[gates]\n"
    'typecheck = "python3 -m compileall -q calc.py"\n'
    'lint = "python3 -m tabnanny calc.py"\n'
    'tests = "python3 -m unittest -q"\n'
    'coverage = {command = "python3 cover.py", report = "coverage.json"}\n'
)
COVER = (
    "import json\n"
    "totals = {'covered_lines': 9, 'num_statements': 10, 'percent_covered': 90.0}\n"
    "json.dump({'meta': {'format': 3}, 'files': {}, 'totals': totals},"
    " open('coverage.json', 'w'))\n"
)


@pytest.fixture
def checkout(tmp_path) -> Path:
    files = {
        "calc.py": SAMPLE["calc.py"],
        "test_calc.py": SAMPLE["test_calc.py"],
        "orchestrator.toml": ALL_GATES,
        "cover.py": COVER,
    }
    for name, content in files.items():
        (tmp_path / name).write_text(content)
    git("init", "-q", "-b", "main", cwd=tmp_path)
    git("add", "-A", cwd=tmp_path)
    git("commit", "-q", "-m", "Begin", cwd=tmp_path)
    git("checkout", "-q", "-b", "topic", cwd=tmp_path)
    return tmp_path


def gates_run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "orchestrator.cli", "gates", "run", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_a_good_checkout_passes_standard_each_time_and_progress_is_told(checkout):
    for _ in range(2):
        ran = gates_run(checkout, "--json")
        assert ran.returncode == 0, ran.stdout + ran.stderr
        document = json.loads(ran.stdout)
        assert document["approved"] is True
        assert set(document["gates"]) == {"typecheck", "lint", "tests", "coverage"}
        assert "tests passed" in ran.stderr


def test_uncommitted_work_is_judged_and_a_rejection_is_exit_3(checkout):
    (checkout / "calc.py").write_text("def add(a, b):\n    return 0\n")
    ran = gates_run(checkout)
    assert ran.returncode == 3
    assert "failed     tests" in ran.stdout
    assert "test_add" in ran.stdout


def test_what_runs_is_the_bases_whatever_the_checkout_says(checkout):
    (checkout / "orchestrator.toml").write_text(ALL_GATES.replace("unittest -q", "this"))
    document = json.loads(gates_run(checkout, "--profile", "minimal", "--json").stdout)
    (report,) = document["reports"]
    assert report["gates"][0]["command"] == "python3 -m unittest -q"
    assert report["findings"][0]["kind"] == "gate-config-edited"


def test_a_file_that_make_runs_for_a_gate_may_not_be_edited(checkout):
    (checkout / "Makefile").write_text("build:\n\tsh build.sh\n")
    (checkout / "build.sh").write_text("exit 1\n")
    git("add", "-A", cwd=checkout)
    git("commit", "-q", "-m", "Build", cwd=checkout)
    (checkout / "build.sh").write_text("exit 0\n")
    ran = gates_run(checkout, "--json", "--base=topic", "--profile=custom", "--gate=build")
    (report,) = json.loads(ran.stdout)["reports"]
    found = {(finding["kind"], finding["path"]) for finding in report["findings"]}
    assert found == {("gate-command-edited", "build.sh")}


def test_a_malformed_configuration_is_one_line_that_names_file_and_key(checkout):
    (checkout / "orchestrator.toml").write_text("[gates]\ntests = 7\n")
    git("commit", "-qam", "Break", cwd=checkout)
    ran = gates_run(checkout, "--base", "topic")
    assert ran.returncode == 3
    assert "orchestrator.toml [gates] tests" in ran.stderr


@pytest.mark.parametrize("base", ["absent", "--upload-pack=x"])
def test_a_base_that_is_not_there_is_one_line(checkout, base):
    ran = gates_run(checkout, f"--base={base}")
    assert ran.returncode == 1
    assert "Name another with --base" in ran.stderr


def test_outside_a_checkout_is_one_line(tmp_path):
    ran = gates_run(tmp_path)
    assert ran.returncode == 1
    assert "no git checkout" in ran.stderr
