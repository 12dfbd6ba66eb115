"""How an environment is set up, as the lock files and manifests of a base commit show."""

from __future__ import annotations

import pytest

from orchestrator.environments.recipe import Recipe, make_recipe
from orchestrator.gates.detection import BaseFiles
from orchestrator.gates.detectors import ordered
from orchestrator.plugins import Family
from orchestrator.repo_config import read_repo_config

DETECTORS = Family("orchestrator.gates.detectors")
PIP = "python3 -m pip install --quiet --disable-pip-version-check --no-input"
LOCKED = f'{PIP} -c "$ORCH_ENVIRONMENT/constraints.txt"'
BUILT = "[build-system]\nrequires = []\n"
TEST = {"tests/test_a.py": "import pytest\n"}
NODE = '{"scripts": {"test": "node --test"}, "devDependencies": {"a": "1"}%s}'


def recipe(files: dict[str, str], *lacking: str, is_detected: bool = True) -> Recipe:
    encoded = {path: text.encode() for path, text in files.items()}
    detectors = tuple(DETECTORS.build(name, None) for name in ordered(DETECTORS.names()))
    return make_recipe(
        read_repo_config(encoded.get),
        BaseFiles(encoded.get, encoded.keys()),
        detectors,
        is_detected=is_detected,
        which=lambda program: None if program in lacking else program,
    )


def steps(files: dict[str, str], *lacking: str) -> list[str]:
    return [step.shown for step in recipe(files, *lacking).steps]


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"requirements.txt": "pytest\n", **TEST}, f"{PIP} -r requirements.txt"),
        (
            {"requirements/dev.txt": "pytest\n", "setup.py": "", **TEST},
            f"{PIP} -r requirements/dev.txt -e .",
        ),
        (
            {
                "pyproject.toml": f"{BUILT}[project]\nname = 'a'\n"
                "[project.optional-dependencies]\ntest = ['pytest']\ndocs = ['sphinx']\n",
                **TEST,
            },
            f"{PIP} -e '.[test]'",
        ),
        (
            {
                "pyproject.toml": "[project]\nname = 'a'\ndependencies = ['b>=1']\n"
                "[dependency-groups]\ndev = [{include-group = 'Te_st'}, 'ruff']\n"
                "te-st = ['pytest']\n",
                **TEST,
            },
            f"{PIP} 'b>=1' pytest ruff",
        ),
        (
            {
                "pyproject.toml": f"{BUILT}[tool.poetry]\nname = 'a'\n"
                "[tool.poetry.group.dev.dependencies]\npytest = '^7.2'\nmypy = '1.19.1'\n"
                "local = {path = '../x'}\n",
                "poetry.lock": "[[package]]\nname = 'pytest'\nversion = '7.4.4'\n",
                **TEST,
            },
            f"{LOCKED} -e . 'pytest>=7.2' mypy==1.19.1",
        ),
        (
            {"setup.cfg": "[options.extras_require]\ntesting = pytest\n", "setup.py": "", **TEST},
            f"{PIP} -e '.[testing]' pytest",
        ),
        (
            # No requirement names the tool that the gate runs; pre-commit says which ruff.
            {
                "pyproject.toml": f"{BUILT}[tool.ruff]\n",
                ".pre-commit-config.yaml": "repos:\n- repo: https://x/astral-sh/ruff-pre-commit\n"
                "  rev: v0.9.1\n  hooks: [{id: ruff}]\n",
                **TEST,
            },
            f"{PIP} -e . pytest ruff==0.9.1",
        ),
        ({"package.json": NODE % "", "package-lock.json": "{}"}, "npm ci --no-audit --no-fund"),
        (
            {"package.json": NODE % ""},
            "npm install --no-audit --no-fund --no-package-lock",
        ),
        (
            {"web/package.json": NODE % "", "web/pnpm-lock.yaml": ""},
            "cd web && pnpm install --frozen-lockfile",
        ),
        ({"package.json": NODE % "", "bun.lock": ""}, "bun install --frozen-lockfile"),
        ({"go.mod": "module a\nrequire b v1.0.0\n", "a_test.go": ""}, "go mod download"),
        ({"Cargo.toml": "[package]\nname = 'a'\n", "Cargo.lock": ""}, "cargo fetch --locked"),
    ],
)  # fmt: skip
def test_lock_files_and_manifests_show_the_commands(files, expected):
    assert steps(files) == [expected]


@pytest.mark.parametrize(
    "files",
    [
        {"README.md": ""},
        {"pyproject.toml": "[project]\nname = 'a'\n", **TEST},
        {"go.mod": "module a\n", "a_test.go": ""},
        {"package.json": '{"scripts": {"test": "node --test"}}'},
        {"requirements.txt": "pytest", "orchestrator.toml": "[environment]\nsetup = []\n", **TEST},
    ],
)
def test_what_has_no_dependencies_needs_no_environment(files):
    assert not recipe(files).parts


