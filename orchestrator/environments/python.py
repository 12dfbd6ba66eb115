"""The Python part of a recipe: one virtual environment with what a project's checks need."""

from __future__ import annotations

import posixpath
import re
import shlex
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from orchestrator.environments.pipfile import pipenv_versions, pipfile_requirements
from orchestrator.environments.python_bounds import python_bounds
from orchestrator.environments.requirements import (
    extras,
    group_requirements,
    hook_versions,
    locked_versions,
    name_of,
    normal,
    poetry_requirements,
    project_requirements,
    requirement_files,
    session_requirements,
)
from orchestrator.environments.setup_cfg import read_setup_cfg
from orchestrator.environments.steps import EcosystemSetup, Step
from orchestrator.gates.detection import BaseFiles
from orchestrator.repo_config.toml import table_in

#: Tools of gates that come from the environment, each from the distribution of its name.
_TOOLS = ("pytest", "mypy", "ruff", "flake8", "coverage", "pyright", "tox", "nox")
_WORD = re.compile(r"(?<![\w./-])[a-z]\w*(?![\w/])")
_PIP = "python3 -m pip install --quiet --disable-pip-version-check --no-input"


def python_setup(files: BaseFiles, folder: str, commands: Collection[str]) -> EcosystemSetup | None:
    """Return how to install a project and what its checks need; None if nothing is declared.

    Versions come from the lock file of uv, poetry, pdm or pipenv if there is one. The project is
    installed in place (editable), so that its metadata exists and no copy of its modules. Of an
    application that is no package, only the dependencies are installed.
    """
    pyproject = files.document("pyproject.toml")
    project = table_in(pyproject, "project")
    wanted = extras(project, read_setup_cfg(files).get("options.extras_require", {}))
    listed = requirement_files(files)
    required = [line for path in listed for line in files.text(path).splitlines()]
    # A file of requirements beside a Pipfile has versions of its own.
    locked = locked_versions(files) or ({} if listed else pipenv_versions(files))
    is_built = _is_built(files, pyproject)
    own = [] if is_built else list(project_requirements(project, wanted))
    own += [] if is_built else poetry_requirements(pyproject)
    own += group_requirements(pyproject)
    own += pipfile_requirements(files, {name_of(line) for line in (*own, *required)})
    if not own and not listed and not is_built:
        return None
    lines = [*own, *required]
    if is_built:
        lines += project_requirements(project, wanted)
    # A requirement under a condition may not be installed.
    named = {name_of(line) for line in lines if ";" not in line.partition("#")[0]}
    run = _run_by(commands)
    own += session_requirements(files, run, named)
    own += _tools(files, commands, run, {*named, *map(name_of, own)})
    arguments = [word for path in listed for word in ("-r", path)]
    if is_built:
        arguments += ["-e", f".[{','.join(wanted)}]" if wanted else "."]
    arguments += dict.fromkeys(own)
    name = normal(str(project.get("name", "")))
    constraints = "".join(f"{key}=={value}\n" for key, value in locked.items() if key != name)
    constraint = ' -c "$ORCH_ENVIRONMENT/constraints.txt"' if constraints else ""
    command = f"{_PIP}{constraint} {shlex.join(arguments)}"
    return EcosystemSetup(
        "python",
        (Step(command, folder),),
        tuple(f"{folder}/{path}".removeprefix("/") for path in _written(files, pyproject)),
        constraints=constraints,
        python=python_bounds(files, pyproject),
    )


def build_inputs(files: BaseFiles) -> Iterator[str]:
    """Yield the files that an installation of a project reads, besides manifests and lock files.

    A backend of the repository itself, and files with requirements of any name.
    """
    pyproject = files.document("pyproject.toml")
    system = table_in(pyproject, "build-system")
    top = str(system.get("build-backend", "")).partition(":")[0].partition(".")[0]
    folders = system.get("backend-path")
    for folder in folders if isinstance(folders, list) and top else ():
        module = posixpath.normpath(f"{folder}/{top}")
        yield from (p for p in files.paths if p == f"{module}.py" or p.startswith(f"{module}/"))
    setuptools = table_in(pyproject, "tool", "setuptools")
    for entry in table_in(setuptools, "dynamic").values():
        named = table_in(entry).get("file", ())
        for path in [named] if isinstance(named, str) else named:
            if path in files.paths:
                yield path


def _written(files: BaseFiles, pyproject: Mapping[str, Any]) -> Iterator[str]:
    """Yield the modules with the version that an installation writes into the tree."""
    tool = table_in(pyproject, "tool")
    scm = table_in(tool, "setuptools_scm") or table_in(tool, "setuptools-scm")
    vcs = table_in(tool, "hatch", "build", "hooks", "vcs")
    named = (
        scm.get("write_to"),
        scm.get("version_file"),
        vcs.get("version-file"),
    )
    paths = (posixpath.normpath(path) for path in named if isinstance(path, str))
    yield from (path for path in dict.fromkeys(paths) if path not in files.paths)


def _is_built(files: BaseFiles, pyproject: Mapping[str, Any]) -> bool:
    """Return whether pip can install a project itself, besides what it depends on."""
    tool = table_in(pyproject, "tool")
    modes = (("poetry", "package-mode"), ("uv", "package"), ("pdm", "distribution"))
    if any(table_in(tool, name).get(key) is False for name, key in modes):
        return False
    return "build-system" in pyproject or "setup.py" in files.paths


def _run_by(commands: Collection[str]) -> set[str]:
    """Return the tools that commands run."""
    return {word for command in commands for word in _WORD.findall(command)} & {*_TOOLS}


def _tools(
    files: BaseFiles, commands: Collection[str], run: Collection[str], named: Collection[str]
) -> Iterator[str]:
    """Yield the tools that gates run and that no requirement names."""
    if "--cov" in " ".join(commands):
        yield from ("pytest-cov",) if "pytest-cov" not in named else ()
    versions = hook_versions(files)
    for tool in _TOOLS:
        has_plugin = any(name.startswith(f"{tool}-") for name in named)
        if tool in run and tool not in named and not has_plugin:
            version = versions.get(tool)
            yield f"{tool}=={version}" if version else tool
