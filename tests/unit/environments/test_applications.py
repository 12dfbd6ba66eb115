"""Applications that are no package, those of pipenv, and the versions of Python they accept."""

from __future__ import annotations

import pytest

from tests.unit.environments.test_recipe import BUILT, LOCKED, PIP, TEST, recipe, steps

POETRY = (
    "[tool.poetry]\n%s\n[tool.poetry.dependencies]\npython = '^3.9'\nflask = '^3.0'\n"
    "[tool.poetry.group.test.dependencies]\npytest = '8.1.2'\n"
)


NO_PACKAGE = (
    f"{BUILT}[project]\nname = 'a'\ndependencies = ['b']\n[dependency-groups]\ndev = ['pytest']\n"
)


@pytest.mark.parametrize(
    ("manifest", "expected"),
    [
        # Its backend refuses to build it.
        (BUILT + POETRY % "package-mode = false", f"{PIP} 'flask>=3.0' pytest==8.1.2"),
        # Without a build system pip would build it with another backend.
        (POETRY % "", f"{PIP} 'flask>=3.0' pytest==8.1.2"),
        (BUILT + POETRY % "package-mode = true", f"{PIP} -e . pytest==8.1.2"),
        (f"{NO_PACKAGE}[tool.uv]\npackage = false\n", f"{PIP} b pytest"),
        (f"{NO_PACKAGE}[tool.pdm]\ndistribution = false\n", f"{PIP} b pytest"),
    ],
)
def test_of_an_application_that_is_no_package_only_the_dependencies_are_installed(
    manifest, expected
):
    assert steps({"pyproject.toml": manifest, **TEST}) == [expected]


PIPFILE = (
    "[packages]\nflask = '*'\nown = {path = '.', editable = true}\n"
    "far = {git = 'https://example.org/far'}\nc = {version = '>=1', extras = ['d']}\n"
    "[dev-packages]\npytest = '==8.1.2'\n"
)


def test_a_pipfile_and_its_lock_say_what_is_installed():
    lock = (
        '{"default": {"flask": {"version": "==3.0.1"}, "c": {"version": "==1.2"}},'
        ' "develop": {"c": {"version": "==1.3"}, "own": {"path": "."}}}'
    )
    made = recipe({"Pipfile": PIPFILE, "Pipfile.lock": lock, **TEST})
    assert [step.shown for step in made.steps] == [f"{LOCKED} flask 'c[d]>=1' pytest==8.1.2"]
    assert made.parts[0].constraints == "flask==3.0.1\n"


def test_a_file_of_requirements_beside_a_pipfile_has_its_own_versions():
    files = {"Pipfile": PIPFILE, "requirements.txt": "flask==2.0\n", **TEST}
    files["Pipfile.lock"] = '{"default": {"flask": {"version": "==3.0.1"}}}'
    assert steps(files) == [f"{PIP} -r requirements.txt 'c[d]>=1' pytest==8.1.2"]


@pytest.mark.parametrize("text", ["[", "packages = 1\n", ""])
@pytest.mark.parametrize("lock", ["[", "[]", '{"default": 1}', '{"default": {"a": 1}}'])
def test_a_pipfile_of_another_form_installs_nothing(text, lock):
    made = recipe({"Pipfile": text, "Pipfile.lock": lock, **TEST})
    assert [part.constraints for part in made.parts] == []


@pytest.mark.parametrize(
    ("files", "bounds"),
    [
        ({"pyproject.toml": f"{BUILT}[project]\nrequires-python = '>=3.9'\n"}, ">=3.9"),
        ({"pyproject.toml": POETRY % ""}, ">=3.9,<4"),
        ({"pyproject.toml": (POETRY % "").replace("^3.9", "~3.9")}, ">=3.9,<3.10"),
        ({"pyproject.toml": (POETRY % "").replace("^3.9", "~3")}, ">=3,<4"),
        ({"pyproject.toml": (POETRY % "").replace("^3.9", ">=3.9, <3.13")}, ">=3.9,<3.13"),
        ({"pyproject.toml": (POETRY % "").replace("^3.9", "3.11.*")}, "==3.11.*"),
        ({"pyproject.toml": (POETRY % "").replace("^3.9", "*")}, ""),
        ({"pyproject.toml": (POETRY % "").replace("^3.9", "^3.9 || ^4.0")}, ""),
        ({"pyproject.toml": BUILT, "setup.cfg": "[options]\npython_requires = >=3.10\n"}, ">=3.10"),
        ({"setup.py": "from x import setup\nsetup(python_requires='>=3.8')\n"}, ">=3.8"),
        ({"setup.py": "import x\nx.setup(python_requires=x.BOUND)\n"}, ""),
        ({"setup.py": "(", "setup.cfg": "["}, ""),
        ({"Pipfile": f"{PIPFILE}[requires]\npython_version = '3.11'\n"}, "==3.11"),
    ],
)
def test_each_manifest_says_which_python_is_needed(files, bounds):
    assert [part.python for part in recipe({**files, **TEST}).parts] == [bounds]


@pytest.mark.parametrize(
    ("table", "path"),
    [
        ("tool.setuptools_scm]\nwrite_to", "a/_version.py"),
        ("tool.setuptools_scm]\nversion_file", "./a/_version.py"),
        ("tool.setuptools-scm]\nversion_file", "a/_version.py"),
        ("tool.hatch.build.hooks.vcs]\nversion-file", "a/_version.py"),
    ],
)
def test_the_module_that_an_installation_writes_is_in_each_checkout(table, path):
    files = {"pyproject.toml": f"{BUILT}[{table} = '{path}'\n", **TEST}
    assert [part.products for part in recipe(files).parts] == [("a/_version.py",)]
    below = {f"web/{name}": text for name, text in files.items()}
    assert [part.products for part in recipe(below).parts] == [("web/a/_version.py",)]
    # A module of the base is not replaced.
    assert [p.products for p in recipe({**files, "a/_version.py": ""}).parts] == [()]


def test_a_name_of_another_form_names_no_module():
    files = {"pyproject.toml": f"{BUILT}[tool.setuptools_scm]\nwrite_to = ['a', {{}}]\n", **TEST}
    assert [part.products for part in recipe(files).parts] == [()]
