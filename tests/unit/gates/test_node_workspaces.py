"""Packages of Node in a workspace: which are its members, how they run, and what they install."""

from __future__ import annotations

import json

import pytest

from orchestrator.models import GateProfile
from tests.unit.gates.test_packages import named, package, units
from tests.unit.gates.test_plan import plan_of

WORKSPACE = {"workspaces": ["packages/*"]}


@pytest.mark.parametrize(
    ("files", "command"),
    [
        (
            {"package.json": package(WORKSPACE), "packages/a/package.json": package(test="x"),
             "packages/b/package.json": package(test="x"),
             "packages/c/package.json": package(lint="x")},
            "npm run --silent test -w packages/a -w packages/b",
        ),
        (
            {"package.json": package(WORKSPACE, test="node --test"),
             "packages/a/package.json": package(test="x")},
            "npm run --silent test && npm run --silent test -w packages/a",
        ),
        (
            {"package.json": package(WORKSPACE, test="npm test --workspaces"),
             "packages/a/package.json": package(test="x")},
            "npm run --silent test",
        ),
        (
            {"package.json": package({"packageManager": "pnpm@9.1.0"}),
             "pnpm-workspace.yaml": "packages: ['packages/**', '!packages/c']\n",
             "packages/a/deep/er/package.json": package(test="x"),
             "packages/c/package.json": package()},
            "pnpm --filter ./packages/a/deep/er run test",
        ),
        (
            {"package.json": package({**WORKSPACE, "packageManager": "yarn@4.1.0"}),
             "packages/a/package.json": package({"name": "@x/a"}, test="x"),
             "packages/b/package.json": json.dumps({"scripts": {"test": "x"}})},
            "yarn --cwd packages/a run test && yarn --cwd packages/b run test",
        ),
        (
            {"package.json": package({"workspaces": {"packages": ["packages/*"]}}), "bun.lock": "",
             "packages/a/package.json": package(test="x")},
            "bun --filter ./packages/a run test",
        ),
    ],
)  # fmt: skip
def test_the_members_of_a_workspace_are_run_from_its_root(files, command):
    assert units(files) == {("", command)}


@pytest.mark.parametrize(
    ("pattern", "folder", "is_member"),
    [
        ("packages/*", "packages/a", True),
        ("packages/*", "packages/a/example", False),
        ("packages/*", "packages", False),
        ("packages/*", "examples/a", False),
        ("packages/*/*", "packages/a", False),
        ("packages/**", "packages/a/example", True),
        ("packages/**", "packages/a/node_modules/b", False),
        ("**/app", "examples/app", True),
        ("**/app", "app", True),
        ("examples/**/app", "examples/a/app", True),
        ("examples/**/app", "examples/a/b", False),
    ],
)
def test_the_patterns_of_a_workspace_say_which_packages_are_its_members(pattern, folder, is_member):
    files = {
        "package.json": package({"workspaces": [pattern]}, test="x"),
        f"{folder}/package.json": package(test="x"),
    }
    together = ("", f"npm run --silent test && npm run --silent test -w {folder}")
    assert (together in units(files)) is is_member


def test_a_package_that_is_no_member_is_judged_in_its_own_folder():
    files = {
        "package.json": package({"workspaces": ["*"]}, test="x"),
        "a/example/package.json": package(test="x"),
    }
    command = "npm run --silent test"
    assert units(files) == {("", command), ("a/example", command)}


def test_a_member_that_cannot_be_read_is_named():
    files = {
        "package.json": package(WORKSPACE, test="x"),
        "packages/a/package.json": '{"scripts": {"test": ["x"]}}',
    }
    assert units(files) == {("", "npm run --silent test")}
    assert named(files) == {"packages/a/package.json"}


@pytest.mark.parametrize(
    ("path", "is_test"),
    [
        ("a.test.js", True),
        ("src/__tests__/a.tsx", True),
        ("a.js", False),
        ("node_modules/a/b.test.js", False),
    ],
)
def test_tests_of_a_package_that_no_script_runs_are_named(path, is_test):
    assert ("package.json" in named({"package.json": package(build="x"), path: ""})) is is_test


