"""Containers end with what they are for: program, kill, worker, engine; and nothing is left."""

from __future__ import annotations

import os
import signal
import socket
import stat
import subprocess
import sys
import threading
import uuid
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path

import docker
import pytest

from orchestrator.errors import BackendUnavailable, SandboxLost, SandboxUnavailable
from orchestrator.host.cancel_scope import CancelScope, working_in
from orchestrator.host.processes import Host, system_label
from orchestrator.sandboxes.docker import DockerSandbox
from orchestrator.workspace.disk import remove_tree
from tests.processes import Observer, eventually, marked
from tests.sandbox.conftest import IMAGE, SOCKET, settings_at

#: A worker that holds one container, until it is killed.
WORKER = """
import sys
from pathlib import Path
from orchestrator.interfaces.sandbox import ProcessSpec
from orchestrator.sandboxes.docker import DockerSandbox
from tests.sandbox.conftest import settings_at

home, root = map(Path, sys.argv[1:3])
sandbox = DockerSandbox(settings_at(home, ORCHESTRATOR_SUPERVISOR_DEADLINE="2s"))
spec = ProcessSpec(agent_id=sys.argv[3], argv=("sh", "-c", "setsid sleep 999 & sleep 999"), env={},
                   cwd=root)
with sandbox.start(spec) as process:
    print("ready", flush=True)
    while True:
        process.read(60)
"""


def supervisor_of(agent_id):
    """The first process of an agent's container, as this host sees it."""
    (found,) = (
        pid
        for pid in marked(agent_id)
        if b"orchestrator.shim" in Path(f"/proc/{pid}/cmdline").read_bytes()
    )
    return found


@pytest.fixture
def worker(home, root, left, agent_id):
    """A worker process, and the processes of its container."""
    command = [sys.executable, "-c", WORKER, str(home), str(root), agent_id]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=Path(__file__).parents[2]) as made:
        assert made.stdout.readline() == b"ready\n"
        eventually(lambda: len(marked(agent_id)) >= 3)
        observer = Observer()
        observer.record(*marked(agent_id))
        try:
            yield made, observer
        finally:
            made.send_signal(signal.SIGCONT)
            made.kill()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_a_worker_that_is_gone_or_stuck_keeps_nothing_alive(worker, sandbox, left, number):
    """By the pipe to the first process inside alone; what is left of it the next sweep removes."""
    process, observer = worker
    process.send_signal(number)
    eventually(lambda: not observer.alive())
    eventually(lambda: left() == ["exited"])
    process.kill()
    process.wait()
    assert sandbox.end_orphans() == frozenset()
    assert left() == []
    assert not list(sandbox._folders._folder.iterdir())


def test_a_worker_that_is_well_is_heard(home, spec, left):
    sandbox = DockerSandbox(settings_at(home, ORCHESTRATOR_SUPERVISOR_DEADLINE="1s"))
    with sandbox.start(replace(spec, argv=("sleep", "2.5"))) as process:
        eventually(lambda: process.read(1) or process.exit_code is not None)
    assert process.exit_code == 0


def test_what_runs_without_a_worker_is_ended_and_its_agent_named(
    worker, sandbox, home, left, agent_id
):
    """Were its first process deaf, too: here it is stopped from outside."""
    process, observer = worker
    host = Host(home, sandbox)
    assert host.orphans() == {}
    assert host.end_orphans(within_s=60) == frozenset()
    assert left() == ["running"]
    first = supervisor_of(agent_id)
    os.kill(first, signal.SIGSTOP)
    process.kill()
    process.wait()
    assert host.orphans() == {agent_id: (first,)}
    assert host.end_orphans(within_s=60) == {agent_id}
    assert not observer.alive()
    assert left() == []


def test_ending_all_of_a_host_asks_no_worker(worker, sandbox, home, left, agent_id):
    _, observer = worker
    assert Host(home, sandbox).end_all(within_s=60) == ({agent_id}, ())
    assert not observer.alive()
    assert left() == []


def test_a_kill_from_another_thread_ends_it_with_proof(sandbox, spec, left):
    cancel_scope = CancelScope()
    argv = ("sh", "-c", "trap '' TERM; setsid sleep 999 & echo ready; sleep 999")
    with working_in(cancel_scope), sandbox.start(replace(spec, argv=argv)) as process:
        assert process.read(30)
        threading.Thread(target=cancel_scope.end).start()
        while process.exit_code is None:
            process.read(30)
        assert process.exit_code == -9
    assert cancel_scope.has_proof
    assert cancel_scope.ended_at_s is not None
    assert left() == []


