"""The results of a set-up: what it left in the tree, and how each checkout gets them."""

from __future__ import annotations

import ast
import os
import re
import shutil
import stat
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath

from orchestrator.errors import DiskFull, EnvironmentFailed
from orchestrator.interfaces.environment import Environment
from orchestrator.interfaces.sandbox import Overlay
from orchestrator.workspace.disk import remove_tree, reports_full_disk
from orchestrator.workspace.host_program import run_program

#: Results of a build belong to the sources of the base, not to those of a change.
_OF_SOURCES = re.compile(r"\.git|build|__pycache__|\.\w+_cache|.*\.(?:so|pyd|egg-info|pyc)")
_COPY_S = 600.0
#: Links in a layer, which tell later programs of the same checkout what to mount where.
_LOWER, _TARGET = "lower", "target"
_PTH_BYTES = 2**20
_FINDER = re.compile(r"^MAPPING(?::[^=]*)? = (\{.*\})$", re.MULTILINE)


def keep_products(
    tree: Path, tracked: Collection[str], wanted: Collection[str] | None
) -> list[str]:
    """Remove the files of the base from a tree that was set up; return the paths that remain.

    `wanted` are the paths to keep, None for every untracked one except results of builds. A path
    keeps its place, because its programs may name it.
    """
    found = [p for p in _untracked(tree, tracked) if wanted is None or p in wanted]
    old = tree.with_name("tree.old")
    tree.rename(old)
    tree.mkdir()
    for path in found:
        (tree / path).parent.mkdir(parents=True, exist_ok=True)
        (old / path).rename(tree / path)
    remove_tree(old)
    return found


def _untracked(tree: Path, tracked: Collection[str]) -> Iterator[str]:
    """Yield the topmost paths that the base does not have; no link is followed."""
    folders = {str(parent) for path in tracked for parent in PurePosixPath(path).parents}
    for at, names, files in os.walk(tree):
        below = Path(at).relative_to(tree)
        descend: list[str] = []
        for name in sorted([*names, *files]):
            path = str(below / name)
            if path in tracked or _OF_SOURCES.fullmatch(name):
                continue
            if path in folders and not (tree / path).is_symlink():
                descend.append(name)
            else:
                yield path
        names[:] = [name for name in descend if name in names]


def find_sources(root: Path) -> list[str]:
    """Return the folders of the tree from which a venv imports editable packages."""
    tree = str(root / "tree")
    found: dict[str, None] = {}
    for packages in sorted((root / "venv" / "lib").glob("python*/site-packages")):
        for file in sorted(packages.iterdir()):
            if file.suffix == ".pth" or file.name.startswith("__editable__"):
                for place in _places(_text(file)):
                    relative = os.path.relpath(place, tree)
                    if place.startswith("/") and not relative.startswith(".."):
                        found.setdefault(relative)
    return list(found)


def _text(file: Path) -> str:
    try:
        # Programs of the repository wrote it, so no link is followed.
        descriptor = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return ""
    with os.fdopen(descriptor, "rb") as stream:
        is_plain = stat.S_ISREG(os.fstat(descriptor).st_mode)
        return stream.read(_PTH_BYTES).decode(errors="replace") if is_plain else ""


def _places(text: str) -> Iterator[str]:
    for line in text.splitlines():
        if line.startswith("/"):
            yield line.rstrip()
    if mapping := _FINDER.search(text):
        try:
            packages = ast.literal_eval(mapping[1])
        except (ValueError, SyntaxError):
            return
        if isinstance(packages, Mapping):
            yield from (os.path.dirname(str(place)) for place in packages.values())  # noqa: PTH120


def provide_products(
    environment: Environment,
    checkout: Path,
    layers: Path,
    offers_overlays: Callable[[Path], bool],
) -> None:
    """Give a checkout that no program has used yet the products; its own paths are kept.

    A folder becomes the target of an overlay, whose layer is made in `layers`, if the sandbox
    offers them for that folder. Anything else is copied. A product that is neither a file nor a
    folder of its own is copied as well, such as a link.

    Raises:
        DiskFull: the disk is full.
        EnvironmentFailed: a product cannot be copied.
    """
    for number, product in enumerate(environment.products):
        source, target = environment.tree / product, checkout / product
        # The change may have replaced a folder by a link that leads elsewhere.
        if os.path.lexists(target) or not _is_inside(checkout, product):
            continue
        if source.is_dir() and not source.is_symlink() and offers_overlays(layers.parent):
            layer = layers / str(number)
            for name in ("upper", "work"):
                (layer / name).mkdir(parents=True)
            (layer / _LOWER).symlink_to(source)
            (layer / _TARGET).symlink_to(product)
            target.mkdir()
            for folder in (target, layer / "upper"):
                shutil.copystat(source, folder)
        else:
            _copy(source, target, product)


def overlays_in(checkout: Path, layers: Path) -> tuple[Overlay, ...]:
    """Return the overlays that `provide_products` has prepared for a checkout."""
    made = sorted(layers.iterdir()) if layers.is_dir() else []
    return tuple(
        Overlay(checkout / (layer / _TARGET).readlink(), (layer / _LOWER).readlink(), layer)
        for layer in made
    )


def _copy(source: Path, target: Path, product: str) -> None:
    argv = ("cp", "-RP", "--reflink=auto", "--preserve=mode,timestamps,links")
    env = {"PATH": "/usr/bin:/bin", "LC_ALL": "C"}
    ended = run_program((*argv, "--", str(source), str(target)), env=env, timeout_s=_COPY_S)
    if ended.exit_code:
        if reports_full_disk(ended.stderr):
            msg = f"The copy of {product} does not fit the disk."
            raise DiskFull(msg)
        msg = f"{product} of the environment cannot be copied: {ended.stderr[-300:].strip()}"
        raise EnvironmentFailed(msg)


def _is_inside(checkout: Path, path: str) -> bool:
    folder = checkout
    for part in PurePosixPath(path).parts[:-1]:
        folder /= part
        if folder.is_symlink() or not folder.is_dir():
            return False
    return True


def ignore_patterns(products: Collection[str]) -> tuple[str, ...]:
    """Return the products as patterns of .gitignore, by which a change excludes them."""
    return tuple("/" + re.sub(r"([*?\[\]\\ ])", r"\\\1", product) for product in products)


def make_unwritable(folders: Sequence[Path]) -> None:
    """Make folders unwritable, where no sandbox does: a program could change them by mistake."""
    for folder in folders:
        for at, names, files in os.walk(folder):
            for name in (*names, *files):
                path = Path(at, name)
                if not path.is_symlink():
                    path.chmod(path.stat().st_mode & ~0o222)
