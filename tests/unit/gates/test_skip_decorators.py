"""`gates.skip_decorators`: a skip is a finding if a test of the base may run less often."""

from __future__ import annotations

import pytest

from orchestrator.gates.tampering import find_tampering
from orchestrator.interfaces.gate import FileChange

OLD = (
    "import pytest\n\n\n@pytest.mark.skipif(WIN, reason='no sed')\ndef test_old():\n    assert 1\n"
)
PLAIN = "def test_plain():\n    assert 2\n"
IF = "@pytest.mark.skipif(WIN, reason='no sed')\n"
NEW = "def test_new():\n    assert 3\n"
CLASS = "class TestA:\n    def test_a(self):\n        assert 4\n"


def kinds(*files: tuple[str, str | None, str | None]) -> set[str]:
    """Return the kinds of findings of files, each with its content before and after."""
    changes = [
        FileChange(path, *(None if side is None else side.encode() for side in sides))
        for path, *sides in files
    ]
    return {finding.kind for finding in find_tampering(changes, ["pytest"])}


def of_test_file(after: str, before: str = f"{OLD}\n\n{PLAIN}") -> set[str]:
    return kinds(("tests/test_a.py", before, after))


@pytest.mark.parametrize(
    "added",
    [
        f"{IF}{NEW}",
        f"{IF}@pytest.mark.parametrize('a', [1])\nasync {NEW}",
        "@pytest.mark.skipif(\n    sys.platform == 'win32',\n    reason='no sed',\n)\n" + NEW,
        f"@unittest.skipUnless(fork, 'no fork')\n{NEW}",
        "class TestNew:\n    @skipIf(WIN, 'no sed')\n    def test_new(self):\n        pass\n",
    ],
)
def test_a_condition_of_a_new_test_is_no_finding(added):
    assert of_test_file(f"{OLD}\n\n{PLAIN}\n\n{added}") == set()


def test_the_same_decorator_in_another_format_is_no_finding():
    formatted = OLD.replace(
        "(WIN, reason='no sed')", '(\n    WIN,\n    # It is not GNU.\n    reason="no sed",\n)'
    )
    assert of_test_file(f"{PLAIN}\n\n{formatted}") == set()


@pytest.mark.parametrize(
    "after",
    [
        f"{OLD}\n\n{IF}{PLAIN}",
        # The condition differs.
        f"{OLD.replace('WIN', 'True')}\n\n{PLAIN}",
        # It is another test's, or one more of the same.
        f"{OLD}\n\n{IF}{PLAIN}\n\n{NEW}",
        f"{OLD}\n\n@pytest.mark.skipif(WIN, reason='no sed')\n{PLAIN}",
        f"{OLD}\n\n{IF}def test_old():\n    assert 1\n",
        # A new test without a condition does not run at all.
        f"{OLD}\n\n{PLAIN}\n\n@pytest.mark.skip\n{NEW}",
        f"{OLD}\n\n{PLAIN}\n\n@pytest.mark.xfail(WIN, reason='x')\n{NEW}",
        f"{OLD}\n\n{PLAIN}\n\n@unittest.skipIf()\n{NEW}",
        f"{OLD}\n\n{PLAIN}\n\n@both(pytest.mark.skipif(WIN))\n{NEW}",
        # Something else may be a test of the base, or contain one.
        f"{OLD}\n\n{PLAIN}\n\n{IF}{NEW}\n\ntest_plain = test_new\n",
        f"{OLD}\n\n{IF}class TestAll:\n    def test_plain(self):\n        pass\n",
        f"{OLD}\n\n{IF}class test_all:\n    def test_plain(self):\n        pass\n",
        f"{OLD}\n\n{PLAIN}\n\n{IF}def helper():\n    pass\n",
        f"pytestmark = pytest.mark.skipif(WIN, reason='no sed')\n{OLD}\n\n{PLAIN}",
        f"{OLD}\n\n{PLAIN}\n\ndef test_new():\n    pytest.skip('later')\n",
        # Whatever cannot be read.
        f"{OLD}\n\n{PLAIN}\n\n{IF}{NEW}\n(",
        f"{OLD}\n\n{PLAIN}\n\n{IF}{NEW}\n" + "#" * 2**20,
    ],
)
def test_any_other_added_skip_is_a_finding(after):
    assert "test-skipped" in of_test_file(after)


def test_decorators_are_read_in_python_files_only():
    assert "test-skipped" in kinds(("tests/run.txt", None, f"{IF}{NEW}"))


def test_a_suppression_beside_the_condition_of_a_new_test_is_a_finding():
    marked = IF.replace("\n", "  # noqa\n")
    assert of_test_file(f"{OLD}\n\n{PLAIN}\n\n{marked}{NEW}") == {"suppression-added"}


def test_a_test_that_comes_from_another_file_is_not_new():
    there = ("tests/test_b.py", PLAIN, "")
    assert "test-skipped" in kinds(there, ("tests/test_a.py", OLD, f"{OLD}\n\n{IF}{PLAIN}"))
    assert "test-skipped" in kinds(there, ("tests/test_c.py", None, f"{IF}{PLAIN}"))


def test_a_decorator_is_the_test_s_own_in_its_class_only():
    before = f"{OLD}\n\n{CLASS}"
    marked = CLASS.replace("    def", "    @pytest.mark.skipif(WIN, reason='no sed')\n    def")
    assert "test-skipped" in of_test_file(f"{OLD}\n\n{marked}", before)
    moved = f"{marked}\n\n{marked.replace('TestA', 'TestB').replace('4', '5')}"
    assert "test-skipped" in of_test_file(moved, f"{marked}\n\n{CLASS.replace('TestA', 'TestB')}")
    # It leaves one class for another, in another format.
    other, quoted = (text.replace("TestA", "TestB") for text in (CLASS, marked))
    assert "test-skipped" in of_test_file(
        f"{CLASS}\n\n{quoted.replace(chr(39), chr(34))}", f"{marked}\n\n{other}"
    )


@pytest.mark.parametrize(
    ("comment", "is_reported"),
    [
        ("# pyright: strict", False),
        ("# pyright: ignore[reportCallIssue]", False),
        ("# pyright:ignore[reportCallIssue]", False),
        ("# pyright: ignore", True),
        ("# pyright: basic", True),
        ("# pyright:  reportCallIssue=false", True),
    ],
)
def test_a_pyright_comment_is_a_finding_if_it_has_no_code(comment, is_reported):
    found = kinds(("src/a.py", "x = 1\n", f"x = 1  {comment}\n"))
    assert ("suppression-added" in found) is is_reported


@pytest.mark.parametrize(
    ("before", "after"), [("lines: 0", ""), ("lines: 0, lines: 9", "lines: 0")]
)
def test_a_minimum_of_nothing_cannot_be_lowered(before, after):
    assert kinds(("vendor/tool.cjs", before, after)) == set()
