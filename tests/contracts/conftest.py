"""A checkout for gate checks to run in."""

from __future__ import annotations

import pytest


@pytest.fixture
def checkout(tmp_path):
    folder = tmp_path / "checkout"
    folder.mkdir()
    return folder
