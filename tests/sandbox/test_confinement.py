"""What a program confined by bubblewrap can read, write and reach."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from types import MappingProxyType

import pytest

from orchestrator.errors import BackendUnavailable
from orchestrator.interfaces.run import run_to_end
from orchestrator.interfaces.sandbox import ProcessSpec
from orchestrator.sandboxes import _bubblewrap
from tests.sandbox.levels import sandbox_at

ROOT = Path(__file__).parents[2]

NOBODY = 65_534


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """The home of a system with a secret, another agent's workspace, and this one's."""
    made = tmp_path / "home"
    for agent_id in ("a-1", "b-1"):
        (made / "workspaces" / agent_id / "tmp").mkdir(parents=True)
    (made / ".env").write_text("SECRET=1")
    (made / "valkey").mkdir()
    return made


def confined(
    home: Path,
    script: str,
    *,
    environ: Mapping[str, str] = MappingProxyType({}),
    dotenv: Path | None = None,
    **changes: object,
) -> str:
    """Return what a script prints in a workspace of this home."""
    root = home / "workspaces" / "a-1"
    given: dict[str, object] = {"root": root, **changes}
    spec = ProcessSpec(
        "a-1",
        ("sh", "-c", script),
        {"PATH": os.environ["PATH"], "HOME": str(root), "TMPDIR": str(root / "tmp")},
        root,
        **given,
    )
    ended = run_to_end(
        sandbox_at("bubblewrap", home, dotenv=dotenv, **environ),
        spec,
        timeout_s=240,
        output_limit_bytes=65_536,
    )
    return (ended.stdout + ended.stderr).decode()


ESCAPES = {
    "writes to the host": "touch /etc/x || touch /usr/x || touch /var/x || touch /x",
    "writes beside its workspace": "touch ../x || touch {home}/x || mkdir {home}/workspaces/c",
    "reads the system's home": "cat {home}/.env || ls {home}/valkey",
    "reads another's workspace": "ls {home}/workspaces/b-1 || ls {home}/workspaces | grep b-1",
    "reads homes": "find /root /home -type f -maxdepth 1 | grep .",
    "finds sockets of the host": "find /run /tmp -type s | grep . || ls /var/run/docker.sock",
    "sees processes of the host": "test $(ls /proc | grep -c '^[0-9]') -gt 6",
    "signals its supervisor": "kill -KILL $PPID && sleep 0.2 && ! kill -0 1",
    "gains capabilities": "grep CapEff /proc/self/status | grep -v 0000000000000000",
    "gains privileges": "! grep -q 'NoNewPrivs:.1' /proc/self/status",
    # What is there already: nothing is harmed if the sandbox lets it through.
    "sets the kernel": "cd /proc/sys/vm && v=$(cat swappiness) && echo $v > swappiness",
    "asks the kernel": "test -w /proc/sysrq-trigger && : > /proc/sysrq-trigger",
    "leaves its cgroup": "find /sys/fs/cgroup -name cgroup.procs -exec sh -c 'echo 0 > $0' {{}} ';'"
    " -print -quit | grep .",
    "makes a device": "mknod x b 8 0 || ls /dev/vda /dev/sda",
    "mounts": "mount -t tmpfs none tmp || umount /root",
    "reads what others may not": "cat /etc/shadow || ls /var/lib/docker/*",
    "follows a link out": "ln -s {home}/.env link; cat link",
}


@pytest.mark.parametrize("attempt", ESCAPES)
def test_a_confined_program_fails_when_it(home: Path, tmp_path: Path, attempt: str):
    script = ESCAPES[attempt].format(home=home, host=tmp_path)
    # Brace, not parenthesis: no subshell takes the place of the program below its first process.
    assert confined(home, f"{{ {script}; }} >/dev/null 2>&1; echo $?").strip() != "0"


@pytest.fixture
def elsewhere() -> Iterator[Path]:
    """A folder that programs see, and others may enter, as an installation's."""
    if not os.access("/opt", os.W_OK):
        pytest.skip("only root puts things where programs look")
    with TemporaryDirectory(dir="/opt") as made:
        Path(made).chmod(0o755)
        yield Path(made)


