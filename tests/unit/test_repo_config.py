"""One configuration of a repository: parsed as a whole, refused with file, table and key.

`python -m tests.unit.test_repo_config` writes the shipped schema anew.
"""

from __future__ import annotations

import tomllib
from pathlib import Path

import jsonschema
import pytest

from orchestrator.errors import HooksInvalid, PlanInvalid, RepoConfigInvalid
from orchestrator.gates.profiles import profiles
from orchestrator.models import GateProfile
from orchestrator.repo_config import (
    GatesConfig,
    RepoConfig,
    make_schema,
    read_repo_config,
    schema_text,
    shipped_schema,
)

SCHEMA = Path(__file__).parents[2] / "orchestrator" / "repo_config" / "schema.json"
FULL = """
profile = "custom"
[gates]
typecheck = {not_applicable = "all of it is shell"}
lint = ["a", {command = "b", folder = "web/./app", timeout = "5m", network = true}]
tests = "pytest -q"
coverage = {command = "c", report = "r/c.json", minimum = 12.5}
[hooks]
after_create = "uv sync"
[capture]
ignore = ["*.log", "/build/"]
include = ["dist/app.js"]
"""
#: What is no such file, or says what is not allowed; with the class and the words of its fault.
FAULTS = [
    ("[gates", PlanInvalid, "orchestrator.toml: "),
    ("x = " + "[" * 100_000, PlanInvalid, "orchestrator.toml: Nested too deeply"),
    ("\n\na" + ".a" * 100_000 + " = 1", PlanInvalid, "more than 200 parts (at line 3)"),
    ("\na" + '."b"' * 100_000 + " = 1", PlanInvalid, "more than 200 parts (at line 2)"),
    ("gates = 7", PlanInvalid, "orchestrator.toml: gates must be a table"),
    ("[gates]\ntest = 'x'", PlanInvalid, "[gates] test: there is no gate 'test' (did you mean"),
    ("[gates]\ntests = 7", PlanInvalid, "[gates] tests: must be a command, a table, or a list"),
    ("[gates]\ntests = []", PlanInvalid, "[gates] tests: must not be empty"),
    ("[gates]\ntests = ['a', '']", PlanInvalid, "[gates] tests: 1.command: must not be empty"),
    ("[gates]\ntests = {timout = '5m'}", PlanInvalid, "(did you mean timeout?)"),
    ("[gates]\ntests = {timeout = true}", PlanInvalid, "tests: timeout: must be a positive"),
    ("[gates]\ntests = {timeout = '0s'}", PlanInvalid, "tests: timeout: "),
    ("[gates]\ntests = {folder = 'a'}", PlanInvalid, "folder: needs a command"),
    ("[gates]\ntests = {command = 'a', folder = '../b'}", PlanInvalid, "folder: must be a path"),
    ("[gates]\ntests = ['a', {folder = 'b'}]", PlanInvalid, "tests: 1: folder: needs a command"),
    ("[gates]\ntests = ['a', {network = true}]", PlanInvalid, "must stand in each entry"),
    ("[gates]\ntests = {not_applicable = ' '}", PlanInvalid, "not_applicable: must not be empty"),
    ("[gates]\ntests = {not_applicable = 'a', command = 'b'}", PlanInvalid, "must stand alone"),
    ("[gates]\ncoverage = {command = 'a'}", PlanInvalid, "report: must name the file"),
    ("[gates]\nlint = {minimum = 5}", PlanInvalid, "lint: minimum: there is no key 'minimum'"),
    ("[hooks]\nafter_create = 7", HooksInvalid, "[hooks] after_create: must be a string"),
    ("[hooks]\nafter_creat = 'x'", HooksInvalid, "(did you mean after_create?)"),
    ("[hook]\na = 1", RepoConfigInvalid, "hook: there is no key 'hook' (did you mean hooks?)"),
    ("profile = 'strickt'", RepoConfigInvalid, "profile: must be one of strict, standard,"),
    ("[capture]\nignore = '*.log'", RepoConfigInvalid, "[capture] ignore: must be a list"),
    ("[capture]\ninclude = ['../x']", RepoConfigInvalid, "[capture] include: must be one pattern"),
    ("[capture]\nignore = ['!x']", RepoConfigInvalid, "must not begin with ! or #"),
    # What would be ignored is refused.
    ("[environment]\nimage = 'Python:3'", RepoConfigInvalid, "image: must be the name of an"),
    ("[environment.services.db]\nimage = 'a'", RepoConfigInvalid, "support the key services"),
    ("[environment]\nsetup = ['uv sync', 7]", RepoConfigInvalid, "[environment] setup: "),
    (
        "[environment.services.db]\nimg = 'x'",
        RepoConfigInvalid,
        "services: db.image: must be given",
    ),
    ("[agents]\nhonour = ['.claude']", RepoConfigInvalid, "does not support the key honour yet"),
]


