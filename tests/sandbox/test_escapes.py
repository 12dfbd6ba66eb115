"""What an agent in a container tries and cannot; each attempt is seen to work outside.

All targets are the test's own, and on this machine.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import psutil

#: Prints what connecting to each HOST:PORT came to.
CONNECT = """
import socket, sys
for target in sys.argv[1:]:
    host, _, port = target.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=2).close()
        print("reached")
    except OSError as error:
        print("refused")
"""
#: Attaches to a process as a debugger does; prints the errno, 0 if it could.
ATTACH = """
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
pid = int(sys.argv[1])
if libc.ptrace(16, pid, 0, 0) == 0:
    os.waitpid(pid, 0)
    libc.ptrace(17, pid, 0, 0)
print(ctypes.get_errno())
"""
#: Forks until that fails; prints how often it did not.
FORK = """
import os, signal, sys
children = []
try:
    for _ in range(300):
        child = os.fork()
        if not child:
            signal.pause()
        children.append(child)
except BlockingIOError:
    pass
print(len(children))
for child in children:
    os.kill(child, 9)
"""


def outside(*argv, **options):
    """Run the same on this host: the control."""
    ran = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=300, **options)
    return ran.returncode, ran.stdout


@contextmanager
def neighbour(sandbox, spec, tmp_path):
    """Another agent's container; yields its workspace with a file, process and pid."""
    agent_id = f"{spec.agent_id}-2"
    root = tmp_path / "workspaces" / agent_id
    root.mkdir(mode=0o700)
    (root / "secret").write_text("the neighbour's")
    argv = ("sh", "-c", "echo ready; sleep 1000")
    with sandbox.start(replace(spec, agent_id=agent_id, argv=argv, cwd=root, root=root)) as process:
        assert process.read(30)
        yield root, process, pids_of(agent_id)[0]


