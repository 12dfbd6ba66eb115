"""Node: the scripts of package.json, run by the package manager whose lock file is there."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from pydantic import BaseModel, ValidationError

from orchestrator.gates.detectors import mentioned_report, script_of
from orchestrator.interfaces.gate import GateCommand

_SCRIPTS = {
    "typecheck": ("typecheck", "type-check"),
    "lint": ("lint",),
    "tests": ("test",),
    "build": ("build",),
    "integration": ("integration", "test:integration"),
}
_COVERAGE_SCRIPTS = ("coverage", "test:coverage", "test")
#: What `npm init` writes where there are no tests.
_STUB = "no test specified"
_SUMMARY = "coverage/coverage-summary.json"
#: These write a report afterwards, from what the script's run left.
_REPORTERS = ("c8", "nyc")
#: These write it in the run.
_RUNNERS = {
    "jest": "--coverage --coverageReporters=json-summary",
    "vitest": "--coverage.enabled=true --coverage.reporter=json-summary",
}


@dataclass(frozen=True)
class _Manager:
    install: str
    run: str
    execute: str
    #: What stands before arguments that are the script's.
    separator: str = " "


_NPM = _Manager(
    "npm ci --no-audit --no-fund", "npm run --silent", "npx --no-install", separator=" -- "
)
_MANAGERS = {
    "pnpm-lock.yaml": _Manager("pnpm install --frozen-lockfile", "pnpm --silent run", "pnpm exec"),
    "yarn.lock": _Manager("yarn install --frozen-lockfile", "yarn run", "yarn run"),
    "package-lock.json": _NPM,
    "npm-shrinkwrap.json": _NPM,
}


class _Package(BaseModel):
    # Of npm's file only what is read here; npm's own tools judge the rest.
    scripts: dict[str, str] = {}
    dependencies: dict[str, str] = {}
    devDependencies: dict[str, str] = {}  # noqa: N815 - npm's name


class Node:
    """Detects by package.json."""

    def commands(self, read: Callable[[str], bytes | None]) -> Mapping[str, GateCommand]:
        """Return the commands of a Node project."""
        try:
            package = _Package.model_validate_json(read("package.json") or b"{}")
        except ValidationError:
            # Its own tools will say so; here it only means that nothing is known.
            return {}
        lock = next((path for path in _MANAGERS if read(path) is not None), None)
        manager = _MANAGERS[lock] if lock else _NPM
        needs = lock and (package.dependencies or package.devDependencies)
        # A clean checkout has no node_modules.
        prepare = f"{manager.install} && " if needs else ""
        scripts = {name: text for name, text in package.scripts.items() if _STUB not in text}
        found = {
            gate: GateCommand(f"{prepare}{manager.run} {name}", script=script_of(name, scripts))
            for gate, names in _SCRIPTS.items()
            for name in names[::-1]
            if name in scripts
        }
        if coverage := _coverage(scripts, manager):
            found["coverage"] = GateCommand(prepare + coverage.command, report=coverage.report)
        return found


def _coverage(scripts: Mapping[str, str], manager: _Manager) -> GateCommand | None:
    for name in _COVERAGE_SCRIPTS:
        script = scripts.get(name, "")
        words = script.replace("/", " ").split()
        run = f"{manager.run} {name}"
        if report := mentioned_report(script):
            return GateCommand(run, report=report)
        for tool in _REPORTERS:
            if tool in words:
                report_command = f"{manager.execute} {tool} report --reporter=json-summary"
                return GateCommand(f"{run} && {report_command}", report=_SUMMARY)
        for tool, arguments in _RUNNERS.items():
            if tool in words:
                return GateCommand(f"{run}{manager.separator}{arguments}", report=_SUMMARY)
    return None


def build(settings: object) -> Node:
    """Build the detector."""
    del settings
    return Node()
