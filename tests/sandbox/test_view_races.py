"""A path that goes while bubblewrap makes the view ends no agent and weakens no level."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.errors import BackendUnavailable
from orchestrator.interfaces.run import run_to_end
from orchestrator.interfaces.sandbox import ProcessSpec
from orchestrator.sandboxes._bubblewrap import VIEW_TRIES, Bubblewrap
from orchestrator.sandboxes.process import ProcessSandbox, build
from orchestrator.settings import load_settings

from .levels import settings_at


class Vanishing:
    """A view with a hidden folder that goes right after the look at it, some times."""

    def __init__(self, folder: Path, times: int) -> None:
        self._view = Bubblewrap.find(load_settings({"PATH": os.environ["PATH"]}))
        self._folder = folder
        self.times = times

    def command(self, spec: ProcessSpec) -> list[str]:
        self._folder.mkdir(exist_ok=True)
        hidden = self._view.hidden | {self._folder}
        command = replace(self._view, hidden=hidden).command(spec)
        if self.times:
            self.times -= 1
            self._folder.rmdir()
        return command


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that the view shows: below its scratch folders nothing is mounted."""
    made = Path("/srv", f"orch-view-{os.getpid()}")
    (made / "work").mkdir(parents=True)
    yield made
    shutil.rmtree(made)


def ran(sandbox: ProcessSandbox, folder: Path) -> bytes:
    argv = ("sh", "-c", "echo here")
    spec = ProcessSpec("a-1", argv, {"PATH": os.environ["PATH"]}, folder / "work")
    return run_to_end(sandbox, spec, timeout_s=240, output_limit_bytes=1000).stdout


def test_a_hidden_path_that_goes_meanwhile_does_not_stop_the_start(folder, tmp_path):
    view = Vanishing(folder / "closed", VIEW_TRIES - 1)
    assert ran(ProcessSandbox(30.0, str(tmp_path), confine=view), folder) == b"here\n"
    assert view.times == 0


def test_a_view_that_can_never_be_made_is_one_error_with_its_cause(folder, tmp_path):
    view = Vanishing(folder / "closed", VIEW_TRIES + 1)
    with pytest.raises(BackendUnavailable, match=r"could not be confined .*bwrap: "):
        ran(ProcessSandbox(30.0, str(tmp_path), confine=view), folder)
    assert view.times == 1


def test_a_probe_that_fails_once_does_not_choose_a_weaker_level(tmp_path, monkeypatch):
    real = shutil.which("bwrap")
    once = tmp_path / "bin" / "bwrap"
    once.parent.mkdir()
    once.write_text(
        f"#!/bin/sh\n[ -e '{tmp_path}/failed' ] && exec {real} \"$@\"\n"
        f"touch '{tmp_path}/failed'\necho 'bwrap: realpath(destination)' >&2\nexit 1\n"
    )
    once.chmod(0o755)
    monkeypatch.setenv("PATH", f"{once.parent}:{os.environ['PATH']}")
    assert build(settings_at("auto", tmp_path)).level == "bubblewrap"
    assert (tmp_path / "failed").exists()
