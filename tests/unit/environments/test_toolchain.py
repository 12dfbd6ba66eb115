"""Which Python of the host fits a project."""

from __future__ import annotations

import pytest

from orchestrator.environments.toolchain import accepts, find_toolchain
from orchestrator.errors import EnvironmentFailed
from orchestrator.settings import load_settings


@pytest.mark.parametrize(
    ("bounds", "version", "fits"),
    [
        ("", "3.11.7", True),
        (">=3.9", "3.11.7", True),
        (">=3.9", "3.8.10", False),
        (">=3.9,<3.11", "3.11.7", False),
        (">=3.10.5", "3.10.4", False),
        ("<4", "3.11.7", True),
        ("<=3.11", "3.11.7", True),
        ("==3.11.*", "3.11.7", True),
        ("==3.12.*", "3.11.7", False),
        ("!=3.11.*", "3.11.7", False),
        (">3.11", "3.11.7", False),
        (">3.10", "3.11.7", True),
        ("~=3.9", "3.11.7", True),
        ("~=3.9", "4.0", False),
        ("^3.9", "3.11.7", True),
    ],
)
def test_bounds_of_requires_python(bounds, version, fits):
    assert accepts(bounds, version) is fits


def test_a_python_that_the_host_lacks_is_the_hosts_to_mend():
    settings = load_settings({"PATH": "/usr/bin:/bin"})
    with pytest.raises(EnvironmentFailed, match="needs Python >=9") as error:
        find_toolchain({"python"}, {">=9"}, settings)
    assert "Fix the host" in str(error.value)


def test_the_toolchain_of_an_image_is_the_image_itself():
    settings = load_settings({"PATH": "/usr/bin:/bin"})
    found = {
        find_toolchain({"python"}, {">=9"}, settings, f"sandbox:local sha256:{digest}").identity
        for digest in (1, 1, 2)
    }
    assert len(found) == 2
