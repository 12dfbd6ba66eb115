"""What a change does to its judges is found; an honest change finds nothing."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter

import pytest

from orchestrator.gates.tampering import allowed, find_tampering
from orchestrator.interfaces.gate import FileChange
from orchestrator.models import Finding

COMMANDS = (
    "python3 -m pytest", "make lint", "npm test --silent", "./run-tests.sh --all",
    "CI=1 python3 -m tabnanny src/judged.py && python3 tools/judge.py src/judged.py",
)  # fmt: skip
TESTS = (
    "import unittest\n\n\ndef test_one():\n    assert one() == 1\n\n\ndef test_two():\n    pass\n"
)
PYPROJECT = (
    '[project]\nname = "x"\ndependencies = ["a"]\n\n'
    "[tool.coverage.report]\nfail_under = 90\n\n[tool.orchestrator.gates]\ntests = 'pytest'\n"
)
SETUP = "[coverage:run]\n[mypy]\n[coverage:report]\n[mypy-x.*]\n[metadata]\nname = x\n"
RUST = "#[test]\nfn a() {}\n\n#[tokio::test]\n#[should_panic]\npub async fn b() {}\n"
PACKAGE = '{"name": "x", "scripts": {"test": "jest"}, "jest": {"lines": 90}, "dependencies": {}}'


def kinds(path: str, before: str | None, after: str | None) -> set[str]:
    change = FileChange(
        path,
        None if before is None else before.encode(),
        None if after is None else after.encode(),
    )
    return {finding.kind for finding in find_tampering([change], COMMANDS)}


@pytest.mark.parametrize(
    ("path", "before", "after", "kind"),
    [
        ("tests/test_a.py", TESTS, None, "test-deleted"),
        ("tests/test_a.py", TESTS, TESTS.replace("def test_one", "def one"), "test-deleted"),
        ("src/a.test.ts", "it('adds', () => {})\n", "", "test-deleted"),
        ("a_test.go", "func TestA(t *testing.T) {}\n", "", "test-deleted"),
        ("tests/test_a.py", TESTS, f"@unittest.skip('x')\n{TESTS}", "test-skipped"),
        ("tests/test_a.py", TESTS, f"pytestmark = pytest.mark.xfail\n{TESTS}", "test-skipped"),
        ("src/a.test.ts", "it('a', f)\n", "it.skip('a', f)\n", "test-skipped"),
        ("src/a.spec.js", "it('a', f)\n", "it('a', f)\nit.only('b', f)\n", "test-skipped"),
        ("a_test.go", "", "func TestA(t *testing.T) { t.Skip() }\n", "test-skipped"),
        ("pyproject.toml", PYPROJECT, PYPROJECT.replace("90", "10"), "threshold-lowered"),
        ("pyproject.toml", PYPROJECT, PYPROJECT.replace("fail_under", "x"), "threshold-lowered"),
        ("package.json", PACKAGE, PACKAGE.replace("90", "9"), "threshold-lowered"),
        ("pyproject.toml", PYPROJECT, PYPROJECT.replace("pytest", "true"), "gate-config-edited"),
        ("orchestrator.toml", "[gates]\n", None, "gate-config-edited"),
        ("package.json", PACKAGE, PACKAGE.replace('"jest"}', '"true"}'), "gate-command-edited"),
        ("Makefile", "lint:\n\truff check\n", "lint:\n\ttrue\n", "gate-command-edited"),
        ("run-tests.sh", "pytest\n", "exit 0\n", "gate-command-edited"),
        ("tools/judge.py", "run()\n", "pass\n", "gate-command-edited"),
        (".github/workflows/ci.yml", "a: 1\n", "a: 2\n", "ci-config-edited"),
        ("ruff.toml", "", "ignore = ['ALL']\n", "check-config-edited"),
        (".eslintrc.json", "{}", "{ }", "check-config-edited"),
        ("setup.cfg", "[flake8]\na=1\n", "[flake8]\na=2\n", "check-config-edited"),
        ("setup.cfg", SETUP, SETUP.replace("run]", "run]\nomit = *"), "check-config-edited"),
        ("setup.cfg", SETUP, SETUP.replace("[mypy]", "[mypy] # x\nx = 1"), "check-config-edited"),
        ("pyproject.toml", PYPROJECT, "[tool.coverage\n", "check-config-edited"),
        ("pyproject.toml", PYPROJECT, "a" + ".a" * 100_000 + " = 1\n", "check-config-edited"),
        ("src/a.py", "x = 1\n", "x = 1  # noqa\n", "suppression-added"),
        ("src/a.py", "x = 1\n", "x: int = ''  # type: ignore\n", "suppression-added"),
        ("src/a.ts", "", "/* eslint-disable */\n", "suppression-added"),
        ("src/a.ts", "", "// @ts-nocheck\n", "suppression-added"),
        ("conftest.py", None, "collect_ignore_glob = ['*']\n", "collection-changed"),
        ("tests/conftest.py", "", "def pytest_collection_modifyitems(items):\n    items[:] = []\n",
         "collection-changed"),
        ("pytest.py", None, "raise SystemExit(0)\n", "tool-shadowed"),
        ("pytest/__init__.py", None, "", "tool-shadowed"),
        ("node_modules/.bin/npm", None, "", "tool-shadowed"),
        ("unittest.py", None, "print('OK')\n", "tool-shadowed"),
        ("sitecustomize.py", None, "import os\n", "tool-shadowed"),
        ("usercustomize.py", None, "import os\n", "tool-shadowed"),
        ("pluggy.py", None, "", "tool-shadowed"),
        ("src/_pytest/__init__.py", None, "", "tool-shadowed"),
        ("coverage.cpython-311-x86_64-linux-gnu.so", None, "", "tool-shadowed"),
        ("package.json", PACKAGE, PACKAGE.replace("{}}", '{"jest": "file:j"}}'), "tool-shadowed"),
        ("package.json", PACKAGE, f'{PACKAGE[:-1]}, "devDependencies": {{"c8": "a/b"}}}}',
         "tool-shadowed"),
        ("package.json", None, '{"devDependencies": {"eslint": "link:./e"}}', "tool-shadowed"),
        ("package.json", None, '{"overrides": {"vitest": {".": "git:x"}}}', "tool-shadowed"),
        ("package.json", None, '{"dependencies": [1]}', "check-config-edited"),
        (".npmrc", None, "script-shell=/bin/true\n", "check-config-edited"),
        ("web/.yarnrc.yml", "", "plugins: [x]\n", "check-config-edited"),
        (".yarnrc", "", "a\n", "check-config-edited"),
        (".pnpmfile.cjs", None, "a\n", "check-config-edited"),
        (".eslintignore", None, "src\n", "check-config-edited"),
        (".pylintrc", "", "a\n", "check-config-edited"),
        ("vite.config.ts", "a\n", "b\n", "check-config-edited"),
        (".cargo/config", None, "a\n", "check-config-edited"),
        (".cargo/config.toml", "a\n", "b\n", "check-config-edited"),
        (".gitea/workflows/ci.yml", "a\n", "b\n", "ci-config-edited"),
        (".forgejo/workflows/ci.yml", "a\n", "b\n", "ci-config-edited"),
        (".github/actions/test/action.yml", "a\n", "b\n", "ci-config-edited"),
        (".gitlab/ci/test.yml", "a\n", "b\n", "ci-config-edited"),
        ("tests/conftest.py", "x = 1\n", "import evil\nx = 1\n", "collection-changed"),
        ("conftest.py", "x = 1\n", "x = 1; from a import b\n", "collection-changed"),
        ("conftest.py", "x = 1\n", "x = __import__('a')\n", "collection-changed"),
        ("conftest.py", "x = 1\n", "import pytest, evil\n", "collection-changed"),
        ("conftest.py", "x = 1\n", "../evil.py", "collection-changed"),
        ("conftest.py", "x = 1\n", "x = 1\n", "collection-changed"),
        ("src/a.rs", RUST, RUST.replace("#[test]", ""), "test-deleted"),
        ("src/a.rs", RUST, RUST.replace("#[tokio::test]\n", ""), "test-deleted"),
        ("src/a.rs", RUST, RUST.replace("#[test]", "#[test]\n#[ignore = 'x']"), "test-skipped"),
        ("src/a.rs", RUST, RUST.replace("#[should_panic]", "#[cfg_attr(unix, ignore)]"),
         "test-skipped"),
        ("Cargo.toml", "[lib]\n", "[lib]\ntest = false\n", "collection-changed"),
        ("Cargo.toml", "[lib]\n", "lib = {'harness'=false}\n", "collection-changed"),
        ("shop/settings.py", "X = 1\n", "TEST_RUNNER = 'shop.Quick'\n", "check-config-edited"),
        ("vendor/example.org/check/c.go", "a\n", "b\n", "tool-shadowed"),
    ],
)  # fmt: skip
def test_each_way_to_bend_a_judge_is_found(path, before, after, kind):
    assert kind in kinds(path, before, after)


@pytest.mark.parametrize(
    ("path", "before", "after"),
    [
        ("src/judged.py", "x = 1\n", "x = 2\n"),
        ("src/a.py", "def one():\n    return 0\n", "def uno():\n    return 1\n"),
        ("src/a.py", "", "x = 1  # noqa: E501 - a long line\ny: int = z  # type: ignore[x]\n"),
        ("src/a.ts", "", "// eslint-disable-next-line no-console -- a tool\n"),
        ("tests/test_a.py", TESTS, f"{TESTS}\n\ndef test_three():\n    pass\n"),
        ("tests/test_b.py", None, TESTS),
        ("tests/test_a.py", TESTS, TESTS.replace("== 1", "== 2")),
        ("tests/test_a.py", f"@unittest.skip('x')\n{TESTS}", f"@unittest.skip('x')\n\n{TESTS}"),
        ("src/a.py", "x = 1  # noqa\n", "import y\nx = 1  # noqa\n"),
        ("pyproject.toml", PYPROJECT, PYPROJECT.replace('["a"]', '["a", "b"]')),
        ("pyproject.toml", PYPROJECT, PYPROJECT.replace("90", "95")),
        ("package.json", PACKAGE, PACKAGE.replace(": {}}", ': {"a": "1"}}')),
        ("src/test_tools/skip.md", "", "Never use pytest.mark.skip.\n"),
        ("conftest.py", None, "import pytest\n\n\n@pytest.fixture\ndef one():\n    return 1\n"),
        ("docs/pytest/usage.py", None, "x = 1\n"),
        ("package.json", None, '{"devDependencies": {"jest": "^29.0.0 || 30", "a": "file:a"}}'),
        ("conftest.py", "", "from __future__ import annotations\n\nimport pytest\n"),
        ("src/a.rs", RUST, RUST.replace("{}", "{ it.skip(1) }")),
        ("src/a.rs", 'fn a() { test("x"); }\n', "fn a() {}\n"),
        ("Cargo.toml", "[lib]\ntest = false\n", "[lib]\nname = 'x'\ntest = false\n"),
        ("tests/checks.py", TESTS, f"{TESTS}x = 1\n"),
        ("logo.png", "a", "b"),
        ("vendor/example.org/check/c.go", "a\n", None),
        ("vendor/own/c.go", "a\n", "b\n"),
        ("conftest.py", "x = 1\n", None),
        ("conftest.py", "x = 1\n", ""),
        ("docs/usage.md", "fail_under = 90\n", "fail_under = 10\n"),
    ],
)  # fmt: skip
def test_an_ordinary_edit_is_no_finding(path, before, after):
    found = kinds(path, before, after) - {"check-config-edited"}
    assert found == set()


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("tests/test_a.py", "tests/test_b.py"), ("a_test.py", "tests/unit/test_a.py"),
        ("tests/a.py", "tests/b.py"), ("tests/a.py", "tests/test_a.py"),
    ],
)  # fmt: skip
def test_a_test_that_moved_is_not_lost(before, after):
    assert find_tampering(moved(before, after), COMMANDS) == ()


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("tests/test_a.py", "tests/old_a.py"), ("tests/test_a.py", "NOTES.md"),
        ("tests/a.py", "tests/NOTES.md"), ("tests/a.py", "src/a.py"),
    ],
)  # fmt: skip
def test_a_test_that_moved_to_where_none_is_run_is_lost(before, after):
    found = find_tampering(moved(before, after), COMMANDS)
    assert {finding.kind for finding in found} == {"test-deleted"}


def moved(before: str, after: str) -> list[FileChange]:
    return [FileChange(before, TESTS.encode(), None), FileChange(after, None, TESTS.encode())]


@pytest.mark.parametrize(
    ("path", "before", "after", "kind", "detail"),
    [
        ("plugin.egg-info/entry_points.txt", None, "a", "made-file", "tools make it from sources"),
        ("lib/fast.so", None, "a", "made-file", "a compiled file that no check reads"),
        ("src/json/__init__.py", None, "a\n", "tool-shadowed", "it replaces json"),
        ("argparse.py", None, "a\n", "tool-shadowed", "it replaces argparse"),
        (".env", None, "a\n", "tool-shadowed", "a check loads it unasked"),
        ("noxfile.py", "a\n", "b\n", "check-config-edited", "it configures tests"),
        ("pytest.ini", "a\n", "b\n", "check-config-edited", "it configures a check"),
        ("setup.cfg", "", "[tool:pytest]\n", "check-config-edited", "its part pytest differs"),
    ],
)
def test_a_file_of_the_checks_is_told_once_and_why(path, before, after, kind, detail):
    sides = (None if side is None else side.encode() for side in (before, after))
    (finding,) = find_tampering([FileChange(path, *sides)], COMMANDS)
    assert (finding.kind, finding.path) == (kind, path)
    assert finding.detail.startswith(detail)


@pytest.mark.parametrize(
    ("path", "before", "after"),
    [
        ("plugin.egg-info/entry_points.txt", b"a", None),
        ("lib/fast.so", b"a", b"b"),
        ("Makefile", b"a:\n", b"b:\n"),
    ],
)
def test_what_no_check_reads_is_none(path, before, after):
    assert find_tampering([FileChange(path, before, after)], ("pytest",)) == ()


def test_a_finding_on_an_allowed_path_says_so_and_does_not_block():
    one, other = (Finding(kind="x", path=path, detail="d") for path in ("ci/a.yml", "b.py"))
    assert allowed([one, other], ["docs/*", "ci/*"]) == (
        (one.model_copy(update={"detail": "d (the request allows ci/*)"}), other),
        True,
    )
    assert allowed([one], ["ci/*"])[1] is False
    assert allowed([other], ["ci/*"])[1] is True
    assert allowed([], []) == ((), False)


def test_a_file_that_the_plan_runs_in_turn_is_watched():
    change = FileChange("scripts/test.sh", b"pytest\n", b"true\n")
    (finding,) = find_tampering([change], ("make test",), {"scripts/test.sh"})
    assert finding.kind == "gate-command-edited"


def test_a_finding_names_the_line():
    change = FileChange("src/a.py", b"x = 1\n", b"x = 1\ny = 2  # noqa\n")
    (finding,) = find_tampering([change], COMMANDS)
    assert (finding.path, finding.line) == ("src/a.py", 2)


def test_of_each_kind_the_first_are_told_and_the_rest_counted():
    many = "x = 1  # noqa\n" * 60
    lost = f"it('{'a' * 5000}', f)\n"
    changes = [
        FileChange("src/a.py", b"", many.encode()),
        FileChange("src/b.py", b"", many.encode()),
        FileChange("src/a.test.js", lost.encode(), None),
    ]
    *found, rest = find_tampering(changes, COMMANDS)
    assert Counter(finding.kind for finding in found) == {
        "suppression-added": 50,
        "test-deleted": 1,
    }
    assert (rest.kind, rest.path, rest.line) == ("suppression-added", "src/a.py", 51)
    assert rest.detail.startswith("and 70 more")
    assert max(len(finding.detail) for finding in found) < 300


def test_a_new_version_of_a_vendored_module_is_no_edit_of_a_copy():
    paths = ("vendor/example.org/check/c.go", "vendor/modules.txt")
    assert not find_tampering([FileChange(path, b"a", b"b") for path in paths], COMMANDS)


def test_bytes_that_are_no_text_are_read_all_the_same():
    change = FileChange("tests/test_a.py", b"\xff\xfedef test_x(): ...\n", b"\xff\xfe\n")
    find_tampering([change], COMMANDS)


_LONG_FILES = """
from orchestrator.gates.tampering import find_tampering
from orchestrator.interfaces.gate import FileChange

SEEDS = (
    " ", "\\n", "\\t", "\\r", "'", '"', "`", "[", "]", "(", "#", "a", "/", "1", ".", "lines ",
    "lines\\n", "[a\\n", "[aaa", "[mypy]\\n", "#[test]", "it(",
    "async ", "import ", "; ", "#[cfg_attr(", "x=[",
)
PATHS = ("tests/test_a.py", "conftest.py", "setup.cfg", "pyproject.toml", "package.json", "a.rs")
for seed in SEEDS:
    text = ("lines" + seed * (2**17 // len(seed))).encode()
    find_tampering([FileChange(path, b"x", text) for path in PATHS], ())
"""


def test_no_file_takes_longer_than_its_length():
    """A search that takes the square of 128 KiB takes minutes, and holds up the lease meanwhile."""
    subprocess.run([sys.executable, "-c", _LONG_FILES], check=True, timeout=300)
