"""What a coverage report is made from: sources, configuration and data, apart from the report."""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import shlex
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import PurePosixPath

from orchestrator.errors import BackendUnavailable, WorkspaceLost
from orchestrator.gates.checks._reports import ReportUnreadable, percent_of
from orchestrator.gates.untrusted_file import read_untrusted
from orchestrator.interfaces.gate import GateInput, PlannedGate

_SOURCE = re.compile(r"\.(py|[cm]?[jt]sx?|go)$")
#: The files in which coverage tools look for their configuration.
_CONFIG = frozenset({
    ".coveragerc", ".coveragerc.toml", "setup.cfg", "tox.ini", "pyproject.toml", ".nycrc",
    ".nycrc.json", ".c8rc", ".c8rc.json", "package.json",
})  # fmt: skip
#: Installed packages: large, and not measured.
_NOT_MEASURED = frozenset(
    {"node_modules", ".venv", "venv", ".git", ".tox", ".nox", "site-packages"}
)
_CHUNK_BYTES = 2**20
_STEPS = re.compile(r"&&|\|\||[;|\n()]")
#: The formats of coverage.py's reports that a gate reads.
_KINDS = frozenset({"json", "xml", "lcov"})
_FLAGS = frozenset({"-i", "--ignore-errors"})
#: The options of a report that decide what it measures, and what is one for other programs.
_DECIDING = {
    name: name for name in (*_FLAGS, "--rcfile", "--data-file", "--include", "--omit", "--contexts")
}
_BEFORE = {"COVERAGE_RCFILE": "--rcfile", "--cov-config": "--rcfile"}
_DATA = ".coverage"
_LIMIT_S = 300.0
#: The interpreter of the tests has the tool, or the tool is a program with its own.
_TOOLS = (("python3", "-I", "-m", "coverage"), ("coverage",))
#: Neither the folder of the run nor its home may hold modules for the tool.
_ALONE = {"PYTHONSAFEPATH": "1", "PYTHONNOUSERSITE": "1"}

#: The digest of each file that decides what a report says, by its path.
Digests = Mapping[str, bytes]


def measured_files(root: int) -> Digests:
    """Return the sources and the configuration of coverage tools below a folder, as they are."""
    return dict(_digests(root))


def rewritten(before: Digests, after: Digests) -> str:
    """Return a source that the run changed, or a configuration that it wrote; empty for none.

    A tool makes its report from them after the tests, so a test could write them for it.
    """
    changed = (path for path, digest in before.items() if after.get(path) != digest)
    made = (path for path in after.keys() - before.keys() if PurePosixPath(path).name in _CONFIG)
    return min([*changed, *made], default="")


def measured_again(
    options: Sequence[str], subject: GateInput, root: int, content: bytes
) -> float | str:
    """Return the coverage in percent by coverage.py's data, or why it cannot be computed.

    `content` is the command's own report, whose format the new one has. The processes that were
    measured have ended. The one that computes it is started without the modules, variables and
    folders that those could prepare.
    """
    name, kind = f".coverage-{secrets.token_hex(8)}", _kind_of(content)
    for tool in _TOOLS:
        try:
            ended = subject.run((*tool, kind, *options, "-o", name), _ALONE, b"", _LIMIT_S)
        except (BackendUnavailable, WorkspaceLost) as error:
            said = str(error)
            continue
        made = read_untrusted(root, name)
        with suppress(OSError):
            os.unlink(name, dir_fd=root)
        if isinstance(made, bytes) and not ended.exit_code:
            try:
                return percent_of(made)
            except ReportUnreadable as error:
                return str(error)
        lines = (ended.stdout + ended.stderr).decode(errors="replace").strip().splitlines()
        said = lines[-1] if lines else f"exit code {ended.exit_code}"
    return said


def _kind_of(content: bytes) -> str:
    first = content.removeprefix(b"\xef\xbb\xbf").lstrip()[:1]
    return {b"{": "json", b"<": "xml"}.get(first, "lcov")


def has_data(root: int) -> bool:
    """Return whether a run has left data of coverage.py."""
    return isinstance(read_untrusted(root, _DATA), bytes)


def report_options(gate: PlannedGate) -> tuple[str, ...] | None:
    """Return the options with which a command makes its report by coverage.py.

    None if the command and its script do not show how: they run it by another program.
    """
    found: tuple[str, ...] | None = None
    for step in _STEPS.split(f"{gate.command}\n{gate.script}"):
        try:
            words = shlex.split(step, comments=True)
        except ValueError:
            continue
        names = [PurePosixPath(word).name for word in words]
        reports = [at for at in range(len(words) - 1) if words[at + 1] in _KINDS]
        at = next((at for at in reports if names[at] in ("coverage", "coverage3")), None)
        if at is not None:
            found = (*_deciding(words[:at], _BEFORE), *_deciding(words[at + 2 :], _DECIDING))
        elif any(word.partition("=")[0] == "--cov" for word in words):
            found = tuple(_deciding(words, _BEFORE))
    return found


def _deciding(words: Sequence[str], wanted: Mapping[str, str]) -> Iterator[str]:
    """Yield the options that decide what a report measures, and not how or where it is written."""
    is_value = False
    for word in words:
        name, equals, value = word.partition("=")
        if is_value:
            yield word
            is_value = False
        elif name in wanted:
            yield f"{wanted[name]}{equals}{value}"
            is_value = not equals and name not in _FLAGS


def _digests(root: int) -> Iterator[tuple[str, bytes]]:
    for folder, folders, names, descriptor in os.fwalk(".", dir_fd=root):
        folders[:] = [name for name in folders if name not in _NOT_MEASURED]
        for name in names:
            if name in _CONFIG or _SOURCE.search(name):
                with suppress(OSError):
                    yield os.path.normpath(f"{folder}/{name}"), _digest(name, descriptor)


def _digest(name: str, folder: int) -> bytes:
    digest = hashlib.blake2b()
    file = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
    with open(file, "rb") as stream:  # noqa: PTH123 - a descriptor
        while chunk := stream.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.digest()
