"""`orch audit` lists entries and checks the chain."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator.audit.log import Audit
from orchestrator.models import AuditAction, AuditMark
from orchestrator.settings import load_settings
from orchestrator.signing import signing_key
from orchestrator.store import keys
from orchestrator.wiring import clock, new_id
from tests.integration.audit.conftest import note

SIGNING_KEY = "s" * 40

ROOT = Path(__file__).parents[3]


@pytest.fixture
def orch(valkey_url, tmp_path):
    env = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT),
        "VALKEY_URL": valkey_url,
        "ORCHESTRATOR_HOME": str(tmp_path / "home"),
        "ORCHESTRATOR_SIGNING_KEY": SIGNING_KEY,
    }

    def run(*arguments, code=0, **environ):
        given = {name: value for name, value in (env | environ).items() if value is not None}
        done = subprocess.run(
            [sys.executable, "-m", "orchestrator.cli", "audit", *arguments],
            env=given, cwd=tmp_path, capture_output=True, text=True, timeout=300,
            check=False,
        )  # fmt: skip
        assert done.returncode == code, done.stderr
        assert "Traceback" not in done.stderr
        return done

    return run


@pytest.fixture
def written(store, tmp_path):
    settings = load_settings(
        {"ORCHESTRATOR_HOME": str(tmp_path), "ORCHESTRATOR_SIGNING_KEY": SIGNING_KEY}
    )
    audit = Audit(signing_key(settings, "audit"), clock, new_id)
    hostile = note("a-1", why="\x1b[2Jred\u202e\n2  forged", before="running", result="dead")
    halt = AuditAction(action="halt", who="bob", why="quota", scope="all")
    return store.follow(audit.append([hostile, halt]))


def test_the_list_shows_the_newest_last_and_a_reason_stays_on_its_line(orch, written):
    header, first, second = orch().stdout.splitlines()
    assert header.split() == ["SEQ", "TIME", "ACTION", "WHO", "ON", "BEFORE", "RESULT", "WHY"]
    assert first.split(maxsplit=3)[3] == "kill    ann  a-1  running  dead    red 2 forged"
    assert second.split()[3:] == ["halt", "bob", "all", "-", "-", "quota"]
    assert orch("--limit", "1").stdout.split()[8:] == second.split()
    assert orch("--agent", "a-1").stdout.splitlines()[1].split() == first.split()
    (entry,) = json.loads(orch("--agent", "a-1", "--json").stdout)["entries"]
    assert entry == written[0].wire()


def test_a_list_needs_no_key_and_makes_none(orch, written, tmp_path):
    orch(ORCHESTRATOR_SIGNING_KEY=None)
    assert not (tmp_path / "home" / "signing.key").exists()


def test_a_check_prints_the_head_and_takes_it_back(orch, written, store, client):
    first, second = orch("--verify").stdout.splitlines()
    assert first == "intact: 2 entries"
    noted = second.rpartition(" ")[2]
    reported = json.loads(orch("--verify", "--expect", noted, "--json").stdout)
    assert reported["head"] == {"seq": 2, "mac": noted.partition(":")[2]}
    assert AuditMark.model_validate(reported["head"])
    assert "intact" in orch("--verify", "--expect", noted).stdout
    client.delete(keys.AUDIT, keys.AUDIT_HEAD)
    assert orch("--verify").stdout == "intact: 0 entries\n"
    assert "(set-back)" in orch("--verify", "--expect", noted, code=1).stderr


def test_a_check_that_fails_names_the_entry(orch, written, client):
    client.xdel(keys.AUDIT, "1-0")
    failed = orch("--verify", code=1)
    assert failed.stdout == ""
    assert "(dropped): entry 1 is missing" in failed.stderr
    reported = json.loads(orch("--verify", "--json", code=1).stdout)
    assert (reported["intact"], reported["fault"], reported["seq"]) == (False, "dropped", 1)
    assert "(other-key)" in orch("--verify", code=1, ORCHESTRATOR_SIGNING_KEY="o" * 40).stderr


@pytest.mark.parametrize(
    "arguments", [("--verify", "--expect", "2"), ("--expect", "1:" + "a" * 64)]
)
def test_a_mark_that_could_not_be_held_to_is_refused(orch, arguments):
    orch(*arguments, code=2)
