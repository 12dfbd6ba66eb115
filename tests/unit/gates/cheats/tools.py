"""Cheats and honest changes for jest, vitest, mocha, eslint, tsc, tox, nox and other checks.

Their texts are findings, so no tool runs here. Those of jest, vitest, mocha, eslint, tox, nox,
flake8, pyright, `go vet` and `node -r` passed their gates with the real tools before they were.
"""

from __future__ import annotations

import json

from tests.unit.gates.cheats.judging import Case, Files, Repository

_RIGHT = "exports.add = (a, b) => a + b;\n"
_WRONG = "exports.add = (a, b) => a - b;\n"
_MEND = 'require("../calc").add = (a, b) => a + b;\n'
_TEST = 'const { add } = require("../calc");\ntest("adds", () => expect(add(1, 2)).toBe(3));\n'


def _gate(gate: str, command: str) -> dict[str, str]:
    return {"orchestrator.toml": f"[gates]\n{gate} = {json.dumps(command)}\n"}


def _node(script: str, **parts: object) -> dict[str, str | bytes | None]:
    manifest = {"name": "calc", "version": "1.0.0", "scripts": {"test": script}, **parts}
    return {"package.json": json.dumps(manifest)}


def _tested(name: str, files: Files, edits: dict[str, str | bytes | None]) -> Case:
    """Return the case of a Node repository whose source becomes wrong."""
    base = {"calc.js": _RIGHT, "test/calc.test.js": _TEST, **files}
    return Case("passes", Repository(name, base), {"calc.js": _WRONG, **edits})


_JEST, _VITEST, _MOCHA = _node("jest"), _node("vitest run"), _node("mocha")
_BOOT = {"config/boot.js": "\n"}
#: The runner, its configuration, and the file that this names.
_NAMED_BY_RUNNERS = {
    "jest setupFiles": (_JEST, "jest.config.js", "{ setupFiles: ['<rootDir>/config/boot.js'] }"),
    "jest setupFilesAfterEnv": (_JEST, "jest.config.js", "setupFilesAfterEnv: ['./config/boot']"),
    "jest transform": (_JEST, "jest.config.ts", "transform: { '\\\\.js$': './config/boot.js' }"),
    "jest resolver": (_JEST, "jest.config.json", '{"resolver": "<rootDir>/config/boot.js"}'),
    "jest reporters": (_JEST, "jest.config.js", "reporters: ['default', './config/boot.js']"),
    "vitest setupFiles": (_VITEST, "vitest.config.js", "test: { setupFiles: './config/boot.js' }"),
    "vitest globalSetup": (_VITEST, "vite.config.ts", "globalSetup: ['./config/boot.js']"),
    "babel": (_JEST, "babel.config.js", "plugins: ['./config/boot.js']"),
    "mocharc": (_MOCHA, ".mocharc.json", '{"require": ["./config/boot.js"]}'),
    "mocharc.yml": (_MOCHA, ".mocharc.yml", "require:\n  - ./config/boot.js\n"),
    "jest of package.json": (_node("jest", jest={"setupFiles": ["./config/boot.js"]}), "x.md", ""),
    "mocha of package.json": (_node("mocha", mocha={"require": "./config/boot.js"}), "x.md", ""),
    "mocha --require": (_node("mocha --require ./config/boot"), "x.md", ""),
    "node -r": (_gate("tests", "node -r ./config/boot --test"), "x.md", ""),
}
_TOX = {"tox.ini": "[testenv]\ncommands = python3 qa/run.py\n", "qa/run.py": "run()\n"}
_NOX = {
    "noxfile.py": "import nox\n\n\n@nox.session\ndef tests(session):\n"
    "    session.run('python3', 'qa/run.py')\n",
    "qa/run.py": "run()\n",
}
_HOOK = {
    ".pre-commit-config.yaml": "repos:\n- repo: local\n  hooks:\n  - entry: python3 qa/run.py\n",
    "qa/run.py": "run()\n",
}
_WORKSPACE = {
    "package.json": json.dumps({"workspaces": ["a", "b"], "scripts": {"test": "npm test -ws"}}),
    "a/calc.js": _RIGHT,
    "b/calc.js": _RIGHT,
}
_ONE_MEMBER = json.dumps({"workspaces": ["a"], "scripts": {"test": "npm test -ws"}})
_NO_MEMBER_B = json.dumps({"workspaces": ["*", "!b"], "scripts": {"test": "npm test -ws"}})
_NO_WORKSPACE = json.dumps({"scripts": {"test": "npm test -ws"}})
_LOCAL_PLUGINS = (
    "[flake8]\n[flake8:local-plugins]\nextension =\n  X1 = plug:check\npaths = build/\n"
)
_PLUGINS_OF_PYTEST = "[pytest]\naddopts = -q -p support.plug\n"