@pytest.mark.parametrize(
    ("scripts", "blocks"), [({"build": "x"}, True), ({"test": "node --test"}, False)]
)
def test_a_member_with_tests_that_no_script_runs_is_named(scripts, blocks):
    files = {
        "package.json": package(WORKSPACE, **scripts),
        "packages/a/package.json": package(test="x"),
        "packages/a/a.test.js": "",
        "packages/b/package.json": package(),
        "packages/b/src/b.test.js": "",
        "packages/c/package.json": package(),
    }
    entries = plan_of(files, GateProfile.MINIMAL).not_judged
    assert [(each.path, each.blocks) for each in entries] == [("packages/b/package.json", blocks)]


def test_a_script_of_a_member_that_no_gate_runs_is_named():
    files = {
        "package.json": package(WORKSPACE, test="x"),
        "packages/a/package.json": package(**{"test": "x", "check:a": "x"}),
    }
    assert named(files) == {"packages/a/package.json"}


@pytest.mark.parametrize(
    ("manager", "scripts"),
    [
        ("npm@10.1.0", {}),
        ("pnpm@9.1.0", {}),
        ("yarn@1.22.0", {}),
        ("bun@1.1.0", {}),
        ("npm@10.1.0", {"test": "npm test --workspaces"}),
        ("pnpm@9.1.0", {"test": "pnpm -r --parallel test"}),
        ("pnpm@9.1.0", {"test": "turbo run lint test"}),
        ("yarn@4.1.0", {"test": "yarn workspaces foreach -A run test"}),
        ("npm@10.1.0", {"test": "npm run all", "all": "eslint . && lerna run test"}),
    ],
)
@pytest.mark.parametrize("top", ["", "web/"])
def test_a_program_that_the_members_of_a_workspace_run_is_known_by_its_path(manager, scripts, top):
    files = {
        "package.json": package({**WORKSPACE, "packageManager": manager}, **scripts),
        "packages/a/package.json": package(test="node run.js", build="node build.js"),
        **dict.fromkeys(("packages/a/run.js", "packages/a/build.js", "examples/b/run.js"), ""),
        "examples/b/package.json": package(start="node run.js"),
    }
    plan = plan_of({top + path: text for path, text in files.items()}, GateProfile.MINIMAL)
    assert {path for path in plan.files if path.endswith(".js")} == {f"{top}packages/a/run.js"}


@pytest.mark.parametrize(
    "files",
    [
        # The script of the root has the same name.
        {"package.json": package(WORKSPACE, test="npm run unit", unit="node --test")},
        # There is no workspace around the command.
        {"Makefile": "test:\n\tturbo run unit\n"},
    ],
)
def test_the_scripts_of_members_that_no_command_runs_are_not_followed(files):
    member = {"packages/a/package.json": package(unit="node run.js"), "packages/a/run.js": ""}
    assert "packages/a/run.js" not in plan_of({**files, **member}, GateProfile.MINIMAL).files


@pytest.mark.parametrize(
    ("declared", "files", "command"),
    [
        ({}, ["yarn.lock"], "yarn install --frozen-lockfile && yarn run test"),
        ({}, ["yarn.lock", ".yarnrc.yml"], "yarn install --immutable && yarn run test"),
        (
            {"packageManager": "yarn@4.1.0"},
            ["yarn.lock"],
            "yarn install --immutable && yarn run test",
        ),
        (
            {"packageManager": "yarn@1.22.19"},
            ["yarn.lock"],
            "yarn install --frozen-lockfile && yarn run test",
        ),
        (
            {"devEngines": {"packageManager": {"name": "yarn", "version": "10.0.0"}}},
            ["yarn.lock"],
            "yarn install --immutable && yarn run test",
        ),
        # Another manager's lock file, and a configuration, are no lock file of it.
        ({"packageManager": "npm@10.1.0"}, ["yarn.lock"], "npm run --silent test"),
        ({}, ["bunfig.toml"], "bun run --silent test"),
        (
            {},
            ["bunfig.toml", "bun.lock"],
            "bun install --frozen-lockfile && bun run --silent test",
        ),
    ],
)
def test_the_installation_is_that_of_the_manager_and_its_lock_file(declared, files, command):
    manifest = package({**declared, "devDependencies": {"a": "1"}}, test="x")
    assert units({"package.json": manifest, **dict.fromkeys(files, "")}) == {("", command)}
