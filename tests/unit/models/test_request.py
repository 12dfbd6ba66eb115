"""Requests are parsed once, at the door, with every fault named."""

from __future__ import annotations

from copy import deepcopy

import pytest

from orchestrator.errors import RequestInvalid
from orchestrator.models import AgentType, GateProfile, SpawnRequest

GOOD = {
    "taskId": "task-1",
    "agentType": "worker",
    "context": {
        "repository": "https://git.example/team/repo.git",
        "branch": "main",
        "workItems": ["do it"],
    },
}


def with_context(**context: object) -> dict[str, object]:
    document = deepcopy(GOOD)
    document["context"].update(context)
    return document


def faults(document: object) -> dict[str, str]:
    with pytest.raises(RequestInvalid) as caught:
        SpawnRequest.parse(document)
    return dict(caught.value.faults)


def test_a_minimal_request_gets_the_contracts_defaults():
    request = SpawnRequest.parse(GOOD)
    assert (request.priority, request.max_retries, request.agent) == (5, 3, None)
    assert request.profile is GateProfile.STANDARD


@pytest.mark.parametrize(
    ("agent_type", "profile"),
    [
        (AgentType.REVIEWER, GateProfile.STRICT),
        (AgentType.WORKER, GateProfile.STANDARD),
        (AgentType.TESTER, GateProfile.MINIMAL),
    ],
)
def test_each_agent_type_has_its_default_profile(agent_type, profile):
    assert SpawnRequest.parse({**GOOD, "agentType": agent_type}).profile is profile


def test_every_fault_is_listed_with_its_path():
    document = {"agentType": "boss", "context": {"workItems": []}, "priority": 11, "extra": 1}
    assert set(faults(document)) == {
        "taskId",
        "agentType",
        "context.repository",
        "context.branch",
        "context.workItems",
        "priority",
        "extra",
    }


@pytest.mark.parametrize("document", [None, [], "text", 7])
def test_what_is_no_object_is_refused(document):
    assert "body" in faults(document)


@pytest.mark.parametrize("priority", ["5", 5.5, True, 0, 11, -1])
def test_priority_is_a_whole_number_from_1_to_10(priority):
    assert "priority" in faults({**GOOD, "priority": priority})


def test_a_number_that_is_whole_by_its_value_is_whole():
    """JSON has one kind of number, and JSON Schema counts 5.0 as an integer."""
    assert SpawnRequest.parse({**GOOD, "priority": 5.0}).priority == 5


@pytest.mark.parametrize(
    "repository",
    [
        "https://git.example/a/b.git",
        "ssh://git@git.example:2222/a/b.git",
        "git@git.example:a/b.git",
        "git@git.example:/srv/git/b.git",
        "git.example:/srv/git/b.git",
        "/srv/git/b.git",
    ],
)
def test_https_ssh_and_local_paths_are_repositories(repository):
    parsed = SpawnRequest.parse(with_context(repository=repository))
    assert parsed.context.repository == repository


def test_a_file_url_is_its_path():
    parsed = SpawnRequest.parse(with_context(repository="file:///srv/git/b.git"))
    assert parsed.context.repository == "/srv/git/b.git"


@pytest.mark.parametrize(
    "repository",
    [
        "",
        "ext::sh -c touch% /x",
        "--upload-pack=touch /x",
        "-oProxyCommand=x:y",
        "http://git.example/b.git",
        "git://git.example/b.git",
        "ftp://git.example/b.git",
        "relative/path",
        "file://relative",
        "https:/git.example/a/b.git",
        "git@git.example://a/b.git",
        "ssh://-oProxyCommand=x/y",
        "https://a b/c",
        "/srv/git\n/x",
        "fd::3",
    ],
)
def test_other_transports_and_options_in_disguise_are_refused(repository):
    assert "context.repository" in faults(with_context(repository=repository))


@pytest.mark.parametrize(
    "branch",
    [
        "main",
        "feature/x-1",
        "refs/heads/main",
        "v1.2",
        "a@b",
        "_x",
        "fix/#123",
        "größe",
        "x;id",
        "$(id)",
    ],
)
def test_branches_that_git_accepts_are_accepted(branch):
    parsed = SpawnRequest.parse(with_context(branch=branch))
    assert parsed.context.branch == branch.removeprefix("refs/heads/")


@pytest.mark.parametrize(
    "branch",
    ["", "-x", "--upload-pack=x", "HEAD", "a..b", "a//b", "@{-1}", "a.lock",
     "a/.b", "a.", "a/", "a b", "a\n", "x:y", "a^", "a~1"],
)  # fmt: skip
def test_branches_that_git_refuses_are_refused(branch):
    assert "context.branch" in faults(with_context(branch=branch))


def test_gates_belong_to_the_custom_profile_only():
    assert SpawnRequest.parse({**GOOD, "gateProfile": "custom", "gates": ["tests"]}).gates
    faults({**GOOD, "gates": ["tests"]})
    faults({**GOOD, "gateProfile": "custom"})


def test_control_characters_in_a_task_id_are_refused():
    assert "taskId" in faults({**GOOD, "taskId": "a\x1b[2Jb"})


def test_what_was_parsed_reads_back_the_same():
    request = SpawnRequest.parse({**GOOD, "priority": 9, "agent": "scripted"})
    assert SpawnRequest.parse(request.wire()) == request