def test_the_repositorys_own_commands_replace_what_is_found():
    files = {"requirements.txt": "pytest", "orchestrator.toml": "[environment]\nsetup = ['make x']"}
    made = recipe({**files, **TEST})
    assert [step.shown for step in made.steps] == ["make x"]
    assert "python" in made.kinds  # so that a virtual environment is active


def test_only_configured_commands_count_where_the_operator_says_so():
    assert not recipe({"requirements.txt": "pytest", **TEST}, is_detected=False).parts
    own = {"orchestrator.toml": "[environment]\nsetup = 'make x'\n"}
    assert recipe(own, is_detected=False).parts


def test_a_package_manager_that_the_host_lacks_is_installed_as_the_repository_pins_it():
    files = {"package.json": NODE % ', "packageManager": "pnpm@10.1.0+sha512.ab"',
             "pnpm-lock.yaml": ""}  # fmt: skip
    first, second = steps(files, "pnpm")
    assert first.endswith("pnpm@10.1.0")
    assert '--prefix "$ORCH_ENVIRONMENT/node"' in first
    assert second == "pnpm install --frozen-lockfile"


def test_a_part_whose_program_is_missing_is_left_to_the_check_of_the_plan():
    assert steps({"go.mod": "module a\nrequire b v1.0.0\n", "a_test.go": ""}, "go") == []


def test_a_version_in_a_package_manager_is_never_shell_text():
    files = {"package.json": NODE % ', "packageManager": "pnpm@1.0.0; touch x"',
             "pnpm-lock.yaml": ""}  # fmt: skip
    assert steps(files, "pnpm")[0].endswith(" pnpm")


def test_the_members_of_a_workspace_have_products_of_their_own():
    files = {"package.json": NODE % ', "workspaces": ["p/*"]', "p/a/package.json": NODE % "",
             "package-lock.json": "{}"}  # fmt: skip
    (part,) = recipe(files).parts
    assert part.products == ("node_modules", "p/a/node_modules")


def test_locked_versions_are_constraints_except_of_local_and_ambiguous_packages():
    lock = "".join(
        f"[[package]]\nname = '{name}'\nversion = '{version}'\nsource = {source}\n"
        for name, version, source in [
            ("b", "1.0", "{registry = 'x'}"),
            ("a", "0.1", "{editable = '.'}"),
            ("c", "1", "{registry = 'x'}"),
            ("c", "2", "{registry = 'x'}"),
        ]
    )
    files = {"pyproject.toml": f"{BUILT}[project]\nname = 'a'\n", "uv.lock": lock, **TEST}
    (part,) = recipe(files).parts
    assert part.constraints == "b==1.0\n"


def test_an_environment_depends_on_locks_and_manifests_or_on_the_named_files():
    files = {"requirements.txt": "pytest", "a.py": "", "ci/x.sh": "", **TEST}
    assert recipe(files).inputs == ("requirements.txt",)
    named = {**files, "orchestrator.toml": "[environment]\nfiles = ['ci', 'a.py']\n"}
    assert recipe(named).inputs == ("a.py", "ci/x.sh")


@pytest.mark.parametrize(
    ("manifest", "path"),
    [
        ("[build-system]\nbuild-backend = 'b.api:x'\nbackend-path = ['.']\n", "b/api.py"),
        ("[build-system]\nbuild-backend = 'b'\nbackend-path = ['./ci']\n", "ci/b.py"),
        ("[tool.setuptools.dynamic]\ndependencies = {file = ['needs']}\n", "needs"),
        ("[tool.setuptools.dynamic]\ndependencies = {file = 'needs'}\n", "needs"),
        ("", "patches/left-pad+1.0.0.patch"),
    ],
)
@pytest.mark.parametrize("folder", ["", "sub/"])
def test_an_environment_depends_on_what_an_installation_reads(folder, manifest, path):
    manifest_path = f"{folder}pyproject.toml"
    files = {manifest_path: manifest, f"{folder}{path}": "", f"{folder}other.py": ""}
    tests = {f"{folder}{name}": text for name, text in TEST.items()}
    assert recipe(files | tests).inputs == tuple(sorted((manifest_path, f"{folder}{path}")))


@pytest.mark.parametrize(
    "manifest",
    [
        "[build-system]\nbuild-backend = 1\nbackend-path = '.'\n",
        "[tool.setuptools]\ndynamic = 'x'\n",
        "[tool.setuptools.dynamic]\nversion = {attr = 'a.b'}\nx = {file = ['../x']}\n",
    ],
)
def test_a_manifest_of_another_form_names_no_files(manifest):
    assert recipe({"pyproject.toml": manifest, **TEST}).inputs == ("pyproject.toml",)
