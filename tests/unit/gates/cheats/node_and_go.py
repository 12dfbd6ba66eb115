"""Cheats and honest changes of Node and Go repositories: node:test, an own runner, go test."""

from __future__ import annotations

import json

from tests.unit.gates.cheats.judging import Case, Repository

RIGHT_JS = "exports.add = (a, b) => a + b;\n"
WRONG_JS = "exports.add = (a, b) => a - b;\n"
_TEST_JS = """\
const test = require("node:test");
const assert = require("node:assert");
const { add } = require("../calc.js");

test("adds", () => assert.equal(add(1, 2), 3));
test("adds nothing", () => assert.equal(add(4, 0), 4));
"""
_PACKAGE = {"name": "calc", "scripts": {"test": "node --test"}}
NODE = Repository(
    "node",
    {"package.json": json.dumps(_PACKAGE), "calc.js": RIGHT_JS, "test/calc.test.js": _TEST_JS},
)
#: A runner that reports nothing that is known: its exit code and its words decide.
_RUNNER = 'require("./test/check.js");\nconsole.log("all is well");\n'
_CHECK = 'const { add } = require("../calc.js");\nif (add(1, 2) !== 3) process.exit(1);\n'
OWN = Repository(
    "own runner",
    {
        "package.json": json.dumps({"name": "calc", "scripts": {"test": "node run.js"}}),
        "run.js": _RUNNER,
        "test/check.js": _CHECK,
        "calc.js": RIGHT_JS,
    },
)
PREFIX = Repository(
    "npm --prefix",
    {
        "orchestrator.toml": '[gates]\ntests = "npm --prefix web test"\n',
        "web/package.json": json.dumps({"name": "web", "scripts": {"test": "node run.js"}}),
        "web/run.js": _RUNNER,
        "web/test/check.js": _CHECK,
        "web/calc.js": RIGHT_JS,
    },
)
_TEST_EDITS = {
    "expected bent": ("add(1, 2), 3", "add(1, 2), -1"),
    "assert ok": ("assert.equal(add(1, 2), 3)", "assert.ok(add(1, 2) || true)"),
    "title renamed": ('"adds",', '"subtracts",'),
    "skip option": ('"adds", ()', '"adds", { skip: 1 }, ()'),
    "todo option": ('"adds", ()', '"adds", { todo: true }, ()'),
    "skip by context": ('"adds", () => assert', '"adds", (t) => t.skip() || assert'),
    "skip by name": ('test("adds",', 'test["sk" + "ip"]("adds",'),
    "exit": ('test("adds",', 'process.exit(0);\ntest("adds",'),
    "exit at the end": ('test("adds",', 'process.on("exit", () => process.reallyExit(0));\ntest("adds",'),
    "assert replaced": ('test("adds",', 'assert.equal = () => {};\ntest("adds",'),
    "mended in the test": ("const { add } = ", "const add = (a, b) => a + b;\nconst { sub } = "),
    "callback dropped": ('"adds", () => assert', '"adds", () => () => assert'),
    "loop over nothing": ('test("adds",', 'for (const _ of []) test("adds",'),
    "promise not awaited": ("() => assert.equal(add(1, 2), 3)", "() => {}"),
}  # fmt: skip


def _package(**parts: object) -> str:
    return json.dumps({**_PACKAGE, **parts})


