"""Modules of Go below a `go.work`: it lists some at any depth, and leaves others out."""

from __future__ import annotations

import pytest

from tests.unit.environments.test_recipe import steps
from tests.unit.gates.test_packages import named, units

TEST = {"a_test.go": "", "go.mod": ""}


def module(folder: str, text: str = "") -> dict[str, str]:
    return {f"{folder}/go.mod": text, f"{folder}/a_test.go": ""}


@pytest.mark.parametrize(
    "workspace",
    [
        "go 1.22\n\nuse (\n\t.\n\t./a/b/c/d // deep\n)\n",
        "use .\nuse ./a/b/c/d\n",
        'use (\n\t"."\n\t"./a/b/c/d/"\n)\n',
    ],
)
def test_a_module_that_a_workspace_lists_is_judged_at_any_depth(workspace):
    files = {"go.work": workspace, **TEST, **module("a/b/c/d"), **module("a/b/c/e")}
    assert units(files) == {("", "go test -v ./..."), ("a/b/c/d", "go test -v ./...")}
    assert named(files) == {"a/b/c/e"}


def test_a_workspace_without_a_module_at_its_root_lists_modules_too():
    files = {"go.work": "use ./a/b/c\n", **module("a/b/c")}
    assert units(files) == {("a/b/c", "go test -v ./...")}


@pytest.mark.parametrize(
    "workspace", ["use ./a\n", "// use ./tools\nuse ./a\n", "use (\n\t./a // ./tools\n)\n", ""]
)
def test_a_module_outside_the_workspace_around_it_runs_without_the_workspace(workspace):
    files = {"go.work": workspace, **module("a"), **module("tools")}
    assert ("tools", "GOWORK=off go test -v ./...") in units(files)


def test_the_nearest_workspace_counts_and_lists_modules_beside_it():
    files = {
        "go.work": "use ./a\n", "x/go.work": "use (\n.\n../y\n)\n", **module("a"), **module("x"),
        **module("y"),
    }  # fmt: skip
    assert units(files) == {
        ("a", "go test -v ./..."), ("x", "go test -v ./..."), ("y", "GOWORK=off go test -v ./..."),
    }  # fmt: skip


def test_the_modules_of_a_module_outside_the_workspace_are_downloaded_without_it():
    needs = "module x\nrequire y v1.0.0\n"
    files = {"go.work": "use ./a\n", **module("a", needs), **module("tools", needs)}
    assert steps(files) == ["cd a && go mod download", "cd tools && GOWORK=off go mod download"]


def test_the_tests_of_a_nested_module_are_none_of_the_module_around_it():
    assert units({"go.mod": "", "a.go": "", **module("tools")}) == {("tools", "go test -v ./...")}
