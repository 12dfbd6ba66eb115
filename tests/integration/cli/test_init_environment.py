"""A set-up in `orch init` finds what later checkouts find: tags, and the remote `origin`."""

from __future__ import annotations

import pytest

from tests.integration.conftest import git
from tests.integration.test_init import FILE, PLAIN, make, shown

__all__ = ["make"]
SETUP = "git describe --tags > made; git rev-parse origin/HEAD >> made"


@pytest.mark.parametrize("policy", ["all", "none"])
def test_a_set_up_can_derive_a_version_from_tags(make, monkeypatch, policy):
    monkeypatch.setenv("ORCHESTRATOR_CHECKOUT_REFS", policy)
    folder = make({**PLAIN, FILE: f'[environment]\nsetup = "{SETUP} || true"\n'})
    for tag in (("v1.2",), ("-a", "-m", "x", "v1.3")):
        git("tag", *tag, cwd=folder)
    document, _ = shown(folder, "--force")
    assert document["environmentError"] is None
    (made,) = (folder.parent / "home/environments").glob("*/tree/made")
    commit = git("rev-parse", "HEAD", cwd=folder)
    expected = ["v1.3", commit] if policy == "all" else []
    assert [line for line in made.read_text().split() if line != "origin/HEAD"] == expected
