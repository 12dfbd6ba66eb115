"""The products of a set-up as overlays: each agent and each gate has its own view of them."""

from __future__ import annotations

import pytest

from tests.integration.conftest import git, make_remote, running
from tests.integration.test_environments import WRITES, changed, spawned
from tests.processes import eventually
from tests.sandbox.levels import sandbox_at

#: The gate fails if it sees what an agent made or removed.
GATE = 'test \\"$(cat gen/made)\\" = 1 && test ! -e gen/mine'
CONFIG = f"[environment]\nsetup = ['mkdir gen && echo 1 > gen/made']\n[gates]\ntests = \"{GATE}\"\n"


@pytest.fixture(scope="module")
def system(tmp_path_factory):
    home = tmp_path_factory.mktemp("overlays") / "home"
    if not sandbox_at("bubblewrap", home).offers_overlays(home.parent):
        pytest.skip("no overlays here")
    settings = {"ORCHESTRATOR_AGENT": "scripted", "ORCHESTRATOR_PROCESS_LEVEL": "bubblewrap"}
    with running(home, **settings) as system:
        yield system


def test_what_an_agent_does_in_a_product_reaches_neither_gates_nor_other_agents(
    system, tmp_path, script
):
    remote = make_remote(tmp_path, {"orchestrator.toml": CONFIG})
    changes = {"run": "rm gen/made && echo 2 > gen/made && touch gen/mine && mv gen/mine gen/you"}
    for steps in (changes, {"run": 'test "$(ls gen)" = made'}):
        outcome = system.wait(spawned(system, remote, script(steps, WRITES)))
        assert outcome["status"] == "completed", outcome["error"]
        assert changed(remote, outcome["branch"]) == ["a.txt"]
    # They are removed after the result is there.
    for left in ("workspaces/*.layers", "candidates/*"):
        assert eventually(lambda left=left: not list(system.home.glob(left)))


def test_a_product_that_the_base_includes_in_changes_is_copied(system, tmp_path, script):
    # The change has the folder itself, so that the gate gets nothing of the environment in it.
    config = CONFIG.replace(GATE, "test -e gen/mine") + "[capture]\ninclude = ['gen']\n"
    remote = make_remote(tmp_path, {"orchestrator.toml": config})
    outcome = system.wait(spawned(system, remote, script({"run": "echo 1 > gen/mine"})))
    assert outcome["status"] == "completed", outcome["error"]
    assert git("show", f"{outcome['branch']}:gen/mine", cwd=remote) == "1"
