"""A lab, a remote, and a change whose gates have passed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.integration.conftest import SAMPLE, make_remote
from tests.integration.delivery.judged import Judged, judging
from tests.integration.delivery.lab import Lab


@pytest.fixture
def lab(tmp_path: Path, valkey_url: str) -> Callable[..., Lab]:
    return lambda **variables: Lab(tmp_path, valkey_url, **variables)


@pytest.fixture
def remote(tmp_path: Path) -> Path:
    return make_remote(tmp_path, SAMPLE)


@pytest.fixture
def judged(tmp_path: Path, valkey_url: str, remote: Path) -> Iterator[Judged]:
    with judging(Lab(tmp_path, valkey_url), remote) as found:
        yield found
