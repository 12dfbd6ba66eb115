"""`orchestrator.stages.gate_check.gate_trace`: it changes no run; without a trace it says so."""

from __future__ import annotations

import os
import subprocess
from dataclasses import replace

import pytest

from orchestrator.gates.plan import Plan
from orchestrator.host.file_watch import FileWatch
from orchestrator.interfaces.gate import FileChange, PlannedGate
from orchestrator.interfaces.run import Completed
from orchestrator.models import GateProfile, Stage
from orchestrator.stages.gate_check.gate_trace import GateTrace, Reads, Tracing, traced

CHANGES = (
    FileChange("run.cfg", b"a", b"b"),
    FileChange("app/a.py", b"a", b"b"),
    FileChange("app/a.yaml", None, b"b"),
    FileChange("gone.cfg", b"a", None),
)


def run(argv, env, stdin, timeout_s):
    del env
    ended = subprocess.run(argv, input=stdin, capture_output=True, check=False, timeout=timeout_s)
    return Completed(ended.returncode, ended.stdout, ended.stderr, False, False, 1)


def tracing(**more: object) -> Tracing:
    gate = PlannedGate("tests", Stage.PRE_COMMIT, "make test", 9.0)
    return Tracing(CHANGES, Plan(GateProfile.STANDARD, (gate,)), **more)


@pytest.fixture
def checkout(tmp_path):
    for change in CHANGES:
        if change.after is not None:
            file = tmp_path / "tree" / change.path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(change.after)
    return tmp_path / "tree"


def ended(checkout, command, trace):
    return trace.run(("/bin/sh", "-c", f"cd {checkout}; {command}"), {}, b"in", 9.0)


def test_the_command_ends_as_without_a_trace_and_what_it_opened_is_known(checkout):
    command = 'cat; cat run.cfg app/*; echo "$0 $1 \'" >&2; exit 7'
    with traced(tracing(), checkout, run) as trace:
        found = ended(checkout, command, trace)
        reads = trace.reads()
    plain = run(("/bin/sh", "-c", f"cd {checkout}; {command}"), {}, b"in", 9.0)
    assert (found.exit_code, found.stdout) == (plain.exit_code, plain.stdout) == (7, b"inbbb")
    assert found.stderr == plain.stderr
    assert reads.paths == {"run.cfg", "app/a.py", "app/a.yaml"}
    assert reads.gap == ""
    (finding,) = tracing().findings([("tests", reads)])
    assert (finding.kind, finding.path) == ("gate-file-changed", "run.cfg")
    assert not tracing().not_traced([("tests", reads)])


def test_what_another_stage_told_is_not_told_again(checkout):
    reads = [("tests", Reads(frozenset({"run.cfg"})))]
    found = tracing().findings(reads)
    assert found
    assert not tracing().findings(reads, found)
    # A finding of another kind does not say that the gate read it.
    other = [found[0].model_copy(update={"kind": "check-config-edited"})]
    assert tracing().findings(reads, other) == found


def test_an_edit_of_a_gates_file_is_no_excuse_for_a_red_gate_unless_it_is_allowed():
    reads = Reads(frozenset({"run.cfg"}))
    assert tracing().edits("tests", reads) == ("run.cfg: gate-file-changed",)
    assert tracing(may_edit=("*.cfg",)).edits("tests", reads) == ()


def test_a_run_on_another_machine_is_not_traced_and_says_so(checkout):
    """Its programs open other files of these names."""
    with traced(tracing(), checkout, lambda *_: run(("true",), {}, b"", 9.0)) as trace:
        ended(checkout, "cat run.cfg", trace)
        (entry,) = tracing().not_traced([("tests", trace.reads())])
    assert entry.gate == "tests"
    assert "not traced: none of its programs was seen" in entry.reason


def test_gates_that_run_in_place_are_not_traced_and_say_so(checkout):
    there, programs = tracing(is_in_place=True), []
    with traced(there, checkout, lambda *of: programs.append(of[0]) or run(*of)) as trace:
        assert ended(checkout, "cat run.cfg", trace).stdout == b"b"
        (entry,) = there.not_traced([("tests", trace.reads())])
    assert entry.reason.endswith("gates run in place")
    assert programs == [("/bin/sh", "-c", f"cd {checkout}; cat run.cfg")]
    assert not list(checkout.parent.glob("trace*"))


def test_a_run_that_this_host_cannot_watch_says_why(checkout):
    probe = checkout / "probe"
    probe.touch()
    trace = GateTrace(run, FileWatch(checkout, gap="inotify: Too many open files"), probe)
    ended(checkout, "cat run.cfg", trace)
    (entry,) = tracing().not_traced([("tests", trace.reads())])
    assert entry.reason.endswith("not traced: inotify: Too many open files")


def test_a_file_that_became_a_folder_is_not_read_as_a_file(checkout):
    """The change replaced the script `app` by a package of that name."""
    changes = (*CHANGES, FileChange("app", b"#!/bin/sh\n", None))
    with traced(replace(tracing(), changes=changes), checkout, run) as trace:
        ended(checkout, "ls app", trace)
        assert trace.reads().paths == set()


def test_a_gate_whose_command_never_ran_has_no_entry(checkout):
    with traced(tracing(), checkout, run) as trace:
        assert trace.run(("/bin/true",), {}, b"", 9.0).exit_code == 0
        assert trace.reads() == Reads()


def test_each_folder_of_a_change_is_read_once(tmp_path, monkeypatch):
    """A change had 30,000 files in one folder, and its gates were about to take hours."""
    changes = tuple(FileChange(f"data/{number}.csv", None, b"") for number in range(50))
    (tmp_path / "data").mkdir()
    for change in changes:
        (tmp_path / change.path).touch()
    listed = []
    listdir = os.listdir
    monkeypatch.setattr(os, "listdir", lambda path: listed.append(path) or listdir(path))
    with traced(replace(tracing(), changes=changes), tmp_path, run):
        pass
    assert listed == [tmp_path / "data"]
