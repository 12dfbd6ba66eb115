"""The Makefiles of contributions are named and do not run, unless they are all that there is."""

from __future__ import annotations

import pytest

from orchestrator.models import GateProfile
from tests.unit.gates.test_plan import plan_of

MAKEFILE = "test:\n\t./t\n"
CRATE = '[package]\nname = "x"\nversion = "1.0.0"\n'


def test_a_contribution_is_named_if_the_root_has_tests():
    files = {"Makefile": MAKEFILE, "a.c": "", "contrib/x/Makefile": MAKEFILE}
    assert judged(files) == {("", "make test")}
    assert named(files) == {"contrib/x"}


@pytest.mark.parametrize("folder", ["contributed", "src/contrib", "tools", "contrib"])
def test_any_other_folder_is_judged(folder):
    files = {"Makefile": MAKEFILE, f"{folder}/Makefile": MAKEFILE}
    assert judged(files) == {("", "make test"), (folder, "make test")}


def test_contributions_without_a_tested_root_and_packages_in_them_are_judged():
    assert judged({"contrib/x/Makefile": MAKEFILE}) == {("contrib/x", "make test")}
    untested = {"Makefile": "lint:\n\t./l\n", "contrib/x/Makefile": MAKEFILE}
    assert judged(untested) == {("contrib/x", "make test")}
    crate = {"contrib/x/Cargo.toml": CRATE, "contrib/x/src/lib.rs": "#[test]\nfn t() {}\n"}
    both = {("", "make test"), ("contrib/x", "cargo test --workspace")}
    assert judged({"Makefile": MAKEFILE, **crate}) == both
    assert not named({"Makefile": MAKEFILE, **crate})
    # The Makefile of the contribution is left out, the crate beside it is not.
    assert judged({"Makefile": MAKEFILE, "contrib/x/Makefile": MAKEFILE, **crate}) == both


def judged(files: dict[str, str]) -> set[tuple[str, str | None]]:
    plan = plan_of(files, GateProfile.MINIMAL)
    return {(gate.folder, gate.command) for gate in plan.gates}


def named(files: dict[str, str]) -> set[str]:
    return {entry.path for entry in plan_of(files, GateProfile.MINIMAL).not_judged}
