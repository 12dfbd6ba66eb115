"""What an earlier commit of the same range says excuses nothing: only the base does."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from orchestrator.secretscan import AllowList, ScannedText, Scanner
from orchestrator.secretscan.allowlist import Allowed
from orchestrator.secretscan.engine import find
from orchestrator.settings import Settings
from orchestrator.workspace.git import Git
from orchestrator.workspace.new_blobs import COMMIT, NewBlobs, new_blobs, pending, staged
from tests.doubles.secret_maker import Maker

KEY = b"k" * 32
PASSWORD = Maker(3).fill("{x18}7")[0]
#: The same words in forms that are no finding: a digest, a name, prose.
HARMLESS = {
    "digest": f"etag: {PASSWORD}\n",
    "path": f"see docs/{PASSWORD}/index.html\n",
    "name": f"def test_{PASSWORD}(): ...\n",
    "prose": f"the word {PASSWORD} is long\n",
}
USED = f'password = "{PASSWORD}"\n'


class People:
    """A repository that a person (or an agent) commits to, and what a scan of it finds."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clock = 1_900_000_000
        self.git("init", "--quiet", "-b", "main", ".")
        self.save({"kept.py": "x = 1\n"})
        self.git("tag", "base")

    def git(self, *arguments: str) -> str:
        names = {f"GIT_{who}_{what}": "a@b.c" for who in ("AUTHOR", "COMMITTER")
                 for what in ("NAME", "EMAIL")}  # fmt: skip
        dates = {f"GIT_{who}_DATE": f"@{self.clock} +0000" for who in ("AUTHOR", "COMMITTER")}
        env = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "GIT_CONFIG_NOSYSTEM": "1"}
        ended = subprocess.run(
            ("git", *arguments), cwd=self.folder, env={**env, **names, **dates},
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        return ended.stdout.strip()

    def write(self, files: dict[str, str | None]) -> None:
        for name, content in files.items():
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if content is None:
                path.unlink()
            else:
                path.write_text(content)
        self.git("add", "-A")

    def save(self, files: dict[str, str | None], message: str = "more") -> str:
        self.clock += 60
        self.write(files)
        self.git("commit", "--quiet", "--allow-empty", "-m", message)
        return self.git("rev-parse", "HEAD")

    def found(self, base: str = "base", allow: AllowList | None = None) -> list[tuple[str, str]]:
        return self.scan(new_blobs(Git(Settings()), self.folder / ".git", base, "HEAD"), allow)

    @staticmethod
    def scan(texts, allow: AllowList | None = None) -> list[tuple[str, str]]:
        def text(one: NewBlobs) -> ScannedText:
            content = (one.content, one.before, one.reason, one.earlier)
            return ScannedText(one.commit, one.path, *content)

        found = Scanner(KEY, allow or AllowList()).scan(map(text, texts))
        return [(finding.commit, finding.file) for finding in found]


@pytest.fixture
def people(tmp_path: Path) -> People:
    return People(tmp_path)


@pytest.mark.parametrize("form", HARMLESS)
def test_a_harmless_form_in_an_earlier_commit_excuses_nothing(people, form):
    people.save({"a.py": HARMLESS[form]})
    assert people.found() == []
    used = people.save({"a.py": HARMLESS[form] + USED})
    assert people.found() == [(used, "a.py")]


def test_nor_does_one_that_was_moved_away_from(people):
    people.save({"notes.txt": HARMLESS["prose"]})
    used = people.save({"notes.txt": None, "conf/notes.txt": HARMLESS["prose"] + USED})
    assert people.found() == [(used, "conf/notes.txt")]


def test_nor_does_one_that_passed_through_other_commits(people):
    people.save({"a.py": HARMLESS["prose"]})
    people.save({"a.py": "nothing\n" + HARMLESS["prose"]})
    people.save({"a.py": None, "b/a.py": "x = 2\n" + HARMLESS["prose"]})
    used = people.save({"b/a.py": "x = 2\n" + USED})
    assert people.found() == [(used, "b/a.py")]


def test_nor_does_one_that_a_side_branch_brings(people):
    people.git("checkout", "--quiet", "-b", "side")
    people.save({"a.py": HARMLESS["prose"]})
    people.git("checkout", "--quiet", "main")
    people.save({"b.py": "y = 1\n"})
    people.git("merge", "--quiet", "--no-commit", "--no-ff", "side")
    merged = people.save({"a.py": USED}, "Merge")
    assert people.found() == [(merged, "a.py")]


def test_nor_do_dates_that_put_the_second_commit_before_the_first(people):
    """A merge that names both lists them by date, and whoever commits chooses the date."""
    first = people.save({"a.py": HARMLESS["prose"]})
    people.clock = 1_000_000_000
    used = people.save({"a.py": USED})
    merge = people.git("commit-tree", "HEAD^{tree}", "-p", used, "-p", first, "-m", "Merge")
    people.git("reset", "--quiet", "--hard", merge)
    assert people.found() == [(used, "a.py")]


def test_nor_does_a_harmless_path(people):
    people.save({f"docs/{PASSWORD}/a.txt": "a\n"})
    assert people.found() == []
    used = people.save({f"docs/{PASSWORD}/a.txt": None, f"password={PASSWORD}/a.txt": "a\n"})
    assert people.found() == [(used, "<paths>")]


def test_nor_does_a_message(people):
    people.save({"a.py": "y = 1\n"}, HARMLESS["prose"])
    used = people.save({"a.py": "y = 2\n"}, USED)
    assert people.found() == [(used, COMMIT)]


def test_nor_does_a_form_that_an_operator_allowed(people):
    """The entry names one rule; the later form is found by another."""
    (rule,) = {match.rule for match in find(USED.encode())}
    people.save({"a.py": USED})
    allow = AllowList(allow=(Allowed(rule=rule, reason="of the tests"),))
    assert people.found(allow=allow) == []
    used = people.save({"a.py": f"postgres://app:{PASSWORD}@db.acme.io/app\n"})
    assert people.found(allow=allow) == [(used, "a.py")]


def test_what_was_a_finding_at_the_parent_is_told_once(people):
    first = people.save({"a.py": USED})
    people.save({"a.py": USED + "x = 2\n"})
    people.save({"a.py": None, "b/a.py": USED + "x = 3\n"})
    assert people.found() == [(first, "a.py")]
    copied = people.save({"other.py": f"z = 1\n{USED}"})
    assert people.found() == [(first, "a.py"), (copied, "other.py")]


def test_what_the_base_holds_is_nobody_elses_however_often_its_file_is_edited_and_moved(people):
    people.save({"conf.py": USED + "y = 2\n" * 20})
    people.git("tag", "--force", "base")
    people.save({"conf.py": USED + "y = 3\n" * 20})
    people.save({"conf.py": None, "lib/conf.py": USED + "y = 4\n" * 20})
    people.save({"lib/conf.py": "w = 1\n" + USED + "y = 4\n" * 20})
    people.save({"lib/conf.py": None, "lib/new.py": "w = 1\n" + USED + "y = 5\n" * 20})
    assert people.found() == []


def test_what_a_commit_before_the_base_held_is_published(people):
    """A branch that left before the base, merged in."""
    people.save({"conf.py": USED})
    people.git("branch", "old")
    people.save({"conf.py": "password = os.environ['P']\n"})
    people.git("tag", "--force", "base")
    people.git("checkout", "--quiet", "old")
    people.save({"conf.py": USED + "more = 1\n"})
    people.git("checkout", "--quiet", "main")
    people.git("merge", "--quiet", "--no-commit", "--no-ff", "-s", "ours", "old")
    people.save({}, "Merge")
    assert people.found() == []


def test_the_index_is_not_excused_by_a_commit_that_no_remote_has(people):
    people.save({"a.py": HARMLESS["prose"]})
    people.write({"a.py": USED})
    git, git_dir = Git(Settings()), people.folder / ".git"
    assert people.scan(pending(git, git_dir)) == [(None, "a.py")]
    # By itself, the index is held against HEAD.
    assert people.scan(staged(git, git_dir)) == []


@pytest.mark.parametrize(
    "attributes",
    [
        "working-tree-encoding=UTF-16",
        "ident",
        "text eol=crlf",
        "filter=lfs diff=lfs merge=lfs -text",
        "binary",
        "export-ignore export-subst",
        "linguist-generated -diff",
    ],
)
def test_attributes_have_no_say_in_what_is_read(people, attributes):
    """The bytes that are scanned are those of the object that a push would send."""
    (people.folder / ".gitattributes").write_text(f"*.py {attributes}\n")
    people.git("add", ".gitattributes")
    (people.folder / "plain").write_text(USED)
    blob = people.git("hash-object", "-w", "--no-filters", "plain")
    (people.folder / "plain").unlink()
    people.git("update-index", "--add", "--cacheinfo", f"100644,{blob},a.py")
    people.git("commit", "--quiet", "-m", "more")
    used = people.git("rev-parse", "HEAD")
    git, git_dir = Git(Settings()), people.folder / ".git"
    texts = list(new_blobs(git, git_dir, "base", "HEAD"))
    sent = subprocess.run(
        ("git", "cat-file", "blob", "HEAD:a.py"), cwd=people.folder, capture_output=True, check=True
    ).stdout
    assert [one.content for one in texts if one.path == "a.py"] == [sent]
    assert people.scan(texts) == [(used, "a.py")]
