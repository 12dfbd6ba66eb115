"""The files and lines that commands run, also through make and npm: parts of real projects."""

from __future__ import annotations

import json

import pytest

from orchestrator.gates.command_files import Steps, files_run, lines_run, make_rules, recipe_of

MAKE = """
PYTHON ?= python3
NAME := judge
include mk/common.mk
-include $(HERE)/mk/more.mk mk/last.mk
all: test
test: build  # the tests
\t@$(PYTHON) tools/$(NAME).py $(EXTRA_FLAGS) $(UNKNOWN)
\t$(MAKE) inner
build: ; sh build.sh
inner:
\tsh inner.sh
setup:
\tsh setup.sh
"""
SCRIPTS = {
    "preunit": "sh before.sh",
    "unit": "node run.js && npm run other",
    "other": "sh other.sh",
    "install": "sh at-install.sh",
    "deploy": "sh deploy.sh",
    "bad": 1,
}
TREE = {"Makefile": MAKE, "package.json": json.dumps({"scripts": SCRIPTS})}


def reads(files: dict[str, str]):
    return lambda path: files[path].encode() if path in files else None


@pytest.mark.parametrize(
    ("command", "files"),
    [
        ("./run-tests.sh --all", {"run-tests.sh"}),
        ("CI=1 A=2 ./run.sh", {"run.sh"}),
        ("env time ./run.sh x", {"run.sh"}),
        ("uv run python tools/judge.py src", {"tools/judge.py"}),
        ("if sh a.sh; then bash b.sh; fi", {"a.sh", "b.sh", "fi"}),
        ("node -r ./hook.js main.js other.js", {"hook.js", "main.js"}),
        ("node --test main.js", {"main.js"}),
        ("(sh a.sh)", {"a.sh)"}),
        ("sh 'a b.sh' && ./c | ./d", {"a b.sh", "c", "d"}),
        ("sh a'b.sh", {"a'b.sh"}),
        ("$(PYTHON) tools/judge.py", {"tools/judge.py"}),
        ("$(HERE)/run.sh", {"run.sh"}),
        ("A=1", set()),
        ("make test", {"make"}),
    ],
)
def test_the_files_that_a_command_runs_itself(command, files):
    assert Steps([command]).files == files


def test_only_words_that_may_name_a_module_are_tools():
    tools = Steps(["./check --all 2nd a.b slowcheck"]).tools
    assert {"check", "slowcheck", "pytest"} <= tools
    assert not {"--all", "2nd", "a.b"} & tools


@pytest.mark.parametrize(
    ("commands", "files"),
    [
        (["make test"], {"tools/judge.py", "build.sh", "inner.sh"}),
        (["make inner"], {"inner.sh"}),
        # Without a target make chooses one itself.
        (["make"], {"tools/judge.py", "build.sh", "inner.sh", "setup.sh"}),
        (["npm run unit"], {"before.sh", "run.js", "other.sh", "at-install.sh"}),
        (["npm run deploy"], {"deploy.sh", "at-install.sh"}),
        (["sh other"], set()),
    ],
)
def test_the_files_that_make_and_npm_run(commands, files):
    ran = files_run(reads(TREE), commands)
    assert {path for path in ran if path.endswith((".sh", ".py", ".js"))} == files
    included = {path for path in ran if path.endswith(".mk")}
    assert bool(included) is commands[0].startswith("make")


def test_a_script_that_runs_make_and_a_recipe_that_runs_npm():
    """Neither is named by the command itself."""
    by_npm = {**TREE, "package.json": json.dumps({"scripts": {"unit": "make inner"}})}
    ran = files_run(reads(by_npm), ["npm run unit"])
    assert {"inner.sh", "mk/common.mk"} <= ran
    assert "setup.sh" not in ran
    by_make = {**TREE, "Makefile": "test:\n\tnpm run other\n"}
    assert "other.sh" in files_run(reads(by_make), ["make test"])


def test_without_make_no_rule_of_it_is_read():
    lines, included = lines_run(reads(TREE), ["npm run inner"])
    assert "sh inner.sh" not in lines
    assert not included


@pytest.mark.parametrize("package", ["[]", "{", '{"scripts": []}', "[" * 100_000])
def test_a_package_that_npm_would_refuse_has_no_scripts(package):
    tree = {"Makefile": MAKE, "package.json": package}
    assert "inner.sh" in files_run(reads(tree), ["make test"])


def test_variables_are_replaced_and_options_that_nobody_gives_are_empty():
    rules, included = make_rules(reads(TREE))
    assert set(recipe_of("test", rules)) == {
        "python3 tools/judge.py  $(UNKNOWN)", "$(MAKE) inner", "sh inner.sh", " sh build.sh",
    }  # fmt: skip
    assert included == {"mk/common.mk", "mk/more.mk", "mk/last.mk"}
    assert not {"NAME", "PYTHON ?"} & rules.keys()


def test_a_rule_that_two_others_need_runs_once_and_a_condition_ends_no_recipe():
    text = "all: a b\na: c\n\tsh a.sh\nendif\n\tsh more.sh\nb: c\nc:\n\tsh c.sh\n"
    rules, _ = make_rules(reads({"Makefile": text}))
    assert sorted(recipe_of("all", rules)) == ["sh a.sh", "sh c.sh", "sh more.sh"]


def test_the_first_makefile_that_make_finds_and_the_rules_of_the_included_count():
    tree = {"GNUmakefile": "include a.mk\n", "Makefile": "a:\n\tsh no.sh\n"}
    tree["a.mk"] = "a b: c \\\n d\n\tsh yes.sh\nc:\n\tsh c.sh\nd::\n\tsh d.sh\n"
    rules, _ = make_rules(reads(tree))
    assert set(recipe_of("b", rules)) == {"sh yes.sh", "sh d.sh", "sh c.sh"}
