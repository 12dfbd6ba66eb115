"""A check of coverage reads only the report of its own run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.contracts.checks import DETECTORS, ERRORED, FAILED, PASSED, REPORT, base_files, judge


@pytest.mark.parametrize(
    ("percent", "status", "detail"),
    [
        (85, PASSED, "85 % ≥ 85 %"),
        (84.96, FAILED, "84.9 % < 85 %\nTOTAL 100%"),
        (81.25, FAILED, "81.2 % < 85 %\nTOTAL 100%"),
    ],
)
def test_coverage_is_what_the_report_says(checkout, percent, status, detail):
    report = json.dumps({"totals": {"num_statements": 4, "percent_covered": percent}})
    result = judge("coverage", f"echo TOTAL 100%; echo '{report}' >report.json", checkout)
    assert (result.status, result.detail) == (status, detail)


@pytest.mark.parametrize(
    ("command", "report", "said"),
    [
        ("echo TOTAL 100%", "report.json", "was not written"),
        ("echo TOTAL 100% >report.json", "report.json", "known format"),
        ("ln -s ../outside.json report.json", "report.json", "inside the checkout"),
        ("ln -s .. r", "r/outside.json", "inside the checkout"),
        ("mkfifo report.json", "report.json", "not a regular file"),
        ("mkdir report.json", "report.json", "not a regular file"),
        ("truncate -s 65M report.json", "report.json", "too large"),
        (
            "cd ..; mv checkout x; mkdir checkout; cp *.json checkout/report.json",
            "report.json",
            "not written",
        ),
    ],
)
def test_only_a_file_written_inside_the_checkout_is_a_report(checkout, command, report, said):
    (checkout.parent / "outside.json").write_text(REPORT)
    result = judge("coverage", command, checkout, report=report)
    assert result.status is ERRORED
    assert said in result.detail


@pytest.mark.parametrize(
    ("make", "said"),
    [
        ("echo '{}' >report.json", "report.json is in the tree already"),
        ("ln -s /etc/passwd report.json", "report.json "),
    ],
)
def test_a_report_that_came_with_the_tree_is_not_read(checkout, make, said):
    subprocess.run(["sh", "-c", make], cwd=checkout, check=True)
    result = judge("coverage", "touch ran", checkout)
    assert result.status is ERRORED
    assert result.detail.startswith(said)
    assert "must be this run's own" in result.detail
    assert not (checkout / "ran").exists()


RUN_CODE = "import unittest, shop\nclass T(unittest.TestCase):\n def test(self): shop.once()\n"

CODE = "def once():\n" + " x = 1\n" + "def never():\n" + " x = 1\n" * 9


@pytest.mark.parametrize(
    ("settings", "plant"),
    [
        ("[run]\nparallel = true\n", "cp {data} .coverage.planted"),
        ("[run]\nparallel = true\n", "ln -s {data} .coverage.planted"),
        ("[run]\nparallel = true\ndata_file = kept/data\n", "cp {data} kept/data.planted"),
    ],
)
def test_the_data_of_another_run_is_not_added_to_this_ones(checkout, settings, plant):
    files = {"shop.py": CODE, "test_it.py": RUN_CODE, ".coveragerc": settings}
    for path, text in files.items():
        (checkout / path).write_text(text)
    (checkout / "kept").mkdir()
    data = checkout.parent / "planted"
    forged = (
        "from coverage import CoverageData; data = CoverageData('{}');"
        " data.add_lines({{'{}': range(1, 99)}}); data.write()"
    )
    code = forged.format(data, checkout / "shop.py")
    subprocess.run([sys.executable, "-c", code], check=True)
    subprocess.run(["sh", "-c", plant.format(data=data)], cwd=checkout, check=True)
    base = {".coveragerc": settings, "tests/__init__.py": ""}
    gate = DETECTORS.build("python", None).detect(base_files(base)).commands["coverage"]
    command = gate.command.replace("coverage ", "python3 -m coverage ")
    result = judge("coverage", command, checkout, report=gate.report)
    assert (result.status, result.exit_code) == (FAILED, 0), result.detail


@pytest.mark.parametrize(
    "path", [".coverage", "a/.coverage.x", ".nyc_output/x.json", "coverage/tmp/x.json"]
)
@pytest.mark.parametrize("make", ["touch {path}", "ln -s / {path}"])
def test_raw_data_in_the_tree_is_gone_before_the_command_runs(checkout, path, make):
    place = checkout / path
    place.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run(["sh", "-c", make.format(path=path)], cwd=checkout, check=True)
    (checkout / ".coveragerc").touch()
    (checkout / "coverage-tool").mkdir()
    result = judge("coverage", f"echo '{REPORT}' >report.json; ls -A . *", checkout)
    assert result.status is PASSED, result.detail
    assert not place.is_symlink()
    assert not place.exists()
    assert {".coveragerc", "coverage-tool"} <= {entry.name for entry in checkout.iterdir()}


def test_a_link_in_place_of_the_folder_of_raw_data_is_gone_too(checkout):
    kept = checkout / "src" / "x.json"
    kept.parent.mkdir()
    kept.touch()
    (checkout / ".nyc_output").symlink_to("src")
    assert judge("coverage", f"echo '{REPORT}' >report.json", checkout).status is PASSED
    assert not (checkout / ".nyc_output").is_symlink()
    assert kept.exists()


@pytest.mark.parametrize("lack", ["report", "minimum"])
def test_coverage_without_a_report_to_read_or_a_minimum_does_not_pass(checkout, lack):
    result = judge("coverage", f"echo '{REPORT}' >report.json", checkout, **{lack: None})
    assert result.status is ERRORED


RUN = "python3 -m coverage run -m unittest -q"
MAKE = "python3 -m coverage json -q -o report.json"
FORGE = f"echo '{REPORT}' >report.json"
HONEST, FALSE = "40 % ≥ 30 %", "90 % ≥ 30 % in report.json, but 40 % by the data of the run"
UNKNOWN = "90 % ≥ 30 %, as its command reports; not computed from the data again: "


@pytest.mark.parametrize(
    ("command", "settings", "status", "detail"),
    [
        (f"{RUN}; {MAKE}", "", PASSED, HONEST),
        (f"{RUN}; {MAKE} --omit=shop.py", "", PASSED, "100 % ≥ 30 %"),
        (f"{RUN}; {MAKE}; {FORGE}", "", FAILED, FALSE),
        (f"{RUN}; {MAKE}; {FORGE}", "[run]\ndata_file = kept/data\n", FAILED, FALSE),
        # What the command runs is not known, so its report may have other options.
        (f"sh -c '{RUN}'; {FORGE}", "", PASSED, FALSE),
        (f"echo lost >.coverage; {FORGE}", "", PASSED, UNKNOWN),
    ],
    ids=["honest", "options", "false", "data-elsewhere", "unknown-command", "unreadable-data"],
)
def test_a_report_is_compared_with_the_data_of_its_run(checkout, command, settings, status, detail):
    for path, text in {"shop.py": CODE, "test_it.py": RUN_CODE, ".coveragerc": settings}.items():
        (checkout / path).write_text(text)
    (checkout / "kept").mkdir()
    result = judge("coverage", command, checkout, minimum=30)
    assert result.status is status, result.detail
    assert result.detail.startswith(detail)
    assert detail == UNKNOWN or result.detail.splitlines()[0] == detail


def test_a_run_that_writes_a_source_does_not_pass(checkout):
    (checkout / "shop.py").write_text(CODE)
    result = judge("coverage", f"echo >shop.py; {FORGE}", checkout)
    assert result.status is FAILED
    assert result.detail.startswith("the run wrote shop.py")


def test_a_judged_checkout_is_not_kept_open(checkout):
    judge("coverage", "true", checkout)
    folders = (Path(os.path.realpath(link)) for link in Path("/proc/self/fd").iterdir())
    assert checkout not in folders
