"""The remembered runs of gates on base commits: one run for all, bounded, and never a false one."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.gates import base_records
from orchestrator.gates.base_records import BaseRecord, BaseRecords
from orchestrator.gates.run_record import RunRecord
from orchestrator.interfaces.environment import Environment
from orchestrator.interfaces.gate import PlannedGate
from orchestrator.interfaces.sandbox import SandboxImage
from orchestrator.models import GateStatus, Stage
from orchestrator.settings import load_settings

GATE = PlannedGate("lint", Stage.PRE_COMMIT, "ruff check .", 60)
RED = RunRecord(status=GateStatus.FAILED, exit_code=1, lines={"a:0: x": 1})


class Records:
    """The records of a host whose clock and runs a test controls."""

    def __init__(self, home: Path) -> None:
        self.now = 1e9
        self.runs = 0
        self.result = RED
        settings = load_settings({"ORCHESTRATOR_HOME": str(home), "PATH": "/bin"})
        self.image = ""
        self.records = BaseRecords(
            settings, "shim", image=lambda: self.image, clock=lambda: self.now
        )

    def get(
        self,
        base: str = "b1",
        gate: PlannedGate = GATE,
        environment: Environment | None = None,
    ) -> BaseRecord:
        return self.records.get(base, gate, environment, self.run, lambda: None)

    def run(self) -> tuple[RunRecord, ...]:
        self.runs += 1
        return (self.result, self.result)


@pytest.fixture
def records(tmp_path) -> Records:
    return Records(tmp_path)


def test_a_base_runs_once_also_for_another_process_of_the_host(records, tmp_path):
    first = records.get()
    assert first.is_red
    again = Records(tmp_path)
    assert again.get() == first
    assert (records.runs, again.runs) == (1, 0)


def test_a_new_image_under_the_same_name_runs_the_base_again(records):
    records.image = "sandbox:local sha256:1"
    records.get()
    records.get()
    assert records.runs == 1
    records.image = "sandbox:local sha256:2"
    records.get()
    assert records.runs == 2


@pytest.mark.parametrize(
    "other",
    [
        {"base": "b2"},
        {"gate": replace(GATE, command="ruff check src")},
        {"gate": replace(GATE, folder="web")},
        {"gate": replace(GATE, timeout_s=1)},
        {"environment": Environment(root=Path("/e/abc"))},
    ],
)
def test_another_base_command_or_environment_runs_again(records, other):
    records.get()
    records.get(**other)
    assert records.runs == 2


def test_why_a_command_was_chosen_does_not_matter(records):
    records.get()
    records.get(gate=replace(GATE, source="Makefile", hint="x"))
    assert records.runs == 1


def test_concurrent_agents_share_one_run(records):
    started, may_end = threading.Event(), threading.Event()

    def run() -> tuple[RunRecord, ...]:
        started.set()
        assert may_end.wait(240)
        return records.run()

    def get() -> BaseRecord:
        waits = may_end.set if started.is_set() else lambda: None
        return records.records.get("b1", GATE, None, run, waits)

    with ThreadPoolExecutor(4) as pool:
        first = pool.submit(get)
        assert started.wait(240)
        # The run ends as soon as one of the others waits for it.
        others = [pool.submit(get) for _ in range(3)]
        found = {one.result().model_dump_json() for one in (first, *others)}
    assert len(found) == 1
    assert records.runs == 1


def test_the_wait_for_another_agent_ends_with_a_kill(records):
    class Killed(Exception):
        pass

    started, may_end = threading.Event(), threading.Event()

    def run() -> tuple[RunRecord, ...]:
        started.set()
        assert may_end.wait(240)
        return (RED,)

    def check() -> None:
        raise Killed

    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(records.records.get, "b1", GATE, None, run, lambda: None)
        assert started.wait(240)
        with pytest.raises(Killed):
            records.records.get("b1", GATE, None, run, check)
        may_end.set()
        assert first.result().is_fault is False


def test_a_run_that_is_killed_leaves_nothing(records):
    def run() -> tuple[RunRecord, ...]:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        records.records.get("b1", GATE, None, run, lambda: None)
    assert records.records.find("b1", GATE, None) is None
    assert records.get().is_red


@pytest.mark.parametrize(
    ("status", "valid_s"),
    [(GateStatus.FAILED, 4 * 3600), (GateStatus.ERRORED, 600), (GateStatus.TIMED_OUT, 600)],
)
def test_a_record_grows_old(records, status, valid_s):
    records.result = RunRecord(status=status)
    records.get()
    records.now += valid_s - 1
    assert records.records.find("b1", GATE, None)
    records.now += 2
    assert records.records.find("b1", GATE, None) is None
    records.now -= valid_s + 2
    assert records.records.find("b1", GATE, None) is None, "a clock that was set back"


@pytest.mark.parametrize("content", [b"", b"{", b'{"looks": [], "at": 1e9}', b"\xff"])
def test_a_damaged_record_is_made_again(records, content):
    records.get()
    (file,) = (records.records.settings.home / "base-records").glob("*.json")
    file.write_bytes(content)
    assert records.get().is_red
    assert records.runs == 2


def test_all_records_are_forgotten_also_those_that_cannot_be_read(records):
    records.get()
    records.get(base="b2")
    folder = records.records.settings.home / "base-records"
    Path(folder, "other.json").write_text("{")
    assert records.records.forget("b2") == 1
    # A record of an earlier version does not say its base.
    records.get(base="")
    assert records.records.forget("b3") == 1
    assert records.records.forget() == 2
    assert not list(folder.glob("*.json"))


def test_the_folder_has_a_bound(records, monkeypatch):
    monkeypatch.setattr(base_records, "_MOST_KEPT", 3)
    for number in range(6):
        records.get(f"b{number}")
    folder = records.records.settings.home / "base-records"
    assert len(list(folder.glob("*.json"))) == 3
    monkeypatch.setattr(base_records, "_MOST_BYTES", 1)
    assert records.get("b9").is_red
    assert not list(folder.glob("*.json"))


def test_without_space_the_run_is_used_and_not_stored(records, monkeypatch):
    def full(*_args: object, **_named: object) -> tuple[int, str]:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(base_records.tempfile, "mkstemp", full)
    assert records.get().is_red
    assert records.records.find("b1", GATE, None) is None


def test_the_image_is_asked_for_once_in_a_run_and_is_the_repositorys_if_it_names_one(records):
    asked: list[str] = []

    def image() -> str:
        asked.append("own sha256:1")
        return asked[-1]

    run = replace(records.records, image=image).of_one_run()
    for gate in (GATE, replace(GATE, command="ruff format")):
        run.find("b1", gate, None)
    assert len(asked) == 1
    keys = {
        run._path("b1", GATE, environment)
        for environment in (
            None,
            Environment(root=Path("/e")),
            Environment(root=Path("/e"), image=SandboxImage("a", "sha256:1")),
            Environment(root=Path("/e"), image=SandboxImage("a", "sha256:2")),
        )
    }
    assert len(keys) == 4
