"""What every sandbox keeps, whichever file brings it."""

from __future__ import annotations

import importlib
import os
import signal

import pytest

from orchestrator.errors import BackendUnavailable, WorkspaceLost
from orchestrator.interfaces.sandbox import ProcessSpec
from orchestrator.settings import load_settings
from orchestrator.wiring.host import SANDBOXES

PATH = {"PATH": os.environ["PATH"]}


@pytest.fixture(params=SANDBOXES.names())
def sandbox(request, tmp_path_factory):
    home = tmp_path_factory.mktemp("home")
    image = os.environ.get("ORCHESTRATOR_SANDBOX_IMAGE", "")
    environ = {"ORCHESTRATOR_HOME": str(home), "ORCHESTRATOR_SANDBOX_IMAGE": image}
    return SANDBOXES.build(request.param, load_settings(environ))


@pytest.fixture
def spec_of(tmp_path):
    def make(*argv, env=PATH, cwd=tmp_path, stdin=b""):
        return ProcessSpec(agent_id="a-1", argv=argv, env=env, cwd=cwd, stdin=stdin)

    return make


def played(process):
    """Read to the end; returns stdout, stderr and the exit code."""
    said = {"stdout": b"", "stderr": b""}
    while process.exit_code is None:
        for chunk in process.read(5):
            assert 0 < len(chunk.data) <= 64 * 1024
            said[chunk.source] += chunk.data
    assert process.read(0) == []
    return said["stdout"], said["stderr"], process.exit_code


@pytest.mark.parametrize("name", SANDBOXES.names())
def test_it_says_what_it_is(name):
    assert importlib.import_module(f"{SANDBOXES.package}.{name}").__doc__


@pytest.mark.parametrize(
    ("command", "code"),
    [
        ("exit 0", 0),
        ("exit 1", 1),
        ("exit 137", 137),
        ("exit 255", 255),
        ("kill -KILL $$", -9),
        ("kill -TERM $$", -15),
        ("kill -SEGV $$", -11),
    ],
)
def test_exit_codes_and_signals_are_told_apart(sandbox, spec_of, command, code):
    with sandbox.start(spec_of("sh", "-c", command)) as process:
        assert played(process) == (b"", b"", code)


def test_all_output_is_read_before_the_end_is_known(sandbox, spec_of):
    command = "head -c 300000 /dev/zero; head -c 200000 /dev/zero >&2"
    with sandbox.start(spec_of("sh", "-c", command)) as process:
        stdout, stderr, code = played(process)
    assert (len(stdout), len(stderr), code) == (300_000, 200_000, 0)


@pytest.mark.parametrize("env", [{}, {"LANG": "C", "EMPTY": "", "ODD": "a=b\nc"}])
def test_the_program_sees_its_environment_and_nothing_else(sandbox, spec_of, env):
    with sandbox.start(spec_of("/usr/bin/env", "-0", env=env)) as process:
        stdout, _, _ = played(process)
    seen = dict(entry.split("=", 1) for entry in stdout.decode().split("\0") if entry)
    # The mark by which what slips away is found; what runs elsewhere has labels instead.
    seen.pop("ORCH_SYSTEM", None)
    assert seen == {**env, "ORCH_AGENT_ID": "a-1"}


def test_a_large_input_that_is_read_late_blocks_nobody(sandbox, spec_of):
    given = os.urandom(3_000_000)
    with sandbox.start(spec_of("sh", "-c", "echo first; cat", stdin=given)) as process:
        stdout, _, _ = played(process)
    assert stdout == b"first\n" + given


def test_a_large_input_that_is_never_read_blocks_nobody(sandbox, spec_of):
    with sandbox.start(spec_of("true", stdin=bytes(3_000_000))) as process:
        assert played(process) == (b"", b"", 0)


def test_it_runs_in_its_folder(sandbox, spec_of, tmp_path):
    with sandbox.start(spec_of("pwd")) as process:
        assert played(process)[0].decode().strip() == str(tmp_path)


@pytest.mark.parametrize("program", ["no-such-program", "./not-executable", "/"])
def test_a_program_that_cannot_run_is_named(sandbox, spec_of, tmp_path, program):
    (tmp_path / "not-executable").write_text("text")
    with (
        pytest.raises(BackendUnavailable, match=f"^{program}: "),
        sandbox.start(spec_of(program)),
    ):
        pass


def test_an_argument_that_is_too_long_is_no_crash(sandbox, spec_of):
    with pytest.raises(BackendUnavailable), sandbox.start(spec_of("true", "x" * 3_000_000)):
        pass


def test_a_folder_that_is_gone_is_a_lost_workspace(sandbox, spec_of, tmp_path):
    with (
        pytest.raises(WorkspaceLost, match="gone"),
        sandbox.start(spec_of("true", cwd=tmp_path / "gone")),
    ):
        pass


def test_terminate_asks_the_program_and_its_group(sandbox, spec_of):
    command = "trap 'echo asked; exit 7' TERM; echo ready; sleep 1000 & wait"
    with sandbox.start(spec_of("sh", "-c", command)) as process:
        assert process.read(5)[0].data == b"ready\n"
        process.terminate()
        stdout, _, code = played(process)
    assert (stdout, code) == (b"asked\n", 7)


def test_what_the_worker_ignores_is_not_ignored_in_the_program(sandbox, spec_of):
    """A shell that starts with a signal ignored cannot even set a trap for it."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with sandbox.start(spec_of("sh", "-c", "kill -INT $$; echo survived")) as process:
            assert played(process) == (b"", b"", -signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)


def test_kill_ends_a_program_that_ignores_being_asked(sandbox, spec_of):
    with sandbox.start(spec_of("sh", "-c", "trap '' TERM; echo ready; sleep 1000")) as process:
        assert process.read(5)[0].data == b"ready\n"
        process.terminate()
        process.kill()
        assert process.exit_code == -9
        process.kill()
        assert process.exit_code == -9


def test_kill_ends_a_program_whose_output_nobody_reads(sandbox, spec_of):
    with sandbox.start(spec_of("cat", "/dev/zero")) as process:
        assert process.read(5)
        process.kill()
        assert process.exit_code == -9


def test_reading_waits_no_longer_than_told(sandbox, spec_of):
    with sandbox.start(spec_of("sleep", "1000")) as process:
        assert process.read(0.01) == []
        assert process.exit_code is None
