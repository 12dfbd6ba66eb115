"""Decides which remotes of a repository last longer than the workspace of its agent."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence

_SECTION = re.compile(rb'^\s*\[\s*(remote|url)\s+"([^"]*)"\s*\]\s*(.*)$', re.IGNORECASE)
_SETTING = re.compile(rb'^\s*([a-z]+)\s*=\s*"?([^"\r\n]*)', re.IGNORECASE)
#: `https://host/path`, or `host:path` of ssh.
_OF_HOST = re.compile(rb"(?!file://)[a-z+-]+://([^/]*)|([^/:]*):(?!:|//)", re.IGNORECASE)
#: A server on this host's loopback runs in the agent's sandbox.
_LOOPBACK = re.compile(rb"(.*@)?(localhost|127\.[\d.]+|0\.0\.0\.0|\[::1?\])(:\d*)?", re.IGNORECASE)
_LONGEST = 2**16


def lasting_remotes(git_dir: bytes, root: bytes) -> set[bytes]:
    """Return the names of the remotes that last, and that a push therefore publishes to.

    All addresses of such a remote are outside the workspace `root`, and a local one exists. A
    remote that cannot be read here, for example one of an included file, is not among them: its
    commits are then retained although they may be published.
    """
    urls: dict[bytes, list[bytes]] = {}
    instead: list[tuple[bytes, bytes]] = []
    for path in (os.path.join(git_dir, b"config"), *_of_user()):
        for section, name, key, value in _settings(path):
            if section == b"remote" and key in (b"url", b"pushurl"):
                urls.setdefault(name, []).append(value)
            elif section == b"url" and key in (b"insteadof", b"pushinsteadof"):
                instead.append((value, name))
    return {
        name
        for name, found in urls.items()
        if all(_lasts(one, git_dir, root) for url in found for one in (url, *_other(url, instead)))
    }


def _lasts(url: bytes, git_dir: bytes, root: bytes) -> bool:
    if of_host := _OF_HOST.match(url):
        return not _LOOPBACK.fullmatch(of_host[1] or of_host[2] or b"")
    if b"::" in url:
        return False  # a program of the agent, such as `ext::`
    folder = os.path.dirname(git_dir) if os.path.basename(git_dir) == b".git" else git_dir
    where = os.path.realpath(os.path.join(folder, url.removeprefix(b"file://")))
    is_inside = where.startswith(os.path.realpath(root) + b"/")
    return os.path.lexists(where) and not is_inside


def _other(url: bytes, instead: Sequence[tuple[bytes, bytes]]) -> Iterator[bytes]:
    """Yield the addresses that git may use in place of this one."""
    for prefix, base in instead:
        if prefix and url.startswith(prefix):
            yield base + url[len(prefix) :]


def _of_user() -> list[bytes]:
    home = os.environb.get(b"HOME", b"")
    return [os.path.join(home, name) for name in (b".gitconfig", b".config/git/config") if home]


def _settings(path: bytes) -> Iterator[tuple[bytes, bytes, bytes, bytes]]:
    """Yield section, subsection, key and value of the settings of remotes and addresses."""
    try:
        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:
            content = file.read(_LONGEST)
    except OSError:
        return
    section = name = b""
    for line in content.splitlines():
        rest = line
        if found := _SECTION.match(line):
            section, name, rest = found[1].lower(), found[2], found[3]
        elif line.lstrip().startswith(b"["):
            section = b""
        if section and (setting := _SETTING.match(rest)):
            yield section, name, setting[1].lower(), setting[2].strip()
