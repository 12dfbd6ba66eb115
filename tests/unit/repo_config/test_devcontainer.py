"""What is read of a devcontainer.json, and what is named as not taken over."""

from __future__ import annotations

import pytest

from orchestrator.repo_config.devcontainer import Devcontainer, read_devcontainer

PLACE = ".devcontainer/devcontainer.json"


def read(text: str, *more: str, path: str = PLACE) -> Devcontainer:
    files = {path: text.encode(), **dict.fromkeys(more, b"{}")}
    found = read_devcontainer(files.get, files.keys())
    assert found is not None
    return found


def test_comments_and_last_commas_are_read_and_texts_with_slashes_stay() -> None:
    text = """\ufeff// a comment
    {
      "image": "mcr.example.org/base:1-3.12", /* another, with a "quote" */
      "containerEnv": {"URL": "https://example.org/a,]", "A": "/* b */",},
      "postCreateCommand": "echo '//' && make",
    }"""
    found = read(text)
    assert found.environment.image == "mcr.example.org/base:1-3.12"
    assert found.environment.variables == {"URL": "https://example.org/a,]", "A": "/* b */"}
    assert found.environment.setup == ("echo '//' && make",)
    assert found.notes == ()


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ('"npm ci && npm run build"', ("npm ci && npm run build",)),
        ('["pip", "install", "-e", ".[a b]"]', ("pip install -e '.[a b]'",)),
        ('{"web": "npm ci", "api": ["make", "x y"]}', ("npm ci", "make 'x y'")),
        ('""', None),
        ("[]", None),
        ("{}", None),
        ("null", None),
    ],
)
def test_each_form_of_a_command(command: str, expected: tuple[str, ...] | None) -> None:
    found = read(f'{{"postCreateCommand": {command}}}')
    assert found.environment.setup == expected
    assert found.notes == ()


def test_commands_run_in_the_order_of_their_events() -> None:
    text = '{"postCreateCommand": "c", "onCreateCommand": "a", "updateContentCommand": ["b"]}'
    assert read(text).environment.setup == ("a", "b", "c")


@pytest.mark.parametrize(
    ("text", "note"),
    [
        ('{"build": {"dockerfile": "Dockerfile"}}', "build is not supported: build the image"),
        ('{"dockerFile": "Dockerfile"}', "dockerFile is not supported: build the image"),
        ('{"dockerComposeFile": ["c.yml"]}', "dockerComposeFile is not supported: services"),
        ('{"features": {"ghcr.example/f/node:1": {}}}', "features (ghcr.example/f/node:1) is not"),
        ('{"remoteUser": "vscode"}', 'remoteUser "vscode" is ignored: programs run as the owner'),
        ('{"containerUser": "root"}', 'containerUser "root" is ignored'),
        ('{"postStartCommand": "x"}', "postStartCommand is not supported: use the hook"),
        ('{"image": "${localEnv:IMAGE}"}', 'image is not taken over: "${localEnv:IMAGE}"'),
        ('{"image": ["a"]}', 'image is not taken over: ["a"]'),
        ('{"postCreateCommand": "cd ${containerWorkspaceFolder}"}', "contains a variable"),
        ('{"postCreateCommand": 7}', "postCreateCommand is not taken over: it is no command"),
        ('{"postCreateCommand": {"a": [1]}}', "postCreateCommand.a is not taken over"),
        ('{"containerEnv": {"PATH": "/x"}}', "containerEnv PATH is not taken over: the sandbox"),
        ('{"containerEnv": {"A": "${localEnv:B}"}}', "containerEnv A is not taken over"),
        ('{"containerEnv": {"A": null}}', "containerEnv A is not taken over"),
        ('{"containerEnv": {"a b": "c"}}', 'containerEnv "a b" is not taken over'),
        ('{"image": "a"', f"{PLACE} is not read: "),
        ('["a"]', f"{PLACE} is not read: it must be one object"),
        ("[" * 100_000, f"{PLACE} is not read: "),
    ],
)
def test_what_is_not_taken_over_is_named(text: str, note: str) -> None:
    found = read(text)
    assert not found.environment.model_fields_set
    assert len(found.notes) == 1
    assert note in found.notes[0]


def test_the_first_of_several_places_is_read_and_the_others_are_named() -> None:
    others = (".devcontainer.json", ".devcontainer/b/devcontainer.json", "x/.devcontainer.json")
    found = read('{"image": "a:1"}', *others)
    assert (found.path, found.environment.image) == (PLACE, "a:1")
    assert [note.split()[0] for note in found.notes] == [*others[:2]]
    assert read_devcontainer({}.get, ["README.md", "x/.devcontainer/devcontainer.json"]) is None