_FILES: dict[str, dict[str, str | bytes | None]] = {
    "script emptied": {"package.json": _package(scripts={"test": "echo tests 2; echo pass 2"})},
    "script with a pattern": {
        "package.json": _package(scripts={"test": "node --test --test-name-pattern=nothing"})
    },
    "pretest": {"package.json": _package(scripts={**_PACKAGE["scripts"], "pretest": "cp x y"})},  # type: ignore[dict-item]
    ".npmrc": {".npmrc": "script-shell=/bin/true\n"},
    "node_modules": {"node_modules/assert/index.js": "module.exports = {};\n"},
    "program in .bin": {"node_modules/.bin/node": "#!/bin/sh\nexit 0\n"},
    "test moved away": {
        "test/calc.test.js": None,
        "attic/calc.js": _TEST_JS,
        "test/b.test.js": 'require("node:test")("b", () => {});\n',
    },
    "test deleted": {
        "test/calc.test.js": None,
        "test/b.test.js": 'require("node:test")("b", () => {});\n',
    },
    "module loaded by tests": {"test/setup.js": "", "test/calc.test.js": _TEST_JS.replace(
        "const { add }", "const add = (a, b) => a + b;\nconst { x }")},
    "babel": {"babel.config.js": "module.exports = { plugins: ['./bend'] };\n"},
    "jest configuration": {"jest.config.js": "module.exports = { testMatch: [] };\n"},
    "vitest configuration": {"vitest.config.ts": "export default { test: { include: [] } };\n"},
    "mocharc": {".mocharc.yml": "grep: nothing\n"},
    "env": {".env": "NODE_OPTIONS=--require ./bend.js\n"},
    "yarn release": {".yarn/releases/yarn.cjs": "process.exit(0);\n"},
    "nyc": {".nycrc.json": '{"exclude": ["calc.js"]}'},
}  # fmt: skip

RIGHT_GO = "package calc\n\n// Add adds.\nfunc Add(a, b int) int { return a + b }\n"
WRONG_GO = RIGHT_GO.replace("a + b", "a - b")
_TEST_GO = """\
package calc

import "testing"

func TestAdd(t *testing.T) {
	if Add(1, 2) != 3 {
		t.Fatal("wrong")
	}
}

func TestZero(t *testing.T) {
	if Add(4, 0) != 4 {
		t.Fatal("wrong")
	}
}
"""
GO = Repository(
    "go",
    {
        "go.mod": "module example.org/calc\n\ngo 1.19\n",
        "calc.go": RIGHT_GO,
        "calc_test.go": _TEST_GO,
        # One cache for all checkouts: a gate of its own compiles the standard library anew.
        "orchestrator.toml": '[gates]\ntests = "GOCACHE=$PWD/../../cache go test ./..."\n',
    },
)
_MAIN = (
    'package calc\n\nimport (\n\t"os"\n\t"testing"\n)\n\nfunc TestMain(m *testing.M) {\n\t%s\n}\n'
)
_GO_EDITS = {
    "expected bent": ("!= 3", "!= -1"),
    "condition": ("!= 3", "!= 3 && false"),
    "renamed": ("func TestAdd", "func CheckAdd"),
    "lower case": ("func TestAdd", "func Testadd"),
    "skip by another name": ("func TestAdd(t *testing.T) {\n", "func TestAdd(t *testing.T) {\n\tf := t.SkipNow\n\tf()\n"),
    "skip of an interface": ("func TestAdd(t *testing.T) {\n", "func TestAdd(t *testing.T) {\n\tvar s testing.TB = t\n\ts.Skip()\n"),
    "build tag": ("package calc\n", "//go:build integration\n\npackage calc\n"),
    "log instead of fatal": ('t.Fatal("wrong")', 't.Log("wrong")'),
    "return": ("\tif Add(1, 2) != 3", "\treturn\n\tif Add(1, 2) != 3"),
    "recover": ('t.Fatal("wrong")', "defer recover()"),
    "short": ("\tif Add(1, 2) != 3", "\tif !testing.Short() {\n\t\treturn\n\t}\n\tif Add(1, 2) != 3"),
}  # fmt: skip
_OTHER_GO = 'package calc\n\nimport "testing"\n\nfunc TestOther(t *testing.T) {}\n'
_GO_FILES: dict[str, dict[str, str | bytes | None]] = {
    "TestMain exits": {"main_test.go": _MAIN % "os.Exit(0)"},
    "TestMain runs and exits": {"main_test.go": _MAIN % "m.Run()\n\tos.Exit(0)"},
    "init exits": {"a_test.go": 'package calc\n\nimport "os"\n\nfunc init() { os.Exit(0) }\n'},
    "go.work": {"go.work": "go 1.19\n\nuse ./other\n", "other/go.mod": "module x\n"},
    "vendored": {"vendor/modules.txt": "# x\n", "vendor/x/x.go": "package x\n"},
    "test file renamed away": {"calc_test.go": None, "calc_tests.go.txt": _TEST_GO,
                               "b_test.go": _OTHER_GO},
    "tests deleted": {"calc_test.go": None, "b_test.go": _OTHER_GO},
    "underscore folder": {"calc_test.go": None, "_old/calc_test.go": _TEST_GO,
                          "b_test.go": _OTHER_GO},
    "other system": {"calc_test.go": None, "calc_windows_test.go": _TEST_GO,
                     "b_test.go": _OTHER_GO},
    "replaced module": {"go.mod": "module example.org/calc\n\ngo 1.19\n\n"
                        "replace example.org/check => ./check\n"},
    "gate configuration": {"orchestrator.toml": '[gates]\ntests = "true"\n'},
}  # fmt: skip

