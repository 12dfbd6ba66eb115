"""The members of a Cargo workspace that it does not list: what a member depends on by a path."""

from __future__ import annotations

import pytest

from orchestrator.models import GateProfile
from tests.unit.gates.test_plan import plan_of

CRATE = '[package]\nname = "x"\nversion = "1.0.0"\n'
TESTED = "#[test]\nfn t() {}\n"
SHARED = '[workspace.dependencies]\nb = { path = "crates/b" }\n'


@pytest.mark.parametrize(
    ("shared", "dependency"),
    [
        ("", '[dependencies]\nb = { path = "../b" }\n'),
        (SHARED, "[dependencies]\nb.workspace = true\n"),
        (SHARED, "[dev-dependencies]\nb = { workspace = true, features = ['x'] }\n"),
        ("", "[target.'cfg(unix)'.dependencies]\nb = { path = '../b' }\n"),
        (SHARED, "[target.'cfg(unix)'.build-dependencies]\nb.workspace = true\n"),
    ],
)
def test_a_dependency_with_a_path_is_a_member_that_is_not_run_again(shared, dependency):
    assert folders(shared, dependency) == {""}


@pytest.mark.parametrize("dependency", ['[dependencies]\nb = "1"\n', "[target]\nx = 1\n", ""])
def test_other_packages_run_on_their_own(dependency):
    assert folders(SHARED, dependency) == {"", "crates/b"}


def folders(shared: str, dependency: str) -> set[str]:
    files = {
        "Cargo.toml": f'[workspace]\nmembers = ["crates/a"]\n{shared}',
        "crates/a/Cargo.toml": CRATE + dependency,
        "crates/a/src/lib.rs": TESTED,
        "crates/b/Cargo.toml": CRATE,
        "crates/b/src/lib.rs": TESTED,
    }
    plan = plan_of(files, GateProfile.MINIMAL)
    return {gate.folder for gate in plan.gates}
