"""Values that their own form makes public, and the same values without that form."""

from __future__ import annotations

import pytest

from orchestrator.secretscan.public_values import is_public, is_public_data

#: As long as a coordinate of a curve.
COORDINATE = b"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU"


@pytest.mark.parametrize(
    ("value", "before", "expected"),
    [
        (COORDINATE, b'{"crv": "P-256", "x": "', True),
        (COORDINATE, b'{"d": "', False),
        (COORDINATE[:-1], b'"x": "', False),
        (COORDINATE[:-1] + b"+", b'"x": "', False),
        (b"pk_live_" + COORDINATE, b"", True),
        (b"sk_live_" + COORDINATE, b"", False),
        (b"AKIAEXAMPLE", b"", True),
        (b"eyJzdWIiOiIxMjM0NTY3ODkwIiwibmFtZSI6IkpvaG4gRG9l.x", b"", True),
    ],
)
def test_a_value_is_public_by_its_form(value, before, expected):
    assert is_public(value, before) is expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"AAAAC3NzaC1lZDI1NTE5AAAAIB" + COORDINATE, True),
        (b"iVBORw0KGgoAAAANSUhEUg", True),
        (b"sha1-" + b"a" * 27 + b"=", True),
        (b"^1.2.3", True),
        (b"v1.2.3-rc1", True),
        (COORDINATE, False),
        (b"hunter2-hunter2", False),
    ],
)
def test_data_is_known_by_its_beginning(value, expected):
    assert is_public_data(value) is expected