def test_an_agent_cannot_end_what_supervises_it(sandbox, spec, inside):
    """Nor take the place of its worker: the names of the pipes are gone before it runs."""
    ended = inside("sh", "-c", "kill -9 1; kill -STOP 1; ls -A /run/orchestrator; exit 7")
    assert (ended.exit_code, ended.stdout, ended.stderr) == (7, b"", b"")


def test_what_an_agent_is_told_by_its_environment_no_other_user_of_the_host_is_told(
    sandbox, spec, home
):
    """Command lines are anybody's to read; so is what the engine says, to who may ask it."""
    word = f"secret-{uuid.uuid4()}"
    argv = ("sh", "-c", 'echo "$COMMAND__ENV"; sleep 999')
    with sandbox.start(replace(spec, argv=argv, env={"COMMAND__ENV": word})) as process:
        assert eventually(lambda: process.read(1))[0].data.decode().strip() == word
        with closing(docker.APIClient(f"unix://{SOCKET}")) as client:
            mine = {"label": f"orchestrator.system={system_label(home)}"}
            [container] = client.containers(filters=mine)
            said = str(client.inspect_container(container["Id"]))
        lines = []
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            with suppress(OSError):
                lines.append(path.read_bytes())
    assert "orchestrator.shim" in said
    assert any(b"orchestrator.shim" in line for line in lines)
    assert word not in said
    assert not any(word.encode() in line for line in lines)


def test_a_supervisor_that_does_not_obey_is_ended_by_the_engine(sandbox, spec, left):
    with sandbox.start(replace(spec, argv=("sleep", "999"))) as process:
        os.kill(supervisor_of(spec.agent_id), signal.SIGSTOP)
        process.kill()
        assert process.exit_code == -9
        assert process.has_ended_itself
    assert left() == []


def test_a_container_ended_by_others_is_a_loss(sandbox, spec, left):
    """An operator, or an engine that stops: no fault of the agent's."""
    with sandbox.start(replace(spec, argv=("sleep", "999"))) as process:
        sandbox._engine.kill(process._id)
        with pytest.raises(SandboxLost) as lost:
            eventually(lambda: process.read(30) or process.exit_code)
    assert lost.value.retryable
    assert left() == []


def test_out_of_memory_in_a_child_is_not_the_agents_end(inside):
    eat = "python3 -c 'b\"x\" * 2**30' ; echo $?"
    ended = inside("sh", "-c", eat)
    assert (ended.exit_code, ended.stdout.split()[-1]) == (0, b"137")


def test_files_come_back_owned_as_before(sandbox, spec, root, inside):
    """Even while a second program, a checkpoint, comes and goes beside the first."""
    (root / "given").write_text("as root")
    (root / "given").chmod(0o600)
    with sandbox.start(replace(spec, argv=("sh", "-c", "read x; sleep 999"))):
        assert inside("cat", "given").stdout == b"as root"
        assert root.stat().st_uid == 10_001
    make = "mkdir -p d/e; cp /bin/true d/e/f; chmod 6755 d/e/f; touch g; id -u; id -g"
    assert inside("sh", "-c", make).stdout.split() == [b"10001", b"10001"]
    found = [root, *root.rglob("*")]
    assert len(found) == 6
    assert {(path.stat().st_uid, path.stat().st_gid) for path in found} == {(0, 0)}
    assert not (root / "d/e/f").stat().st_mode & (stat.S_ISUID | stat.S_ISGID)


def test_a_workspace_of_another_user_stays_that_users(sandbox, root, inside):
    os.chown(root, 4242, 4343)
    assert inside("sh", "-c", "touch made; id -u").stdout == b"4242\n"
    assert ((root / "made").stat().st_uid, (root / "made").stat().st_gid) == (4242, 4343)


