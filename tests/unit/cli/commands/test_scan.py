"""`orch scan`: exit 1 on findings, 0 without, 2 where nothing was scanned; never a secret shown."""

from __future__ import annotations

import contextlib
import json
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest
from click.testing import CliRunner

from orchestrator.cli import main
from tests.doubles.secret_maker import Maker

TOKEN = Maker(3).fill("ghp_{c30}")[0]
PASSWORD = Maker(4).fill("{x18}7")[0]
FIELDS = {"rule", "commit", "file", "line", "fingerprint"}


def git(folder: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=Someone", "-c", "user.email=someone@example.org")
    ended = subprocess.run(
        ("git", *identity, *arguments), cwd=folder, capture_output=True, text=True, check=True
    )
    return ended.stdout.strip()


def commit(folder: Path, name: str, content: str) -> str:
    (folder / name).write_text(content)
    git(folder, "add", "-A")
    git(folder, "commit", "--quiet", "-m", "more")
    return git(folder, "rev-parse", "HEAD")


@dataclass(frozen=True)
class Ended:
    returncode: int
    stdout: str
    stderr: str


def orch_scan(folder: Path, *arguments: str, **environ: str) -> Ended:
    with contextlib.chdir(folder):
        ended = CliRunner().invoke(
            main,
            ["scan", *arguments],
            env={"ORCHESTRATOR_HOME": str(folder.parent / "home"), **environ},
        )
    assert TOKEN not in ended.output
    assert PASSWORD not in ended.output
    return Ended(ended.exit_code, ended.stdout, ended.stderr)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A clone whose remote has its first commit."""
    folder = tmp_path / "checkout"
    git(tmp_path, "init", "--quiet", "--bare", "-b", "main", "remote.git")
    git(tmp_path, "clone", "--quiet", "remote.git", str(folder))
    commit(folder, "a.py", f"token = '{TOKEN}'\n")
    git(folder, "push", "--quiet", "origin", "HEAD:main")
    return folder


def test_without_an_option_it_is_what_no_remote_has_and_the_index(checkout):
    clean = orch_scan(checkout, "--json")
    assert (clean.returncode, clean.stdout) == (0, '{"findings": []}\n')
    added = commit(checkout, "b.py", f"x = 1\ntoken = '{TOKEN}'\n")
    commit(checkout, "b.py", "x = 1\n")
    (checkout / "c.py").write_text(f"password = '{PASSWORD}'\n")
    git(checkout, "add", "c.py")
    found = orch_scan(checkout / ".", "--json")
    assert found.returncode == 1
    document = json.loads(found.stdout)
    assert set(document) == {"findings"}
    assert all(set(finding) == FIELDS for finding in document["findings"])
    assert [(each["commit"], each["file"], each["line"]) for each in document["findings"]] == [
        (added, "b.py", 2),
        (None, "c.py", 1),
    ]


def test_staged_is_the_index_alone_and_people_get_a_table(checkout):
    commit(checkout, "b.py", f"token = '{TOKEN}'\n")
    clean = orch_scan(checkout, "--staged")
    assert (clean.returncode, clean.stdout) == (0, "")
    assert "no secrets found" in clean.stderr
    (checkout / "c [red]\x1b[31m.py").write_text(f"password = '{PASSWORD}'\n")
    git(checkout, "add", "-A")
    found = orch_scan(checkout, "--staged")
    assert found.returncode == 1
    assert "c [red].py:1" in found.stdout
    assert "\x1b" not in found.stdout


def test_a_range_is_its_commits_and_its_report_is_sarif(checkout, tmp_path):
    added = commit(checkout, "b.py", f"password = '{PASSWORD}'\n")
    commit(checkout, "c.py", "x = 1\n")
    report = tmp_path / "report.sarif"
    found = orch_scan(checkout, "--range", "origin/main..HEAD", "--json", "--sarif", str(report))
    assert found.returncode == 1
    (finding,) = json.loads(found.stdout)["findings"]
    assert finding["commit"] == added
    (result,) = json.loads(report.read_text())["runs"][0]["results"]
    assert result["partialFingerprints"] == {"orchestratorSecret/v1": finding["fingerprint"]}
    assert PASSWORD not in report.read_text()
    assert orch_scan(checkout, "--range", "HEAD~1..").returncode == 0


def test_an_allowed_finding_is_none(checkout, tmp_path):
    commit(checkout, "b.py", f"password = '{PASSWORD}'\n")
    (finding,) = json.loads(orch_scan(checkout, "--json").stdout)["findings"]
    origin = git(checkout, "remote", "get-url", "origin")
    allow = tmp_path / "allow.toml"
    allow.write_text(
        f"[[allow]]\nfingerprint = '{finding['fingerprint']}'\nrepository = '{origin}'\n"
        "reason = 'of the test server'\n"
    )
    allowed = orch_scan(checkout, ORCHESTRATOR_SECRET_ALLOW_LIST=str(allow))
    assert allowed.returncode == 0


@pytest.mark.parametrize(
    ("arguments", "reported"),
    [
        (("--range", "HEAD"), "must be A..B"),
        (("--range", "main...HEAD"), "must be A..B"),
        (("--range", "nowhere..HEAD"), "has no commit nowhere"),
        (("--range", "--output=x..HEAD"), "has no commit --output=x"),
        (("--sarif", "/nowhere/report.sarif"), "No such file or directory"),
        (("--staged", "--range", "HEAD~1..HEAD"), "exclude each other"),
    ],
)
def test_what_cannot_be_meant_is_exit_2(checkout, arguments, reported):
    ended = orch_scan(checkout, *arguments)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert reported in ended.stderr


def test_outside_a_checkout_it_says_so_in_one_line(tmp_path):
    ended = orch_scan(tmp_path)
    assert (ended.returncode, ended.stdout) == (2, "")
    said = f"{tmp_path} is in no git checkout. Call this inside a repository."
    assert ended.stderr == f"orch: {said} [repository_unavailable]\n"
    found = json.loads(orch_scan(tmp_path, "--json").stderr)
    assert found == {"error": said, "errorCode": "repository_unavailable", "exitCode": 2}
