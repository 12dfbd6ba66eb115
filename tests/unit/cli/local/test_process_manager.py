"""A log on a full disk costs lines, never the process manager, and no program is given up."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest
from supervisor.loggers import Logger, handle_file

from orchestrator.cli.local import process_manager
from orchestrator.cli.local.process_manager import MAX_DELAY_S, LossyFileHandler, keep_trying
from tests.disks import small_disk

PAGE = 4096


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of sixteen pages."""
    with small_disk(tmp_path / "disk", str(16 * PAGE)) as where:
        yield where


@contextmanager
def log_in(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Logger]:
    """Open a log as supervisord does: by the class its module names."""
    monkeypatch.setattr(process_manager.loggers, "RotatingFileHandler", LossyFileHandler)
    logger = Logger()
    handle_file(
        logger, str(folder / "x.log"), "%(message)s", rotating=True, maxbytes=PAGE * 4, backups=2
    )
    with closing(logger):
        yield logger


def fill(folder: Path) -> Path:
    ballast = folder / "ballast"
    with ballast.open("wb", buffering=0) as file:
        try:
            while file.write(bytes(PAGE)):
                pass
        except OSError:
            return ballast
    raise AssertionError


@pytest.mark.parametrize("lines", [1, 5, 40], ids=["a line", "to its rotation", "beyond it"])
def test_what_a_full_disk_cannot_hold_is_dropped_and_later_lines_are_written(
    disk, monkeypatch, lines
):
    with log_in(disk, monkeypatch) as logger:
        logger.info(b"before\n" * 500)
        ballast = fill(disk)
        for _ in range(lines):
            logger.info(b"while full\n" * 400)
        os.truncate(ballast, 0)
        logger.info(b"filler\n" * PAGE)  # to a rotation, which closes and renames the file
        logger.info(b"after\n")
    assert (disk / "x.log").read_bytes().endswith(b"after\n")
    assert (disk / "x.log.1").exists()


def test_a_folder_that_went_away_and_came_back_is_written_again(tmp_path, monkeypatch):
    folder = tmp_path / "log"
    folder.mkdir()
    with log_in(folder, monkeypatch) as logger:
        folder.rename(tmp_path / "elsewhere")
        for _ in range(3):
            logger.info(b"gone\n" * PAGE)
        folder.mkdir()
        logger.info(b"back\n")
    assert (folder / "x.log").read_bytes() == b"back\n"


def test_no_number_of_failed_starts_gives_a_program_up():
    process = SimpleNamespace(backoff=0)
    group = SimpleNamespace(processes={"x": process})
    manager = SimpleNamespace(process_groups={"stage-0": group})
    highest = 0
    for _ in range(100):
        process.backoff += MAX_DELAY_S  # more starts than there can be from one tick to the next
        highest = max(highest, process.backoff)
        keep_trying(manager)
    assert highest <= 2 * MAX_DELAY_S