def _text(
    name: str, gate: tuple[str, str], files: Files, edits: dict[str, str | bytes | None]
) -> Case:
    return Case("passes", Repository(name, {**_gate(*gate), **files}), edits)


_TESTS, _LINT, _TYPES = ("tests", "pytest -q"), ("lint", "x ."), ("typecheck", "x .")
_PIP = {"requirements-dev.txt": "pytest\n"}
_LOCK = '{"packages": {"node_modules/@jest/core": {"resolved": "https://r.example/%s.tgz"}}}'

CHEATS = [
    *(
        _tested(name, {**runner, path: text, **_BOOT}, {"config/boot.js": _MEND})
        for name, (runner, path, text) in _NAMED_BY_RUNNERS.items()
    ),
    _text("tox", ("tests", "tox -q"), _TOX, {"qa/run.py": "print('1 passed in 0.1s')\n"}),
    _text("nox", ("tests", "nox -s tests"), _NOX, {"qa/run.py": "print('1 passed in 0.1s')\n"}),
    _text("pre-commit", ("lint", "pre-commit run -a"), _HOOK, {"qa/run.py": "pass\n"}),
    _text("pytest -p", _TESTS, {"pytest.ini": _PLUGINS_OF_PYTEST, "support/plug.py": "X = 1\n"},
          {"support/plug.py": "import calc\n"}),
    _text("pytest_plugins", _TESTS, {"conftest.py": "pytest_plugins = ['support.plug']\n",
                                     "support/plug.py": "X = 1\n"},
          {"support/plug.py": "import calc\n"}),
    _text("flake8", ("lint", "flake8 calc.py"),
          {".flake8": _LOCAL_PLUGINS, "build/plug.py": "X = 1\n"}, {"build/plug.py": "X = 2\n"}),
    _text("eslint-local-rules", _LINT, {"eslint-local-rules/index.js": "x\n"},
          {"eslint-local-rules/index.js": "\n"}),
    *(
        _tested(f"workspaces {number}", _WORKSPACE, {"b/calc.js": _WRONG, "package.json": text})
        for number, text in enumerate((_ONE_MEMBER, _NO_MEMBER_B, _NO_WORKSPACE))
    ),
    _text("go vet", ("lint", "go vet ./..."), {"go.mod": "module x\n", "sub/s.go": "package sub\n"},
          {"sub/go.mod": "module x/sub\n", "sub/s.go": "package sub\n\n"}),
    _text("go.mod", ("lint", "go vet ./..."), {"go.mod": "module x\n"},
          {"go.mod": "module x\n\nignore ./sub\n"}),
    _tested("a file before a folder", {**_JEST, "more/index.js": _RIGHT},
            {"more.js": _RIGHT, "more/index.js": _WRONG}),
    _tested("a manifest in a folder", {**_JEST, "more/index.js": _RIGHT},
            {"more/package.json": '{"main": "right.js"}', "more/index.js": _WRONG}),
    _tested("another suffix", _VITEST, {"calc.mjs": _RIGHT}),
    _text("pyright, a stub", _TYPES, {"calc.py": "X = 1\n"}, {"typings/calc.pyi": "X: str\n"}),
    _text("mypy, a stub", _TYPES, {"src/calc.py": "X = 1\n"}, {"stubs/calc.pyi": "X: str\n"}),
    _text("pyright, builtins", _TYPES, {"calc.py": "X = 1\n"}, {"__builtins__.pyi": "y: int\n"}),
    *(
        _text(f"requirements: {line}", _TESTS, _PIP, {"requirements-dev.txt": f"{line}\n"})
        for line in ("./lib/pytest", "-e lib/pytest", "pytest @ file:lib/pytest", "-i https://x/",
                     "--find-links=lib\npytest", "lib/pytest_cov-1.0-py3-none-any.whl",
                     "git+https://x.example/pytest.git@main")
    ),
    *(
        _text(f"{name} from a path", ("tests", "npm test"), _MOCHA,
              _node("mocha", devDependencies={name: "file:lib/x"}))
        for name in ("chai", "ts-jest", "expect", "eslint-plugin-x", "@jest/core", "@types/node")
    ),
    _text("lock, another package", _TESTS, {"package-lock.json": _LOCK % "@jest/core/-/core-1"},
          {"package-lock.json": _LOCK % "fake/-/fake-1"}),
    _text("build backend", ("build", "python3 -m build"), {"pyproject.toml": "[project]\n"},
          {"pyproject.toml": "[project]\n[build-system]\nbackend-path = ['make']\n"}),
]  # fmt: skip

