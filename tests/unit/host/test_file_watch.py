"""`orchestrator.host.file_watch`: what programs open is seen, by any name and in any namespace."""

from __future__ import annotations

import resource
import shutil
import subprocess

import pytest

from orchestrator.host.file_watch import FileWatch

PATHS = ("a.sh", "b.py", "c/d.ini", "gone.txt")


@pytest.fixture
def root(tmp_path):
    folder = tmp_path / "tree"
    (folder / "c").mkdir(parents=True)
    for path in PATHS[:3]:
        (folder / path).write_text("echo hi\n")
    return folder


def opened(root, command, *, paths=PATHS):
    with FileWatch.start(root, paths) as watch:
        subprocess.run(["/bin/sh", "-c", command], cwd=root, check=True, stdout=subprocess.DEVNULL)
        found = watch.opened()
    assert watch.gap == ""
    return found


@pytest.mark.parametrize(
    ("command", "found"),
    [
        ("ls -lR; test -e a.sh; chmod 700 a.sh", set()),
        ("cat a.sh", {"a.sh"}),
        ("sh a.sh; sh a.sh; cat c/d.ini", {"a.sh", "c/d.ini"}),
        ("chmod 755 a.sh; ./a.sh", {"a.sh"}),
        ("ln a.sh ../other; sh ../other", {"a.sh"}),
        ("mv a.sh z; ln -s z y; sh y", {"a.sh"}),
        ("mv c e; cat e/d.ini", {"c/d.ini"}),
        ("cp -r . ../copy", {"a.sh", "b.py", "c/d.ini"}),
        ("(setsid sh a.sh &); sleep 0.2; cat b.py", {"a.sh", "b.py"}),
    ],
)
def test_what_a_program_opens_is_seen_by_any_name(root, command, found):
    assert opened(root, command) == found


def test_a_program_in_namespaces_and_mounts_of_its_own_is_seen(root):
    if shutil.which("bwrap") is None:
        pytest.skip("needs bwrap")
    inside = "bwrap --unshare-all --ro-bind / / --bind . /mnt sh /mnt/a.sh"
    assert opened(root, inside) == {"a.sh"}


def test_a_link_is_watched_through_its_target_and_one_that_leads_nowhere_counts(root):
    (root / "to").symlink_to("c/d.ini")
    (root / "folder").symlink_to("c")
    (root / "nowhere").symlink_to("/nonexistent/x")
    paths = ("to", "folder", "nowhere")
    assert opened(root, "true", paths=paths) == {"nowhere"}
    (root / "alone").symlink_to("a.sh")
    assert opened(root, "cat alone", paths=("alone", *paths)) == {"alone", "nowhere"}
    # A folder cannot tell by which name it is entered.
    assert opened(root, "cat to", paths=paths) == {"to", "folder", "nowhere"}
    assert opened(root, "ls folder/", paths=paths) == {"folder", "nowhere"}


def test_paths_of_one_file_share_its_reading(root):
    (root / "same").hardlink_to(root / "a.sh")
    assert opened(root, "cat same", paths=("a.sh", "same")) == {"a.sh", "same"}


def test_what_cannot_be_watched_is_told(root):
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (1, limits[1]))
    try:
        watch = FileWatch.start(root, PATHS)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    with watch:
        assert watch.gap == "inotify: Too many open files"
        assert watch.opened() == frozenset()
