"""Overlays show one folder to many checkouts, and each changes only its own view of it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator.interfaces.run import Completed, run_to_end
from orchestrator.interfaces.sandbox import Overlay, ProcessSpec
from orchestrator.sandboxes.process import ProcessSandbox
from tests.sandbox.levels import sandbox_at

Run = Callable[..., Completed]


@pytest.fixture
def sandbox(tmp_path: Path) -> ProcessSandbox:
    """A sandbox at level bubblewrap; skipped if this kernel mounts no overlay."""
    found = sandbox_at("bubblewrap", tmp_path / "home")
    if not found.offers_overlays(tmp_path):
        pytest.skip("no overlays here")
    return found


@pytest.fixture
def lower(tmp_path: Path) -> Path:
    """The shared folder; a comma and a colon in its path would end an option of the mount."""
    folder = tmp_path / "shared, a:b" / "node_modules"
    (folder / "dep").mkdir(parents=True)
    (folder / "dep" / "index.js").write_text("shared")
    return folder


def checkout(tmp_path: Path, name: str, target: str = "tree/node_modules") -> Path:
    root = tmp_path / name
    (root / target).mkdir(parents=True)
    for part in ("upper", "work"):
        (tmp_path / f"{name}.layers" / part).mkdir(parents=True)
    return root


@pytest.fixture
def run(sandbox: ProcessSandbox, lower: Path) -> Run:
    """Runs a shell script in a checkout that has an overlay."""

    def run(root: Path, script: str, target: str = "tree/node_modules") -> Completed:
        overlay = Overlay(root / target, lower, root.with_name(f"{root.name}.layers"))
        argv = ("sh", "-c", script)
        env = {"PATH": os.environ["PATH"], "LAYERS": str(overlay.layer), "LOWER": str(lower)}
        spec = ProcessSpec(
            "a-1", argv, env, root, root=root, readable=(lower,), overlays=(overlay,)
        )
        return run_to_end(sandbox, spec, timeout_s=240, output_limit_bytes=10_000)

    return run


CHANGE = (
    "cd tree/node_modules && cat dep/index.js && echo mine > dep/index.js && echo new > new.js"
    " && chmod 700 dep && mv dep/index.js dep/other.js && cat dep/other.js"
)


def test_a_program_changes_its_own_view_and_the_next_one_of_the_checkout_sees_it(
    run: Run, lower: Path, tmp_path: Path
):
    root = checkout(tmp_path, "one")
    ended = run(root, CHANGE)
    assert (ended.exit_code, ended.stdout) == (0, b"sharedmine\n"), ended.stderr
    assert run(root, "ls tree/node_modules/dep; cat tree/node_modules/new.js").stdout == (
        b"other.js\nnew\n"
    )
    assert [path.name for path in sorted(lower.rglob("*"))] == ["dep", "index.js"]
    assert (lower / "dep" / "index.js").read_text() == "shared"
    # Another checkout is clean, and no mount is left on this host.
    assert run(checkout(tmp_path, "two"), "cat tree/node_modules/dep/index.js").stdout == b"shared"
    assert not list((root / "tree" / "node_modules").iterdir())


@pytest.mark.parametrize("script", ['echo x > "$LOWER/x"', 'echo x > "$LAYERS/upper/x"',
                                    'rm -rf "$LOWER/dep"', "umount tree/node_modules"])  # fmt: skip
def test_neither_the_shared_folder_nor_the_layer_can_be_reached(
    run: Run, lower: Path, tmp_path: Path, script: str
):
    root = checkout(tmp_path, "one")
    assert run(root, script).exit_code != 0
    assert [path.name for path in sorted(lower.rglob("*"))] == ["dep", "index.js"]
    assert not list((tmp_path / "one.layers" / "upper").iterdir())


@pytest.mark.parametrize("kind", ["a link", "a link on the way", "a file", "absent"])
def test_a_target_that_a_program_replaced_gets_no_overlay(run: Run, tmp_path: Path, kind: str):
    """The mount would otherwise cover a folder of this host with files of the agent."""
    root = checkout(tmp_path, "one", "tree/web/node_modules")
    outside = tmp_path / "outside" / "node_modules"
    outside.mkdir(parents=True)
    (outside / "of-the-host").write_text("")
    target = root / "tree/web/node_modules"
    target.rmdir()
    if kind == "a link":
        target.symlink_to(outside)
    elif kind == "a link on the way":
        target.parent.rmdir()
        target.parent.symlink_to(outside.parent)
    elif kind == "a file":
        target.write_text("")
    ended = run(root, f"ls {outside}", "tree/web/node_modules")
    assert ended.stdout in (b"of-the-host\n", b""), ended.stderr
    assert b"overlay" not in ended.stderr


def test_only_bubblewrap_offers_overlays(tmp_path: Path):
    assert not sandbox_at("shim", tmp_path / "home").offers_overlays(tmp_path)