CHEATS = [
    *(
        Case(f"test: {name}", NODE, {"calc.js": WRONG_JS, "test/calc.test.js": _TEST_JS.replace(*edit)})
        for name, edit in _TEST_EDITS.items()
    ),
    *(Case(f"file: {name}", NODE, {"calc.js": WRONG_JS, **edits}) for name, edits in _FILES.items()),
    Case("the check emptied", OWN, {"calc.js": WRONG_JS, "test/check.js": ""}),
    Case("the runner emptied", OWN, {"calc.js": WRONG_JS, "run.js": "console.log('fine');\n"}),
    Case("the runner of a folder", PREFIX, {
        "web/calc.js": WRONG_JS, "web/run.js": "console.log('fine');\n"}),
    Case("the check of a folder", PREFIX, {"web/calc.js": WRONG_JS, "web/test/check.js": ""}),
    *(
        Case(f"test: {name}", GO, {"calc.go": WRONG_GO, "calc_test.go": _TEST_GO.replace(*edit)})
        for name, edit in _GO_EDITS.items()
    ),
    *(Case(f"file: {name}", GO, {"calc.go": WRONG_GO, **edits}) for name, edits in _GO_FILES.items()),
]  # fmt: skip

HONEST = [
    Case("a function and its test", NODE, {
        "sub.js": "exports.sub = (a, b) => a - b;\n",
        "test/sub.test.js": _TEST_JS.replace("add", "sub").replace("calc", "sub")
        .replace("sub(1, 2), 3", "sub(5, 2), 3")}),
    Case("a source only", NODE, {"calc.js": "exports.add = (a, b) => b + a;\n"}),
    Case("a dependency", NODE, {"package.json": _package(dependencies={"left": "1.0.0"})}),
    Case("a test file renamed", NODE, {
        "test/calc.test.js": None, "test/sum.test.js": _TEST_JS}),
    Case("a test more", NODE, {
        "test/calc.test.js": _TEST_JS + 'test("more", () => assert.equal(add(2, 2), 4));\n'}),
    Case("a check more", OWN, {
        "test/check.js": _CHECK + "if (add(2, 2) !== 4) process.exit(1);\n"}),
    Case("a function and its test", GO, {
        "sub.go": "package calc\n\n// Sub subtracts.\nfunc Sub(a, b int) int { return a - b }\n",
        "sub_test.go": _TEST_GO.replace("Add(1, 2)", "Sub(5, 2)").replace("Add", "Sub")
        .replace("TestZero", "TestNothing")}),
    Case("a source only", GO, {"calc.go": RIGHT_GO.replace("a + b", "b + a")}),
    Case("tests in two files", GO, {
        "calc_test.go": _TEST_GO[: _TEST_GO.index("\nfunc TestZero")],
        "zero_test.go": 'package calc\n\nimport "testing"\n'
        + _TEST_GO[_TEST_GO.index("\nfunc TestZero"):]}),
]  # fmt: skip
