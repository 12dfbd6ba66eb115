"""The parts of manifests that configure, replace or extend a check, and those that do not."""

from __future__ import annotations

import json

import pytest

from orchestrator.gates.check_files import CheckFile, check_file
from orchestrator.gates.command_files import Steps
from orchestrator.gates.tampering import find_tampering
from orchestrator.interfaces.gate import FileChange

PROJECT = '[project]\nname = "x"\nversion = "1"\n'
NODE = {
    "name": "x",
    "scripts": {"test": "mocha $npm_package_config_suite"},
    "config": {"suite": "a"},
}
LOCK = {"packages": {"node_modules/jest": {"resolved": "https://registry.npmjs.org/jest/-/j.tgz"}}}
CARGO = '[package]\nname = "x"\n'
GO = "module x\n\ngo 1.22\n\nrequire y/z v1.0.0\n"


def change(path: str, before: str, after: str) -> FileChange:
    return FileChange(path, before.encode(), after.encode())


def kinds(command: str, path: str, before: str, after: str) -> set[str]:
    found = find_tampering([change(path, before, after)], [command])
    return {finding.kind for finding in found}


def node(**parts: object) -> str:
    return json.dumps({**NODE, **parts})


def lock(address: str) -> str:
    return json.dumps({"packages": {"node_modules/jest": {"resolved": address}}})


@pytest.mark.parametrize(
    ("command", "path", "before", "after", "kind"),
    [
        *(
            (command, "pyproject.toml", PROJECT, f"{PROJECT}{table}\n", kind)
            for command, table, kind in (
                ("poe test", "[tool.poe.tasks]\ntest = 'true'", "gate-command-edited"),
                ("task test", "[tool.taskipy.tasks]\ntest = 'true'", "gate-command-edited"),
                ("pdm run test", "[tool.pdm.scripts]\ntest = 'true'", "gate-command-edited"),
                ("hatch test", "[tool.hatch.envs.a]\nscripts = {}", "gate-command-edited"),
                ("uv run check", "[project.scripts]\ncheck = 'x:y'", "gate-command-edited"),
                ("pytest", "[project.entry-points.pytest11]\nx = 'y'", "check-config-edited"),
                ("pytest", "[tool.poetry.plugins.pytest11]\nx = 'y'", "check-config-edited"),
                ("pytest", "[tool.uv.sources]\npytest = {path = 'y'}", "tool-shadowed"),
                ("pytest", "[tool.uv.sources]\npytest-cov = {git = 'y'}", "tool-shadowed"),
                ("pytest", "[tool.uv.sources]\npytest = [{path = 'y'}]", "tool-shadowed"),
                ("pytest", "[dependency-groups]\nt = ['pytest[a] @ file:y']", "tool-shadowed"),
                ("black .", "[tool.black]\nforce-exclude = '.'", "check-config-edited"),
                ("sloppy check", "[tool.sloppy]\nx = 1", "check-config-edited"),
            )
        ),
        ("pipenv run test", "Pipfile", "", "[scripts]\ntest = 'true'\n", "gate-command-edited"),
        ("green", "setup.cfg", "[metadata]\n", "[metadata]\n[green]\n", "check-config-edited"),
        ("pytest", "setup.cfg", "[options]\n",
         "[options]\n[options.entry_points]\npytest11 =\n  x = y\n", "check-config-edited"),
        ("npm test", "package.json", node(), node(ava={"files": []}), "check-config-edited"),
        ("npm test", "package.json", node(), node(config={"suite": "b"}), "gate-command-edited"),
        ("npm test", "package.json", node(), node(name="jest"), "tool-shadowed"),
        ("npm test", "package.json", node(), node(pnpm={"overrides": {"jest": "link:a"}}),
         "tool-shadowed"),
        ("npm test", "package.json", node(), node(devDependencies={"jest": "workspace:*"}),
         "tool-shadowed"),
        ("npm test", "package-lock.json", json.dumps(LOCK),
         lock("file:src/jest/-/j.tgz"), "tool-shadowed"),
        ("npm test", "package-lock.json", json.dumps(LOCK),
         lock("https://registry.npmjs.org/fake/-/fake-1.tgz"), "tool-shadowed"),
        ("npm ci", "package-lock.json", '{"lockfileVersion": 1}',
         '{"dependencies": {"jest": {"resolved": "file:j.tgz"}}}', "tool-shadowed"),
        ("cargo test", "Cargo.toml", CARGO, f"{CARGO}[lints.rust]\nwarnings = 'allow'\n",
         "check-config-edited"),
        ("cargo test", "Cargo.toml", CARGO, f"{CARGO}[patch.crates-io]\ny = {{path = 'z'}}\n",
         "tool-shadowed"),
        ("cargo test", "Cargo.toml", CARGO,
         f"{CARGO}[[test]]\nname = 'a'\nrequired-features = ['b']\n", "check-config-edited"),
        ("go test ./...", "go.mod", GO, f"{GO}\nreplace y/z => ./z\n", "tool-shadowed"),
        ("go test ./...", "go.mod", GO, f"{GO}\nreplace (\n\ty/z v1.0.0 => z/y v2.0.0\n)\n",
         "tool-shadowed"),
    ],
)  # fmt: skip
def test_a_part_that_a_check_reads_is_found(command, path, before, after, kind):
    assert kinds(command, path, before, after) == {kind}


