"""Counts of tests are read from the summaries that real tools print."""

from __future__ import annotations

import pytest

from orchestrator.gates.checks._counts import Counts, count_tests
from orchestrator.gates.checks._said import plain_lines


@pytest.mark.parametrize(
    ("said", "counts"),
    [
        ("==== 2 failed, 3 passed, 1 skipped, 4 deselected in 0.12s ====", Counts(3, 2, 1)),
        ("3 passed, 2 subtests passed, 1 warning in 61.02s (0:01:01)", Counts(3)),
        ("1 passed, 1 error in 0.10s", Counts(1, 1)),
        ("2 xfailed, 1 xpassed in 0.10s", Counts(1, 0, 2)),
        ("=== no tests ran in 0.01s ===", Counts()),
        ("4 skipped in 0.01s", Counts(0, 0, 4)),
        ("Ran 5 tests in 0.001s\n\nOK (skipped=2)", Counts(3, 0, 2)),
        ("Ran 5 tests in 1s\n\nFAILED (failures=1, errors=1, skipped=1)", Counts(2, 2, 1)),
        ("Ran 1 test in 1s\n\nOK (expected failures=1)", Counts(0, 0, 1)),
        ("Ran 0 tests in 0.000s\n\nNO TESTS RAN (skipped=1)", Counts(0, 0, 1)),
        ("Tests:       1 failed, 2 skipped, 3 passed, 6 total", Counts(3, 1, 2)),
        ("No tests found, exiting with code 0", Counts()),
        ("      Tests  1 failed | 3 passed | 1 skipped (5)", Counts(3, 1, 1)),
        ("\x1b[2m      Tests \x1b[22m \x1b[1m\x1b[32m2 passed\x1b[39m (2)", Counts(2)),
        ("ℹ tests 3\nℹ pass 1\nℹ fail 1\nℹ cancelled 0\nℹ skipped 1", Counts(1, 1, 1)),
        ("# tests 0\n# pass 0\n# fail 0", Counts()),
        ("  0 passing (1ms)", Counts()),
        ("  3 passing (5ms)\n  2 pending\n  1 failing", Counts(3, 1, 2)),
        (" 3 pass\n 1 skip\n 1 fail\nRan 5 tests across 2 files. [9.00ms]", Counts(3, 1, 1)),
        ("ok  \ta/b\t0.01s\nFAIL\ta/c\t0.02s\n?   \ta/d\t[no test files]", Counts(1, 1)),
        ("FAIL\ta/c [build failed]", Counts(0, 1)),
        ("?   \ta/d\t[no test files]", Counts()),
        ("ok  \ta/b\t0.01s [no tests to run]", Counts()),
        (
            "=== RUN   TestA\n    a_test.go:7: x\n--- SKIP: TestA (0.00s)\nPASS\nok  \ta/b\t0.01s",
            Counts(0, 0, 1),
        ),
        (
            (
                "=== RUN   TestA\n=== RUN   TestA/b\nhi--- PASS: TestA (0.10s)\n"
                "    --- SKIP: TestA/b (0.00s)\n=== RUN   TestC\n--- FAIL: TestC (0.00s)\nFAIL\n"
                "FAIL\ta/b\t0.01s\n=== RUN   TestB\n--- SKIP: TestB (0.00s)\nPASS\nok  \ta/c\t0.01s"
            ),
            Counts(1, 1, 1),
        ),
        (".s\n" + "-" * 70 + "\nRan 2 tests in 0.1s\n\nOK (skipped=1)", Counts(1, 0, 1)),
        ("hi.s\n" + "-" * 70 + "\nRan 4 tests in 0.1s\n\nOK (skipped=1)", Counts(3, 0, 1)),
        (".s\n" + "-" * 70 + "\nRan 4 tests in 0.1s\n\nOK (skipped=1)", Counts(3, 0, 1)),
        ("test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured", Counts(3, 0, 1)),
        (
            "test result: ok. 1 passed; 0 failed\ntest result: FAILED. 0 passed; 1 failed",
            Counts(1, 1),
        ),
        ("all is well", None),
        ("took 3 days in 5s", None),
    ],
)
def test_a_summary_is_counted(said, counts):
    assert count_tests(plain_lines(said.encode())) == counts
