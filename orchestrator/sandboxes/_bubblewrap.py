"""Confines a program by bubblewrap: its own processes, one writable folder, no homes."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from orchestrator.errors import BackendUnavailable
from orchestrator.interfaces.sandbox import EGRESS_PORT, ProcessSpec
from orchestrator.sandboxes._overlays import overlay_prefix
from orchestrator.settings import Settings

_INIT = Path(__file__).with_name("_init.py")
_FORWARD = Path(__file__).with_name("_port_forward.py")
_PYTHON = (sys.executable, "-I", "-S")
_NAMESPACES = (
    *("--unshare-pid", "--unshare-ipc", "--unshare-uts"),
    *("--die-with-parent", "--new-session", "--as-pid-1", "--cap-drop", "ALL"),
)
_VIEW = (
    *("--ro-bind", "/", "/", "--proc", "/proc", "--dev", "/dev"),
    # bubblewrap 0.8 leaves these open to a root user without capabilities, who owns their files.
    *(
        part
        for name in ("fs", "sys", "sysrq-trigger")
        for part in ("--ro-bind-try", f"/proc/{name}", f"/proc/{name}")
    ),
)
#: Empty inside, and removed with the program; the first two are writable.
_SCRATCH = (Path("/tmp"), Path("/var/tmp"))  # noqa: S108 - hidden, not used
_HIDDEN = (Path("/root"), Path("/home"), Path("/run"))
#: Where, and how deep, files are hidden that root's programs could read and other users could not.
#: A search of 10,000 files takes about 70 ms, once; each hidden file makes every start about 0.2 ms
#: longer.
_CLOSED_IN = {"/": 1, "/etc": 4, "/opt": 4, "/srv": 4, "/usr/local/etc": 4, "/var": 4}
#: The entries that a folder of programs may need beside it: libraries, and the parts of a venv.
_BESIDE = ("lib", "lib64", "libexec", "pyvenv.cfg")
_PROBE_TIMEOUT_S = 10.0
#: How often bubblewrap is tried: it fails if a path of the host goes meanwhile.
VIEW_TRIES = 5


@dataclass(frozen=True)
class Bubblewrap:
    """The view of this host that every program gets; `find` builds and tests it."""

    binary: str
    #: The paths that do not exist inside.
    hidden: frozenset[Path]
    #: The read-only paths that exist inside all the same.
    readable: frozenset[Path]

    @classmethod
    def find(cls, settings: Settings) -> Bubblewrap:
        """Return how to confine programs on this host, after a test with one program.

        Raises:
            BackendUnavailable: this host cannot do it; the error gives the reason.
        """
        binary = shutil.which("bwrap")
        if binary is None:
            msg = "There is no bwrap on PATH."
            raise BackendUnavailable(msg, action="apt-get install bubblewrap")
        _probe(binary)
        homes = {Path.home(), Path(settings.host_env.get("HOME", "/root"))} - {Path("/")}
        ours = (settings.home, settings.workspaces_dir, settings.docker_socket)
        readable = {
            *_programs(settings.host_env.get("PATH", "")),
            *_program_folders(Path(sys.executable).parent),
            # The program that executes scripted agents, and the first program inside.
            Path(__file__).parents[1],
            # Often a link into /run; the name resolution reads it.
            Path("/etc/resolv.conf").resolve(),
            *settings.process_readable,
        }
        # A secret may come from a pipe or a device, which cannot be read again.
        secrets = (path for path in settings.secret_files if _is_plain(_mode(path)))
        hidden = {*_HIDDEN, *homes, *ours, *secrets, *_closed()}
        return cls(binary, frozenset(hidden), frozenset(readable))

    def hides(self, path: Path) -> bool:
        """Return whether a path of this host does not exist inside."""
        return not {*self.hidden, *_SCRATCH}.isdisjoint((path, *path.parents))

    def command(self, spec: ProcessSpec) -> list[str]:
        """Return the command that runs the program of `spec` confined."""
        root = spec.root or spec.cwd
        shown = [*self.readable, *spec.readable, *_programs(spec.env.get("PATH", ""))]
        if spec.argv[0].startswith("/"):
            for path in (Path(spec.argv[0]), Path(spec.argv[0]).resolve()):
                # If the folder is a whole home, it stays hidden, and only the file is shown.
                shown += [path.parent, path]
        network: tuple[str, ...] = ()
        program = spec.argv
        if not spec.has_network:
            network = ("--unshare-net",)
            if spec.egress is not None:
                shown.append(spec.egress.parent)
                program = (*_PYTHON, str(_FORWARD), str(spec.egress), str(EGRESS_PORT), *program)
        return [
            *overlay_prefix(root, spec.overlays),
            *(self.binary, *_NAMESPACES, *network),
            *_VIEW,
            *self._mounts(shown, root),
            *("--chdir", str(spec.cwd), "--", *_PYTHON, str(_INIT), *program),
        ]

    def _mounts(self, shown: Iterable[Path], root: Path) -> Iterator[str]:
        hidden = {path.resolve() for path in self.hidden if _mode(path)}
        scratch = {path.resolve() for path in _SCRATCH}
        covered = hidden | scratch
        mounts: dict[Path, tuple[str, ...]] = {
            path: ("--tmpfs", str(path))
            if stat.S_ISDIR(_mode(path))
            else ("--ro-bind", os.devnull, str(path))
            for path in covered
        }
        for path in shown:
            real = path.resolve()
            # A path that is a link in a hidden folder is also shown at the name of the link.
            for target in {real, path} if _mode(real) else ():
                if not (covered.isdisjoint(target.parents) or real.is_relative_to(root.resolve())):
                    mounts[target] = ("--ro-bind", str(real), str(target))
        for target in (root, root.resolve()):
            if target == root.resolve() or not covered.isdisjoint(target.parents):
                mounts[target] = ("--bind", str(root.resolve()), str(target))
        # The deepest path takes precedence, at any nesting.
        closing: list[str] = []
        for path in sorted(mounts, key=lambda path: len(path.parts)):
            outer = next((outer for outer in path.parents if outer in mounts), Path("/"))
            is_absent = path in covered and outer in hidden - scratch
            is_shown = mounts[path][0] == mounts.get(outer, ("",))[0] == "--ro-bind"
            if is_absent or (is_shown and path not in covered):
                continue
            yield from mounts[path]
            if path in hidden - scratch and mounts[path][0] == "--tmpfs":
                closing += ("--remount-ro", str(path))
        yield from closing


@cache
def _probe(binary: str) -> None:
    tried = (binary, *_NAMESPACES, *_VIEW, "--unshare-net", "--tmpfs", "/run", "--", "true")
    for _ in range(VIEW_TRIES):
        try:
            ran = subprocess.run(
                tried, capture_output=True, check=False, timeout=_PROBE_TIMEOUT_S, text=True
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            msg = f"{binary} cannot be run ({error})."
            raise BackendUnavailable(msg, action="Install bubblewrap again.") from error
        if ran.returncode == 0:
            break
    else:
        msg = f"{binary} cannot confine a program here: {ran.stderr.strip()}."
        action = "Allow this user namespaces (sysctl kernel.unprivileged_userns_clone, AppArmor)."
        raise BackendUnavailable(msg, action=action)


@cache
def _programs(path: str) -> frozenset[Path]:
    """Return the paths of which the programs of a PATH consist."""
    folders = (Path(entry) for entry in path.split(":") if entry.startswith("/"))
    return frozenset(found for folder in folders for found in _program_folders(folder))


@cache
def _program_folders(folder: Path) -> frozenset[Path]:
    """Return a folder of programs, its libraries, and the folders of programs that it links to.

    A version manager such as pyenv has its installations beside its folder `shims`.
    """
    found: set[Path] = set()
    waiting = {folder}
    while waiting:
        folder = waiting.pop()
        if folder in found or not stat.S_ISDIR(_mode(folder)):
            continue
        found.add(folder)
        if folder.name == "bin":
            found |= {folder.parent / name for name in _BESIDE}
        elif folder.name == "shims":
            found.add(folder.parent)
        if folder.resolve().is_relative_to("/usr"):
            continue
        for link in folder.iterdir():
            if link.is_symlink():
                target = Path(os.path.normpath(folder / link.readlink()))
                # A program in a `bin` folder needs that installation; from elsewhere only the file
                # is needed.
                if target.parent.name == "bin":
                    waiting.add(target.parent)
                else:
                    found.add(target)
    return frozenset(found)


@cache
def _closed() -> frozenset[Path]:
    """Return the paths that root may read and other users may not, so that root sees as they do."""
    if os.geteuid() != 0:
        return frozenset()
    return frozenset(
        path for folder, depth in _CLOSED_IN.items() for path in _closed_below(folder, depth)
    )


def _closed_below(folder: str, depth: int) -> Iterator[Path]:
    for entry in _entries(folder):
        mode = 0 if entry.is_symlink() else _mode(entry.path)
        if stat.S_ISDIR(mode) and mode & 0o005:
            if depth > 1:
                yield from _closed_below(entry.path, depth - 1)
        elif _is_plain(mode) and not mode & 0o004:
            yield Path(entry.path)


def _entries(folder: str) -> list[os.DirEntry[str]]:
    # The files are in use and may disappear during the search.
    try:
        return list(os.scandir(folder))
    except OSError:
        return []


def _is_plain(mode: int) -> bool:
    return stat.S_ISDIR(mode) or stat.S_ISREG(mode)


def _mode(path: Path | str) -> int:
    """Return the mode of a file; 0 if it does not exist or this user may not read its mode."""
    try:
        return os.stat(path).st_mode  # noqa: PTH116 - of names as well as paths
    except OSError:
        return 0
