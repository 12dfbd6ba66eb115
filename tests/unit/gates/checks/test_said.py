"""The lines of an output that a gate result quotes: those about the repository come first."""

from __future__ import annotations

import pytest

from orchestrator.gates.checks._said import QUOTED_CHARACTERS, plain_lines, quote

VENV = "../../environments/0a/venv/lib/python3.11/site-packages"


def test_frames_in_installed_packages_leave_room_for_the_failed_tests_and_their_reason():
    frames = [f"{VENV}/framework/client.py:{number}: in request" for number in range(100)]
    failed = [f"FAILED tests/test_a.py::test_{number} - TypeError" for number in range(30)]
    lines = [*frames, "tests/test_a.py:7: in test_0", *failed, "E   TypeError: no page"]
    said = quote("30 failed", lines)
    assert "tests/test_a.py:7: in test_0\nFAILED tests/test_a.py::test_0 - TypeError\n" in said
    assert "\nE   TypeError: no page\n" in said
    assert "site-packages" not in said.partition("test_29")[0]


@pytest.mark.parametrize(
    "frame",
    [
        f"{VENV}/a.py:1: in f",
        "/usr/lib/python3.11/unittest/case.py:57: in run",
        "node_modules/a/index.ts(1,2): error TS1: no",
    ],
)
def test_what_failed_in_installed_packages_alone_is_quoted(frame):
    assert quote("1 failed", [frame]) == f"1 failed\n{frame}"


def test_the_end_of_an_output_that_names_nothing_is_that_of_the_repository():
    inner = [
        "    at Module._compile (node:internal/modules/cjs/loader:1521:14)",
        "    at run (/x/node_modules/runner/lib/run.js:158:20)",
    ]
    own = ["/x/index.js:1", "throw new Broken()", "    at Object.<anonymous> (/x/test/a.js:6:20)"]
    assert quote("exit code 1", [*own, *inner * 30]) == "\n".join(["exit code 1", *own])
    assert quote("exit code 1", ["", *inner]) == "\n".join(["exit code 1", *inner])


def test_blank_lines_take_no_room_in_the_end_of_an_output():
    lines = [f"step {number}" for number in range(30)]
    spaced = [part for line in lines for part in (line, "")]
    assert quote("exit code 1", spaced) == "\n".join(["exit code 1", *lines[10:]])


def test_a_long_line_is_cut_unless_it_is_compared_as_a_whole():
    printed = b"\x1b[31m" + b"x" * 500
    assert plain_lines(printed) == (f"{'x' * 400}…",)
    assert plain_lines(printed, whole=True) == ("x" * 500,)


def test_a_test_that_failed_without_a_reason_is_quoted_with_its_place():
    node = ["✔ reads", "✖ adds (1ms)", "    at Test.<anonymous> (/x/test/a.test.js:4:10)", "done"]
    assert quote("exit code 1", node) == "\n".join(["exit code 1", *node[1:3]])


def test_a_quote_has_a_maximum_length():
    lines = [f"a.py:{number}: {'x' * 300}" for number in range(50)]
    assert len(quote("50 failed", lines)) == QUOTED_CHARACTERS


def test_an_error_without_a_message_is_quoted_with_its_places_in_the_repository():
    node = [
        "/x/lib/copy.js:1", "throw new Error()", "^", "", "Error",
        "    at Object.<anonymous> (/x/lib/copy.js:1:7)",
        "    at Module._compile (node:internal/modules/cjs/loader:1521:14)",
    ]  # fmt: skip
    said = quote("exit code 1", node)
    assert said == f"exit code 1\nError\n{node[0]}\n{node[5]}"
    python = [
        "Traceback (most recent call last):",
        *(f'  File "/x/runtests.py", line {number}, in call' for number in range(1, 9)),
        '  File "<frozen importlib._bootstrap>", line 1, in call',
        '  File "/venv/lib/python3.11/site-packages/a.py", line 9, in call', "RuntimeError",
    ]  # fmt: skip
    said = quote("exit code 1", python).splitlines()
    assert said == ["exit code 1", "RuntimeError", *python[1:4], *python[6:9]]