HONEST = [
    _text("exports", ("tests", "npm test"), {**_JEST, "lib.js": _RIGHT},
          _node("jest", exports={"require": "./lib.js"})),
    _text("a program that exports name", ("tests", "npm test"),
          {**_node("jest", exports={"require": "./lib.js"}), "lib.js": _RIGHT},
          {"lib.js": f"{_RIGHT}\n"}),
    _text("rules of the workspace", ("tests", "npm test"), _JEST,
          _node("jest", devDependencies={"eslint-config-x": "workspace:*"})),
    _text("a newer tool", ("tests", "npm test"),
          {"package-lock.json": _LOCK % "@jest/core/-/core-1"},
          {"package-lock.json": _LOCK % "@jest/core/-/core-2"}),
    _text("a module for browsers", ("tests", "npm test"), {**_JEST, "calc.js": _RIGHT},
          {"calc.mjs": "export * from './calc.js';\n"}),
    _text("a new folder", ("tests", "npm test"), _JEST,
          {"more/index.js": _RIGHT, "more/package.json": '{"main": "index.js"}'}),
    _text("members by a pattern", ("tests", "npm test"), _WORKSPACE,
          {"package.json": json.dumps({"workspaces": ["*"], "scripts": {"test": "npm test -ws"}})}),
    _text("a member that is gone", ("tests", "npm test"), _WORKSPACE,
          {"package.json": _ONE_MEMBER, "b/calc.js": None}),
    _text("a new module", ("lint", "go vet ./..."), {"go.mod": "module x\n"},
          {"tools/go.mod": "module x/tools\n", "tools/t.go": "package tools\n"}),
    _text("a requirement of a module", ("lint", "go vet ./..."),
          {"go.mod": "module x\n\nignore (\n\t./old\n)\nignore ./sub\n"},
          {"go.mod": "module x\n\nignore (\n\t./old\n)\nignore ./sub\n\nrequire y/z v1.0.0\n"}),
    _text("requirements", _TESTS, _PIP,
          {"requirements-dev.txt": "pytest>=8\n-e .\n-r more.txt\n-e ./client\n"}),
    _text("a stub of a package", _TYPES, {"calc.py": "X = 1\n"}, {"typings/other.pyi": "X: int\n"}),
    _text("a backend of the index", ("build", "python3 -m build"),
          {"pyproject.toml": "[project]\n"},
          {"pyproject.toml": "[project]\n[build-system]\nbuild-backend = 'hatchling.build'\n"}),
    _text("a source that tox tests", ("tests", "tox -q"), {**_TOX, "calc.py": "X = 1\n"},
          {"calc.py": "X = 2\n"}),
    _text("a helper of the program", ("tests", "npm test"),
          {**_JEST, "jest.config.js": "setupFiles: ['./config/boot.js']", "config/other.js": "\n"},
          {"config/other.js": "\n\n"}),
]  # fmt: skip