@pytest.mark.parametrize("remover", [0, 4242])
def test_whatever_is_in_a_workspace_it_is_cleaned(tmp_path, root, remover):
    """Devices, sockets, pipes, setuid files, folders nobody may read: by root, and by its owner."""
    os.mkfifo(root / "pipe")
    (root / "setuid").write_text("")
    (root / "setuid").chmod(0o6777)
    with closing(socket.socket(socket.AF_UNIX)) as made:
        made.bind(str(root / "socket"))
    if not remover:
        os.mknod(root / "device", 0o600 | stat.S_IFBLK, os.makedev(7, 200))
    (root / "closed" / "within" / "deep").mkdir(parents=True)
    (root / "link").symlink_to("/")
    for path in root.rglob("*"):
        os.chown(path, remover or 10_001, 4242, follow_symlinks=False)
    os.chown(root.parent, remover, 4242)
    os.chown(root, remover or 10_001, 4242)
    for path in (root / "closed" / "within", root / "closed", root):
        path.chmod(0)
    for folder in tmp_path.parents:
        if folder.is_relative_to("/tmp"):
            folder.chmod(folder.stat().st_mode | 0o011)
    tmp_path.chmod(0o755)
    if remover:
        child = os.fork()
        if not child:
            try:
                os.setgid(4242)
                os.setuid(remover)
                remove_tree(root)
            finally:
                os._exit(0)
        os.waitpid(child, 0)
    else:
        remove_tree(root)
    assert not root.exists()


def test_the_image_brings_the_tools_and_the_host_what_it_lacks(sandbox, tmp_path, inside):
    seen = inside("sh", "-c", "echo $PATH; command -v git; command -v python3").stdout.split()
    assert b"/nowhere" not in seen
    assert len(seen) == 3
    program = tmp_path / "agent"
    program.write_text("#!/bin/sh\necho hello\n")
    program.chmod(0o755)
    assert inside(str(program)).stdout == b"hello\n"


def test_the_processor_time_of_all_it_starts(sandbox, spec):
    burn = "import time\nwhile time.process_time() < 0.5: pass"
    argv = ("sh", "-c", f"python3 -c '{burn}'; echo burnt; sleep 999")
    with sandbox.start(replace(spec, argv=argv)) as process:
        while not process.read(30):
            pass
        assert process.cpu_s() >= 0.5


def test_an_image_that_is_not_there_is_told_with_what_builds_it(home, spec):
    lacking = DockerSandbox(settings_at(home, ORCHESTRATOR_SANDBOX_IMAGE="no-such-image:local"))
    for ask in (lacking.check, lacking.start(spec).__enter__):
        with pytest.raises(BackendUnavailable, match="make sandbox-image"):
            ask()


def test_an_engine_that_is_away_is_told_and_may_come_back(home, spec, tmp_path):
    away = settings_at(home, DOCKER_SOCKET=str(tmp_path / "no.sock"))
    sandbox = DockerSandbox(away, engine_back_within_s=0.3)
    for ask in (sandbox.check, sandbox.start(spec).__enter__, sandbox.end_orphans):
        with pytest.raises(SandboxUnavailable, match="Start Docker") as reported:
            ask()
        assert reported.value.retryable
    threading.Timer(0.5, (tmp_path / "no.sock").symlink_to, [SOCKET]).start()
    with DockerSandbox(away).start(spec) as process:
        while process.exit_code is None:
            process.read(30)
    assert process.exit_code == 0


def test_a_container_that_an_engine_made_before_it_went_is_made_anew(
    sandbox, spec, left, inside, monkeypatch
):
    """Its reply is lost, and its name is taken: no fault of the agent's."""
    create, lost = sandbox._engine.create, []

    def lose_the_first_reply(*arguments):
        made = create(*arguments)
        if not lost:
            lost.append(made)
            raise SandboxUnavailable
        return made

    monkeypatch.setattr(sandbox._engine, "create", lose_the_first_reply)
    assert inside("true").exit_code == 0
    assert lost
    assert left() == []


def test_a_kill_ends_the_waiting_for_an_engine(home, spec, tmp_path):
    away = settings_at(home, DOCKER_SOCKET=str(tmp_path / "no.sock"))
    cancel_scope = CancelScope()
    cancel_scope.end()
    with (
        working_in(cancel_scope),
        pytest.raises(SandboxUnavailable),
        DockerSandbox(away, engine_back_within_s=9999).start(spec),
    ):
        pass


def test_it_says_engine_and_image(sandbox):
    assert sandbox.level == "docker"
    assert (IMAGE or "orchestrator-sandbox:local") in sandbox.check()
