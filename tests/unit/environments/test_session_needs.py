"""What tox, nox and pre-commit install for a tool of a gate is in the environment."""

from __future__ import annotations

import pytest

from tests.unit.environments.test_recipe import BUILT, TEST, recipe, steps

MYPY = "[tool.mypy]\nfiles = ['a']\n"
FROZEN = "rev: 41e691678310dfd3833f7ab4e180ddb014310356"


def installed(files: dict[str, str]) -> list[str]:
    """Return the words of the only command of a set-up."""
    (command,) = steps({"pyproject.toml": f"{BUILT}{MYPY}", **TEST, **files})
    return command.partition(" --no-input ")[2].split()


def tox(deps: str, commands: str = "mypy") -> dict[str, str]:
    lines = deps.replace("\n", "\n  ")
    return {"tox.ini": f"[testenv:types]\ndeps =\n  {lines}\ncommands = {commands}\n"}


def nox(*calls: str) -> dict[str, str]:
    body = "\n    ".join(calls)
    return {"noxfile.py": f"import nox\n@nox.session\ndef types(session):\n    {body}\n"}


def hook(rev: str, *needs: str, name: str = "mypy") -> dict[str, str]:
    text = f"repos:\n- repo: https://example.org/mirrors-mypy\n  {rev}\n  hooks:\n  - id: {name}\n"
    return {
        ".pre-commit-config.yaml": text + f"    additional_dependencies: [{', '.join(needs)}]\n"
    }


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (tox("types-x\nmypy>=1.2,<3"), ["types-x", "'mypy>=1.2,<3'"]),
        # A line under a condition, a path, an option, an address, and what tox fills in.
        (tox("x: y\n.[a]\n-r r.txt\n--group test\nz @ https://e.org/z\n{env:A}\na"), ["a", "mypy"]),
        # Sessions that run other tools need other things.
        (tox("sphinx", commands="sphinx-build ."), ["mypy"]),
        (
            {"tox.toml": "[env.types]\ndeps = ['types-x']\ncommands = [['mypy', 'a']]\n"},
            ["types-x", "mypy"],
        ),
        (
            nox("session.install('types-x', 'a', '-U', 'b')", "session.run('mypy')"),
            ["types-x", "a", "b", "mypy"],
        ),
        # Values of options are no distributions, and pieces of texts are no requirements.
        (
            nox(
                "session.install('-e', '.', '--group', 'test', f'c=={x}', *more, 'd')",
                "session.run('mypy')",
            ),
            ["d", "mypy"],
        ),
        (hook("rev: v1.5.0", "types-x", "'y>=2'", "'.[a]'"), ["types-x", "'y>=2'", "mypy==1.5.0"]),
        (hook(f"{FROZEN}  # frozen: v2.3.0"), ["mypy==2.3.0"]),
        (hook(f"{FROZEN} # v2.3"), ["mypy==2.3"]),
        (hook(f"{FROZEN}"), ["mypy"]),
        (hook(f"{FROZEN}  # newest"), ["mypy"]),
        (hook("rev: v1.5.0", "types-x", name="pyright"), ["mypy==1.5.0"]),
    ],
)
def test_what_a_session_installs_for_a_gates_tool(files, expected):
    found = installed(files)
    assert [word for word in found if word not in ("-e", ".", "pytest")] == expected


def test_a_distribution_that_is_named_elsewhere_keeps_its_version():
    listed = {"requirements-dev.txt": "mypy==1.0\ntomli; python_version < '3.11'\n"}
    found = installed({**listed, **hook("rev: v1.5.0", "mypy==2.0", "tomli")})
    assert found == ["-r", "requirements-dev.txt", "-e", ".", "tomli", "pytest"]


def test_a_configuration_of_the_gates_needs_no_new_environment():
    """So the agent that follows `orch init` finds the environment in which it ran the gates."""
    files = {"pyproject.toml": f"{BUILT}{MYPY}", **TEST}
    own = {"orchestrator.toml": "[gates]\ntypecheck = 'mypy'\ntests = 'python3 -m pytest'\n"}
    before, after = recipe(files), recipe({**files, **own})
    assert (before.parts, before.inputs) == (after.parts, after.inputs)


NEEDS = {
    "requirements-types.txt": "types-x==1.2  # why\n-r more.txt\nmypy==1.5.0 --hash=sha256:0\n"
}


@pytest.mark.parametrize(
    "session",
    [
        tox("-r requirements-types.txt"),
        tox("-rrequirements-types.txt"),
        tox("-r {toxinidir}/requirements-types.txt"),
        tox("--requirement=./requirements-types.txt"),
        nox("session.install('-r', 'requirements-types.txt')", "session.run('mypy')"),
        nox("session.install('-rrequirements-types.txt')", "session.run('mypy')"),
        {"tox.toml": "[env.t]\ndeps = ['-r requirements-types.txt']\ncommands = [['mypy', 'a']]\n"},
    ],
)
def test_a_file_of_requirements_that_a_session_names_is_read(session):
    assert installed({**session, **NEEDS}) == ["-e", ".", "types-x==1.2", "pytest", "mypy"]


@pytest.mark.parametrize(
    "session",
    [
        *map(tox, ("a: -r requirements-types.txt", "-r {envname}.txt", "-r missing.txt")),
        tox("-c requirements-types.txt"),
        nox("session.install('-c', 'requirements-types.txt')", "session.run('mypy')"),
    ],
)
def test_a_file_under_a_condition_or_without_a_known_name_is_not_read(session):
    assert installed({**session, **NEEDS}) == ["-e", ".", "pytest", "mypy"]
