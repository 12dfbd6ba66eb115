"""The members of a Cargo workspace that it does not list: what a member depends on by a path."""

from __future__ import annotations

import pytest

from orchestrator.models import GateProfile
from tests.unit.gates.test_packages import units
from tests.unit.gates.test_plan import plan_of

CRATE = '[package]\nname = "x"\nversion = "1.0.0"\n'
#: Another package that has tests; a package without tests is not run beside it.
TESTED_BESIDE = {"go.mod": "", "a_test.go": ""}
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


def test_members_that_depend_on_each_other_are_found():
    """Cargo allows it in tests."""
    cycle = '[dependencies]\nb = { path = "../b" }\n'
    back = '[dev-dependencies]\na = { path = "../a" }\nroot = { path = "../.." }\n'
    files = {
        "Cargo.toml": CRATE + '[workspace]\nmembers = ["crates/a"]\n',
        "crates/a/Cargo.toml": CRATE + cycle,
        "crates/b/Cargo.toml": CRATE + back,
        "crates/b/src/lib.rs": TESTED,
    }
    assert units(files) == {("", "cargo test --workspace")}


def test_what_a_workspace_excludes_runs_on_its_own_with_all_below_it():
    files = {
        "Cargo.toml": '[workspace]\nmembers = ["**"]\nexclude = ["old"]\n',
        "old/Cargo.toml": CRATE,
        "old/src/lib.rs": TESTED,
        "old/b/Cargo.toml": CRATE,
        "old/b/src/lib.rs": TESTED,
        "older/Cargo.toml": CRATE,
        "older/src/lib.rs": TESTED,
    }
    command = "cargo test --workspace"
    assert units(files) == {("", command), ("old", command), ("old/b", command)}


@pytest.mark.parametrize(
    ("files", "is_run"),
    [
        ({"src/lib.rs": TESTED}, True),
        ({"src/lib.rs": "/// ```\n/// assert!(true);\n/// ```\npub fn a() {}\n"}, True),
        ({"src/lib.rs": "//! ```\n//! assert!(true);\n//! ```\n"}, True),
        ({"src/lib.rs": "pub fn a() {}\n"}, False),
        ({"src/lib.rs": "pub fn a() {}\n", "README.md": TESTED}, False),
        ({"src/lib.rs": "pub fn a() {}\n", "own/Cargo.toml": CRATE, "own/a.rs": TESTED}, False),
        # Its sources are beside its folder.
        ({}, True),
        # They are too many to read.
        ({f"src/a{number}.rs": "" for number in range(100)}, True),
    ],
    ids=["test", "doc", "doc of the file", "none", "in a text", "of another", "above", "many"],
)
def test_a_crate_without_tests_is_not_run_beside_others(files, is_run):
    below = {f"crate/{path}": text for path, text in {"Cargo.toml": CRATE, **files}.items()}
    found = units({**TESTED_BESIDE, **below})
    assert (("crate", "cargo test --workspace") in found) is is_run


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