def test_the_files_that_settings_were_read_from_are_hidden_wherever_they_are(
    home: Path, elsewhere: Path
):
    """Whoever may read them: an ordinary user's programs are that user."""
    names = ("key", "unused", "linked", "settings.env", "allowed.toml", "include/other")
    (elsewhere / "include").mkdir()
    for name in names:
        (elsewhere / name).write_text(f"VALKEY_PASSWORD=secret-{name}\n")
    (elsewhere / "link").symlink_to("linked")
    environ = {
        "CLAUDE_API_KEY_FILE": str(elsewhere / "key"),
        "GIT_TOKEN_FILE": str(elsewhere / "unused"),
        "GIT_TOKEN": "wins",
        "GIT_TOKEN_HOSTS": "git.example",
        "ORCHESTRATOR_API_KEY_FILE": str(elsewhere / "link"),
        "VALKEY_PASSWORD_FILE": os.devnull,
        "ORCHESTRATOR_SECRET_ALLOW_LIST": str(elsewhere / "allowed.toml"),
        "ORCHESTRATOR_INCLUDE_DIR": str(elsewhere / "include"),
    }
    script = f"cd {elsewhere}; ls >{os.devnull} && ls; cat {' '.join(names)}"
    (elsewhere / "beside").touch()
    said = confined(home, script, environ=environ, dotenv=elsewhere / "settings.env")
    assert "beside" in said
    assert "secret" not in said


def test_root_s_programs_read_no_deeper_than_others_do(home: Path, elsewhere: Path):
    deep = elsewhere / "product" / "conf"
    deep.mkdir(parents=True)
    for name, mode in (("closed", 0o600), ("open", 0o644)):
        (deep / name).write_text(f"{name}-word")
        (deep / name).chmod(mode)
    # Looked for once in the life of a worker.
    _bubblewrap._closed.cache_clear()
    said = confined(home, f"cat {deep}/open {deep}/closed {deep}/*")
    assert "open-word" in said
    assert "closed-word" not in said


def test_a_confined_program_works_in_its_workspace_with_the_tools_of_the_host(home: Path):
    said = confined(
        home,
        "touch new && mktemp && touch /tmp/x /dev/null && git --version && python3 -c 'print(6*7)'"
        " && echo $PWD && sh -c 'exit 3'; echo $?",
    ).splitlines()
    root = home / "workspaces" / "a-1"
    assert Path(said[0]).parent == root / "tmp"
    assert said[-3:] == ["42", str(root), "3"]
    assert (root / "new").stat().st_uid == os.getuid()
    assert list((home / "workspaces").iterdir()) == [*(home / "workspaces").glob("?-1")]


def test_what_lies_below_a_hidden_home_is_there_if_the_program_needs_it(home: Path, tmp_path: Path):
    """A venv, and a tool that a folder of the PATH links to; and what the operator names."""
    tools, linked, named = (tmp_path / name for name in ("tools/bin", "away/x/bin", "named"))
    for folder in (tools, linked, linked.parent / "lib", named):
        folder.mkdir(parents=True)
    (linked / "tool").write_text(f"#!/bin/sh\ncat {linked.parent}/lib/data {named}/file\n")
    (linked / "tool").chmod(0o755)
    (linked.parent / "lib" / "data").write_text("data ")
    (named / "file").write_text("file")
    (tools / "tool").symlink_to(linked / "tool")
    (tmp_path / "private").write_text("private")
    path = f"{tools}:{os.environ['PATH']}"
    sandbox = sandbox_at("bubblewrap", home, PATH=path, ORCHESTRATOR_PROCESS_READABLE=str(named))
    root = home / "workspaces" / "a-1"
    script = f"tool; cat {tmp_path}/private || echo hidden; touch {named}/x || echo closed"
    spec = ProcessSpec("a-1", ("sh", "-c", script), {"PATH": path}, root, root=root)
    ended = run_to_end(sandbox, spec, timeout_s=240, output_limit_bytes=65_536)
    assert ended.stdout.decode().split() == ["data", "filehidden", "closed"]