def pids_of(agent_id):
    """The processes of an agent, as this host sees them."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("ORCH_AGENT_ID") == agent_id:
                found.append(process.pid)
        except psutil.Error:
            continue
    return found


def test_files_of_the_host(inside, tmp_path, agent_id):
    secret = tmp_path / "secret"
    secret.write_text("the host's")
    assert outside("cat", str(secret)) == (0, "the host's")
    assert inside("cat", str(secret)).exit_code == 1
    assert Path("/var/run/docker.sock").exists()
    seen = inside("sh", "-c", f"ls -A {tmp_path} {tmp_path}/workspaces; ls /var/run/docker.sock")
    assert seen.stdout.split() == [
        f"{tmp_path}:".encode(),
        b"workspaces",
        f"{tmp_path}/workspaces:".encode(),
        agent_id.encode(),
    ]


def test_valkey_and_every_address_of_the_host(inside, valkey_url):
    with socket.create_server(("0.0.0.0", 0)) as listener:
        port = listener.getsockname()[1]
        addresses = {
            address.address
            for interface in psutil.net_if_addrs().values()
            for address in interface
            if address.family is socket.AF_INET
        }
        targets = [f"127.0.0.1:{urlsplit(valkey_url).port}"]
        targets += [f"{address}:{port}" for address in sorted(addresses)]
        assert len(targets) > 2
        script = ("-c", CONNECT, *targets)
        assert set(outside(sys.executable, *script)[1].split()) == {"reached"}
        assert set(inside("python3", *script).stdout.split()) == {b"refused"}


def test_another_agents_workspace_and_container(inside, sandbox, spec, tmp_path):
    with neighbour(sandbox, spec, tmp_path) as (root, process, pid):
        assert outside("cat", str(root / "secret")) == (0, "the neighbour's")
        assert inside("cat", str(root / "secret")).exit_code == 1
        assert outside("kill", "-0", str(pid))[0] == 0
        ended = inside("sh", "-c", f"kill -9 -1; kill -9 {pid}; pkill -9 sleep; ls -d /proc/[0-9]*")
        assert len(ended.stdout.split()) <= 3
        assert process.read(0.1) == []
        assert process.exit_code is None


def test_a_debugger_on_a_neighbour(inside, sandbox, spec, tmp_path):
    with neighbour(sandbox, spec, tmp_path) as (_, _, pid):
        assert outside(sys.executable, "-c", ATTACH, str(pid)) == (0, "0\n")
        assert inside("python3", "-c", ATTACH, str(pid)).stdout == b"3\n"  # ESRCH


def test_what_is_only_to_be_read(inside, tmp_path):
    mirror = tmp_path / "mirror"
    mirror.mkdir()
    mirror.chmod(0o777)
    (mirror / "object").write_text("shared")
    (mirror / "object").chmod(0o666)
    write = f"cat {mirror}/object && echo more >> {mirror}/object"
    ended = inside("sh", "-c", write, readable=(mirror,))
    assert (ended.exit_code, ended.stdout) == (2, b"shared")
    assert inside("rm", "-f", str(mirror / "object"), readable=(mirror,)).exit_code == 1
    assert outside("sh", "-c", write)[0] == 0


def test_everything_but_the_workspace(inside, root):
    """Whoever wants to fill a disk finds no other; what is in memory counts as memory."""
    find = "find / -xdev -type d; find /dev /run /tmp -type d"
    write = 'while read -r d; do touch "$d/.w" 2>/dev/null && echo "$d"; done'
    ended = inside("sh", "-c", f"({find}) | {write}")
    assert set(ended.stdout.split()) <= {b"/tmp", b"/dev/shm", b"/dev/mqueue", bytes(root)}
    assert b"/tmp" in ended.stdout.split()
    assert inside("touch", "here").exit_code == 0
    assert (root / "here").exists()
    ended = inside("sh", "-c", "cp /bin/true /tmp/run && /tmp/run")
    assert ended.exit_code == 126  # nothing there may be executed
    many = inside("sh", "-c", "dd if=/dev/zero of=/tmp/f bs=1M count=10240; echo $?")
    assert many.exit_code == -9 or not many.stdout.endswith(b"0\n")


def test_a_fork_bomb(inside, sandbox, spec, tmp_path):
    assert int(outside(sys.executable, "-c", FORK)[1]) == 300
    with neighbour(sandbox, spec, tmp_path) as (_, process, _):
        assert int(inside("python3", "-c", FORK).stdout) < 64
        assert process.exit_code is None


def test_more_memory_than_it_may_have(sandbox, spec):
    eat = "b = []\nwhile len(b) < 10_240: b.append(b'x' * 2**20)"
    with sandbox.start(replace(spec, argv=("python3", "-c", eat))) as process:
        while process.exit_code is None:
            process.read(5)
    assert process.exit_code == -9
    assert process.limit_hit == "its limit of 256.0MiB of memory (ORCHESTRATOR_SANDBOX_MEMORY)"
    assert outside(sys.executable, "-c", "b'x' * (400 * 2**20)")[0] == 0


def test_rights_of_another(inside, tmp_path):
    """A setuid program of root's gives root's rights outside, and none inside."""
    tools = tmp_path / "tools"
    tools.mkdir()
    shutil.copy("/usr/bin/id", tools / "id")
    (tools / "id").chmod(0o4755)
    for folder in (tools, *tools.parents):
        if folder.is_relative_to("/tmp") and folder.stat().st_uid == 0:
            folder.chmod(folder.stat().st_mode | 0o011)
    assert outside(str(tools / "id"), "-u", user=10_001) == (0, "0\n")
    assert inside(str(tools / "id"), "-u", readable=(tools,)).stdout == b"10001\n"
    status = inside("cat", "/proc/self/status").stdout.decode()
    held = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    assert {int(held[name], 16) for name in ("CapEff", "CapPrm", "CapBnd", "CapInh")} == {0}
    assert (held["NoNewPrivs"], held["Seccomp"]) == ("1", "2")
    for attempt in ("mknod d b 8 0", "mount -t tmpfs t /tmp", "unshare -U true", "chroot / true"):
        assert inside("sh", "-c", attempt).exit_code != 0


def test_links_that_lead_out(inside, root, tmp_path):
    """Neither the agent nor what gives its files back, as root, follows one."""
    secret = tmp_path / "secret"
    secret.write_text("the host's")
    os.chown(secret, 4242, 4242)
    before = secret.stat()
    made = inside("sh", "-c", f"ln -s {secret} link; ln -s {tmp_path} folder; cat link")
    assert made.exit_code == 1
    assert inside("cat", "folder/secret").exit_code == 1
    assert outside("cat", str(root / "link")) == (0, "the host's")
    after = secret.stat()
    assert (after.st_uid, after.st_mtime_ns) == (before.st_uid, before.st_mtime_ns)
    assert tmp_path.stat().st_uid == os.geteuid()
    assert (root / "link").lstat().st_uid == os.geteuid()
