"""Mounts overlays in a mount namespace of its own, and becomes the program after them.

`_overlays.py` makes the command: `python -I -S _overlay_mount.py ROOT NUMBER {TARGET LOWER LAYER}…
PROGRAM [ARGUMENT…]`, with TARGET relative to ROOT. The process id stays the same. Programs of an
agent may have changed everything below ROOT, so no link is followed there: a target that is no
folder gets no overlay. Without root, a user namespace of its own allows the mounts.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys

_CLONE_NEWNS, _CLONE_NEWUSER = 0x00020000, 0x10000000
_MS_REC, _MS_PRIVATE = 0x4000, 0x40000
_FOLDER = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def main() -> None:
    """Mount the overlays, and execute the program."""
    root, number = sys.argv[1], int(sys.argv[2])
    parts, program = sys.argv[3 : 3 + 3 * number], sys.argv[3 + 3 * number :]
    libc = ctypes.CDLL(None, use_errno=True)
    options = _enter_namespaces(libc)
    for at in range(0, len(parts), 3):
        target, lower, layer = parts[at : at + 3]
        # Folders are named by descriptors: a colon or comma in a path would end an option.
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            names = [
                f"/proc/self/fd/{_open_below(root, target)}",
                *(f"/proc/self/fd/{os.open(p, _FOLDER)}" for p in (lower, layer)),
            ]
            layers = f"lowerdir={names[1]},upperdir={names[2]}/upper,workdir={names[2]}/work"
            _checked(
                libc.mount(
                    b"overlay", names[0].encode(), b"overlay", 0, (layers + options).encode()
                )
            )
    os.execvp(program[0], program)  # noqa: S606 - this is its purpose


def _enter_namespaces(libc: ctypes.CDLL) -> str:
    """Enter the namespaces, and return the options that overlays need there."""
    user, group = os.geteuid(), os.getegid()
    _checked(libc.unshare(_CLONE_NEWNS | (_CLONE_NEWUSER if user else 0)))
    if user:
        _write("setgroups", "deny")
        _write("uid_map", f"{user} {user} 1")
        _write("gid_map", f"{group} {group} 1")
    # No mount reaches the namespace of the host.
    _checked(libc.mount(b"none", b"/", None, _MS_REC | _MS_PRIVATE, None))
    return ",userxattr" if user else ""


def _open_below(root: str, path: str) -> int:
    folder = os.open(root, _FOLDER)
    for name in path.split("/"):
        inner = os.open(name, _FOLDER, dir_fd=folder)
        os.close(folder)
        folder = inner
    return folder


def _write(name: str, text: str) -> None:
    with open(f"/proc/self/{name}", "w", encoding="ascii") as file:  # noqa: PTH123 - as `_init.py`
        file.write(text)


def _checked(result: int) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


if __name__ == "__main__":
    try:
        main()
    except OSError as error:
        # The program may still be named by its first word, as by a shell.
        os.write(2, f"overlays cannot be mounted: {error}\n".encode())
        os._exit(126)