def read(text: str, path: str = "orchestrator.toml") -> RepoConfig:
    return read_repo_config({path: text.encode()}.get)


def test_all_that_a_repository_may_say_is_read_at_once():
    config = read(FULL)
    assert config.profile is GateProfile.CUSTOM
    assert config.gates.named == ("typecheck", "lint", "tests", "coverage")
    assert [(entry.command, entry.folder, entry.timeout) for entry in config.gates.of("lint")] == [
        ("a", None, None),
        ("b", "web/app", 300.0),
    ]
    assert config.hooks.after_create == "uv sync"
    assert (config.capture.ignore, config.capture.include) == (
        ("*.log", "/build/"),
        ("dist/app.js",),
    )
    assert config.location("gates") == "orchestrator.toml [gates]"


def test_pyproject_says_the_same_under_its_own_table():
    text = "[tool.orchestrator]" + FULL.replace("\n[", "\n[tool.orchestrator.")
    config = read(text, "pyproject.toml")
    assert config.model_dump() == read(FULL).model_dump()
    assert config.location("capture") == "pyproject.toml [tool.orchestrator.capture]"


def test_a_repository_that_says_nothing_has_no_opinion():
    config = read_repo_config(lambda _: None)
    assert config.model_dump() == RepoConfig().model_dump()
    assert not config.gates.named
    assert config.profile is None


def test_a_table_in_both_files_is_read_from_the_first_and_the_other_is_told_of():
    files = {
        "pyproject.toml": b"[tool.orchestrator.gates]\ntests = 'first'",
        "orchestrator.toml": b"[gates]\ntests = 'second'\n[hooks]\nbefore_run = 'x'",
    }
    config = read_repo_config(files.get)
    assert config.gates.of("tests")[0].command == "first"
    assert config.hooks.before_run == "x"
    (warning,) = config.warnings
    assert "orchestrator.toml [gates] has no effect" in warning


@pytest.mark.parametrize(("text", "kind", "words"), FAULTS)
def test_a_fault_names_file_table_and_key_and_says_what_to_write(text, kind, words):
    with pytest.raises(RepoConfigInvalid) as caught:
        read(text)
    assert type(caught.value) is kind
    assert words in caught.value.detail
    assert caught.value.detail.startswith("orchestrator.toml")
    assert "Input" not in caught.value.detail


@pytest.mark.parametrize("content", [b"\xff", b"tool = 7", b"[tool]\norchestrator = []"])
def test_a_pyproject_that_is_malformed_is_named(content):
    with pytest.raises(RepoConfigInvalid, match=r"^pyproject\.toml"):
        read_repo_config({"pyproject.toml": content}.get)


def test_a_file_may_begin_with_a_byte_order_mark():
    assert read("\ufeffprofile = 'minimal'").profile is GateProfile.MINIMAL


def test_dots_in_strings_are_no_parts_of_a_key():
    ignored = ", ".join(['"a.b", \'c.d\', "e\\".f"'] * 100)
    assert len(read(f"[capture]\nignore = [{ignored}]").capture.ignore) == 300


def test_the_gates_are_those_that_run_commands():
    runnable = {name for name, kind in profiles().gates.items() if kind.command}
    assert set(GatesConfig.model_fields) == {*runnable, "red_base"}
    assert GatesConfig(red_base="compare").named == ()


def test_the_shipped_schema_is_current():
    assert SCHEMA.read_text("utf-8") == schema_text(), "python -m tests.unit.test_repo_config"
    assert shipped_schema() == SCHEMA.read_bytes()


def test_the_schema_accepts_what_is_read_and_refuses_what_is_not():
    jsonschema.Draft202012Validator.check_schema(make_schema())
    jsonschema.validate(tomllib.loads(FULL), make_schema())
    for text in ("[gates]\ntest = 'x'", "[gates]\ntests = 7", "[hook]", "profile = 'x'"):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(tomllib.loads(text), make_schema())


if __name__ == "__main__":
    SCHEMA.write_text(schema_text(), "utf-8")