@pytest.mark.parametrize(
    ("command", "path", "before", "after"),
    [
        ("pytest", "pyproject.toml", PROJECT, f"{PROJECT}[tool.poe.tasks]\nrelease = 'x'\n"),
        ("uv run pytest", "pyproject.toml", PROJECT, f"{PROJECT}[project.scripts]\nx = 'x:y'\n"),
        ("poetry run pytest", "pyproject.toml", PROJECT, f"{PROJECT}[tool.poetry]\nname = 'y'\n"),
        ("pytest", "pyproject.toml", PROJECT,
         f"{PROJECT}[dependency-groups]\ntest = ['pytest>=8', 'y @ https://example.org/y']\n"),
        ("pytest", "pyproject.toml", PROJECT, f"{PROJECT}[project.entry-points.shop]\nx = 'y'\n"),
        ("pytest", "setup.cfg", "[options]\n",
         "[options]\n[options.entry_points]\nconsole_scripts =\n  x = y\n"),
        ("npm test", "package.json", node(), node(dependencies={"a": "file:a"}, main="b")),
        ("pytest", "pyproject.toml", PROJECT,
         f"{PROJECT}[tool.poetry.dependencies]\npytest = {{version = '^8', extras = ['x']}}\n"),
        ("npm test", "package.json", node(), node(devDependencies={"jest": "^30.1.0"})),
        ("npm test", "package.json", node(), node(packageManager="pnpm@9.1.0+sha256.ab")),
        ("npm test", "package-lock.json", json.dumps(LOCK),
         lock("https://registry.npmjs.org/jest/-/k.tgz")),
        ("npm test", "package-lock.json", '{"packages": {}}',
         '{"packages": {"node_modules/x": {"resolved": "git+ssh://git@x.example/x.git"}}}'),
        ("npm test", "package-lock.json", '{"packages": {}}',
         '{"packages": {"node_modules/chai": {"inBundle": true}}}'),
        ("cargo test", "Cargo.toml", CARGO, f"{CARGO}[[test]]\nname = 'a'\n[features]\ny = []\n"),
        ("go test ./...", "go.mod", GO, f"{GO}\nrequire y/a v1.0.0 // indirect\n"),
    ],
)  # fmt: skip
def test_a_part_of_the_project_itself_is_none(command, path, before, after):
    assert kinds(command, path, before, after) == set()


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("pyproject.toml", PROJECT), ("setup.cfg", "[metadata]\n"), ("Pipfile", "[packages]\n"),
        ("package.json", '{"name": "x"}'), ("package-lock.json", '{"packages": {"": {}}}'),
        ("Cargo.toml", CARGO), ("go.mod", GO),
    ],
)  # fmt: skip
@pytest.mark.parametrize("command", ["python3 -m pytest", "uv run test", "npm test"])
def test_a_new_manifest_without_such_a_part_is_none(command, path, text):
    found = find_tampering([FileChange(path, None, text.encode())], [command])
    assert not found
    assert check_file(FileChange(path, None, text.encode()), Steps([command]), ()) is None


@pytest.mark.parametrize(
    ("path", "before", "after", "kind"),
    [
        ("go.mod", GO, f"{GO}\nreplace y/z => ./z\n", CheckFile.CONFIG),
        ("Cargo.toml", CARGO, f"{CARGO}[lints.rust]\nwarnings = 'allow'\n", None),
        ("pyproject.toml", PROJECT, f"{PROJECT}[tool.black]\nx = 1\n", None),
    ],
)
def test_the_bases_tests_run_with_the_bases_part(path, before, after, kind):
    assert check_file(change(path, before, after), Steps(["pytest"]), ()) is kind
