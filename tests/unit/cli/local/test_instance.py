"""The system of a home: what its end does where the disk of the home has failed."""

from __future__ import annotations

import json
import subprocess
import sys

from orchestrator.cli.local import instance
from tests.disks import small_disk

#: `orch` with a home whose disk refuses a write.
REFUSED = """
import errno, sys
from orchestrator.cli import main
from orchestrator.cli.local import instance
def refused(home):
    raise OSError(errno.EROFS, "Read-only file system", "/srv/orch/run/x")
instance.stop = refused
main(sys.argv[1:], prog_name="orch")
"""


def test_a_system_ends_on_a_read_only_disk_that_keeps_its_files(tmp_path):
    """`orch down` ended every process, and then a traceback hid it."""
    with small_disk(tmp_path / "home", "1m") as home:
        run = instance.run_dir(home)
        run.mkdir(parents=True)
        (run / "supervisord.pid").write_text("1")
        subprocess.run(["mount", "-o", "remount,ro", home], check=True)

        assert instance.stop(home).names == ()


def test_a_write_that_the_disk_refuses_is_one_error_with_the_name_of_the_file():
    def ran(*options):
        argv = [sys.executable, "-c", REFUSED, "down", *options]
        return subprocess.run(argv, capture_output=True, text=True, check=False)

    printed, reported = ran(), ran("--json")

    assert printed.returncode == reported.returncode == 1
    assert "/srv/orch/run/x could not be written: Read-only file system" in printed.stderr
    assert printed.stderr.endswith("[disk_full]\n")
    assert json.loads(reported.stderr)["errorCode"] == "disk_full"