def test_a_shim_of_a_version_manager_finds_its_installation(home: Path, tmp_path: Path):
    """As pyenv makes them: a program in `shims` starts one of the installations beside it."""
    manager = tmp_path / "manager"
    installed = manager / "versions" / "3" / "bin" / "tool"
    shim = manager / "shims" / "tool"
    for program, text in ((installed, "echo installed"), (shim, f'exec "{installed}" "$@"')):
        program.parent.mkdir(parents=True)
        program.write_text(f"#!/bin/sh\n{text}\n")
        program.chmod(0o755)
    path = f"{shim.parent}:{os.environ['PATH']}"
    assert confined(home, f"PATH={path} tool", environ={"PATH": path}) == "installed\n"


def test_without_a_network_there_is_none_and_only_what_confines_can_take_it(home: Path):
    """A listener of the test's own on loopback is reached with the host's network alone."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        reach = f"python3 -c 'import socket; socket.create_connection((\"127.0.0.1\", {port}))'"
        script = f"{reach} 2>/dev/null && echo reached; tail -n +3 /proc/net/dev | cut -d: -f1"
        assert "reached" in confined(home, script)
        assert confined(home, script, has_network=False).split() == ["lo"]
    spec = ProcessSpec("a-1", ("true",), {}, home, has_network=False)
    weak = sandbox_at("shim", home)
    with pytest.raises(BackendUnavailable, match="network"), weak.start(spec):
        pass


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder of an ordinary user's, where that can reach it."""
    with TemporaryDirectory() as made:
        Path(made).chmod(0o755)
        home = Path(made) / "home"
        home.mkdir()
        os.chown(home, NOBODY, NOBODY)
        yield home


#: Run as an ordinary user: which level is found, and what a program of it says at each.
ORDINARY = """
import os, sys
from pathlib import Path
from orchestrator.interfaces.run import run_to_end
from orchestrator.errors import SettingsInvalid
from orchestrator.interfaces.sandbox import ProcessSpec
from orchestrator.sandboxes.process import build
from orchestrator.settings import load_settings

home = Path(sys.argv[1])
environ = {"PATH": os.environ["PATH"], "ORCHESTRATOR_HOME": str(home)}
sandbox = build(load_settings(environ))
script = "id -u; touch here; ls -A /home /root 2>/dev/null | grep -v :; " \
    "grep processes /proc/self/limits | tr -s ' ' | cut -d' ' -f3; kill -KILL $$"
argv = ("sh", "-c", script)
spec = ProcessSpec("a-1", argv, {"PATH": os.environ["PATH"]}, home, has_network=False)
ended = run_to_end(sandbox, spec, timeout_s=240, output_limit_bytes=1000)
print(sandbox.level, *ended.stdout.decode().split(), ended.exit_code, (home / "here").exists())
try:
    build(load_settings({**environ, "ORCHESTRATOR_PROCESS_LEVEL": "cgroup"}))
except SettingsInvalid as error:
    print(error)
"""


def test_an_ordinary_user_is_confined_as_well_and_told_what_it_lacks(open_folder: Path):
    if os.getuid() != 0:
        pytest.skip("the other tests run as an ordinary user")
    python = shutil.which("python3.11", path="/usr/bin:/usr/local/bin")
    if python is None:
        pytest.skip("this user's Python is closed to others, and there is none beside it")
    ran = subprocess.run(
        [python, "-c", ORDINARY, str(open_folder)],
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": ":".join((str(ROOT), *sys.path))},
        cwd="/",
        user=NOBODY,
        group=NOBODY,
        extra_groups=(),
        capture_output=True,
        text=True,
        check=False,
    )
    reported, refused = ran.stdout.splitlines() or pytest.fail(ran.stderr)
    assert reported.split() == ["bubblewrap", str(NOBODY), "4096", "-9", "True"]
    assert "ORCHESTRATOR_PROCESS_LEVEL: cgroup cannot be had here" in refused


def test_without_a_network_the_way_out_is_the_socket_of_its_proxy(home: Path):
    with socket.socket(socket.AF_UNIX) as proxy:
        path = home / "egress" / "a-1.sock"
        path.parent.mkdir()
        proxy.bind(str(path))
        proxy.listen()

        def answer() -> None:
            connection, _ = proxy.accept()
            with connection:
                connection.sendall(b"from the proxy")

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        program = (
            "import socket; way = socket.create_connection(('127.0.0.1', 8118));"
            "print(way.recv(100).decode())"
        )
        said = confined(home, f'python3 -c "{program}"', has_network=False, egress=path)
        assert said == "from the proxy\n"
        thread.join()
