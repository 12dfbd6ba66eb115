"""An agent that does at random, in a real repository, what agents were seen to do to theirs."""

from __future__ import annotations

import os
import random
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

_NAMES = (
    *("a.txt", "A.txt", "b.bin", "ü.txt", "two words", "new\nline", ":(top)x", "-dash", "*.txt"),
    *("deep/er/file", "deep/other", "build/out", "node_modules/m.js", ".git2", "x.lock", "~1"),
    *(
        "core",
        "sub/.gitignore",
        "@{0}",
        "%41",
        "text.crlf",
        "README.md",
        "src/one.py",
        "src/two.py",
    ),
)
_RAW = os.fsdecode(b"bad-\xff\xfe")
_BRANCHES = ("feature/x", "wip", "deep/er/branch", "wïp", "x.y")


class RandomAgent:
    """Takes steps in one worktree; `said` tells which, for who reads a failure."""

    def __init__(self, seed: int, worktree: Path, home: Path) -> None:
        self.rng = random.Random(seed)
        self.tree = worktree
        self.said: list[str] = []
        self.is_damaged = False
        self._env = {
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_EDITOR": "true",
            **{f"GIT_{who}_NAME": "Agent" for who in ("AUTHOR", "COMMITTER")},
            **{f"GIT_{who}_EMAIL": "agent@example.org" for who in ("AUTHOR", "COMMITTER")},
        }

    def git(self, *arguments: str, cwd: Path | None = None) -> None:
        """Call git, whatever comes of it."""
        self.said.append(f"git {' '.join(arguments)}")
        subprocess.run(
            ("git", *arguments),
            cwd=cwd or self.tree,
            env=self._env,
            capture_output=True,
            check=False,
        )

    def play(self) -> None:
        """Take a few steps, and at times one that damages the repository."""
        steps: list[Callable[[], None]] = [
            *[self.write] * 6,
            *[self.commit] * 4,
            *(
                self.append,
                self.remove,
                self.rename,
                self.mode,
                self.link,
                self.branch,
                self.switch,
            ),
            *(self.stash, self.pop, self.worktree, self.merge, self.rebase, self.reset, self.amend),
            *(self.flag, self.sparse, self.attributes, self.nested, self.special, self.close),
            *(self.stage_only, self.exclude, self.force_add, self.orphan, self.tag, self.touch),
            *[self.stage_elsewhere] * 2,
            *(self.swap, self.kill, self.cherry_pick, self.drop_branch, self.pack, self.venv),
        ]
        for _ in range(self.rng.randint(1, 9)):
            step = self.rng.choice(steps)
            self.said.append(f"# {step.__name__}")
            try:
                step()
            except OSError as error:
                self.said.append(f"# {error}")
        if self.rng.random() < 0.25:
            self.damage()

    # ── files ───────────────────────────────────────────────────────────────────────────────

    def _name(self) -> str:
        return _RAW if self.rng.random() < 0.04 else self.rng.choice(_NAMES)

    def _existing(self) -> Path:
        found = [
            path
            for path in self.tree.rglob("*")
            if ".git" not in path.parts and path.is_file() and not path.is_symlink()
        ]
        return self.rng.choice(sorted(found)) if found else self.tree / "a.txt"

    def _content(self) -> bytes:
        kind = self.rng.random()
        if kind < 0.2:
            return self.rng.randbytes(self.rng.randint(0, 3000))
        line = self.rng.choice([b"\n", b"\r\n"])
        words = (b"%d" % self.rng.randint(0, 10**9) for _ in range(self.rng.randint(0, 9)))
        return line.join([b"$Id$" if kind < 0.3 else b"", *words])

    def write(self) -> None:
        path = self.tree / self._name()
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(self._content())

    def append(self) -> None:
        with self._existing().open("ab") as file:
            file.write(self._content())

    def touch(self) -> None:
        """Same size and the old times: only who looks closely sees it."""
        path = self._existing()
        before = path.stat()
        path.write_bytes(bytes(sign ^ 1 for sign in path.read_bytes()))
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))

    def remove(self) -> None:
        self._existing().unlink()

    def rename(self) -> None:
        target = self.tree / self._name()
        target.parent.mkdir(parents=True, exist_ok=True)
        self._existing().rename(target)

    def mode(self) -> None:
        path = self._existing()
        path.chmod(self.rng.choice([0o755, 0o644, 0o000]))

    def link(self) -> None:
        path = self.tree / f"link{self.rng.randint(0, 3)}"
        path.unlink(missing_ok=True)
        path.symlink_to(self.rng.choice(["a.txt", "/etc/passwd", "gone", "src", "..", "x" * 300]))

    def swap(self) -> None:
        """Put a folder in a file's place, or a file in a folder's."""
        path = self._existing()
        path.unlink()
        path.mkdir()
        (path / "inside").write_bytes(self._content())
        if (self.tree / "src").is_dir() and self.rng.random() < 0.3:
            shutil.rmtree(self.tree / "src")
            (self.tree / "src").write_bytes(self._content())

    def special(self) -> None:
        if self.rng.random() < 0.5:
            os.mkfifo(self.tree / "pipe")
        else:
            with socket.socket(socket.AF_UNIX) as one:
                one.bind(str(self.tree / "socket"))

    def close(self) -> None:
        folder = self.tree / "closed"
        folder.mkdir(exist_ok=True)
        (folder / "in").write_bytes(self._content())
        folder.chmod(0)

    def venv(self) -> None:
        folder = self.tree / "env"
        folder.mkdir()
        (folder / "pyvenv.cfg").write_text("home = /usr\n")
        (folder / "lib.py").write_bytes(self._content())

    # ── the repository ──────────────────────────────────────────────────────────────────────

    def commit(self) -> None:
        self.write()
        self.git("add", "-A")
        self.git("commit", "-qm", f"work {self.rng.randint(0, 999)}")

    def amend(self) -> None:
        self.write()
        self.git("commit", "-qa", "--amend", "--allow-empty", "-m", "amended")

    def branch(self) -> None:
        self.git("switch", "-qc", self.rng.choice(_BRANCHES))
        self.commit()

    def switch(self) -> None:
        self.git("switch", "-q", self.rng.choice([*_BRANCHES, "-", "agent/a1"]))

    def drop_branch(self) -> None:
        self.git("branch", "-D", self.rng.choice(_BRANCHES))

    def orphan(self) -> None:
        self.git("checkout", "-q", "--orphan", "fresh")

    def tag(self) -> None:
        self.git("tag", "-am", "tagged", f"v{self.rng.randint(0, 5)}")

    def stash(self) -> None:
        self.write()
        self.git("stash", "-q", *self.rng.choice([["-u"], [], ["--keep-index"]]))

    def pop(self) -> None:
        self.git("stash", "pop", "-q")

    def stage_only(self) -> None:
        path = self.tree / self._name()
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(self._content())
        self.git("--literal-pathspecs", "add", "--", str(path.relative_to(self.tree)))
        path.write_bytes(self._content())

    def worktree(self) -> None:
        name = f"wt{self.rng.randint(0, 3)}"
        folder = self.tree / ".claude/worktrees" / name
        self.git("worktree", "add", "-q", "-b", name, str(folder))
        if folder.is_dir():
            (folder / "w.txt").write_bytes(self._content())
            if self.rng.random() < 0.6:
                self.git("add", "-A", cwd=folder)
                self.git("commit", "-qm", "of a sub-agent", cwd=folder)
            if self.rng.random() < 0.5:
                (folder / "left.txt").write_bytes(self._content())
            elif self.rng.random() < 0.5:
                self.git("worktree", "remove", str(folder))

    def merge(self) -> None:
        self.git("merge", "-q", "-m", "merged", self.rng.choice(_BRANCHES))

    def rebase(self) -> None:
        self.git("rebase", "-q", self.rng.choice(_BRANCHES))

    def cherry_pick(self) -> None:
        self.git("cherry-pick", self.rng.choice(_BRANCHES))

    def reset(self) -> None:
        self.git("reset", "-q", self.rng.choice(["--hard", "--soft", "--mixed"]), "HEAD~1")

    def flag(self) -> None:
        which = self.rng.choice(["--skip-worktree", "--assume-unchanged"])
        path = self._existing()
        self.git("update-index", which, "--", str(path.relative_to(self.tree)))
        if path.exists():
            path.write_bytes(self._content())

    def sparse(self) -> None:
        self.git(
            "sparse-checkout", "set", *self.rng.choice([["src"], ["deep"], ["--no-cone", "/*.md"]])
        )

    def attributes(self) -> None:
        (self.tree / ".gitattributes").write_text("* filter=gone text\n*.txt eol=crlf\n")
        self.git("config", "filter.gone.clean", "sed s/./x/g")
        self.git("config", "filter.gone.required", "true")

    def exclude(self) -> None:
        (self.tree / ".git/info").mkdir(exist_ok=True)
        (self.tree / ".git/info/exclude").write_text("*\n")

    def force_add(self) -> None:
        (self.tree / "build").mkdir(exist_ok=True)
        (self.tree / "build/forced").write_bytes(self._content())
        self.git("add", "-f", "build/forced")

    def nested(self) -> None:
        folder = self.tree / self.rng.choice(["nest", "src", "deep/nest"])
        folder.mkdir(parents=True, exist_ok=True)
        self.git("init", "-q", cwd=folder)
        (folder / "n.txt").write_bytes(self._content())
        if self.rng.random() < 0.6:
            self.git("add", "-A", cwd=folder)
            self.git("commit", "-qm", "nested", cwd=folder)

    def stage_elsewhere(self) -> None:
        """Stage a file in a nested repository or a linked worktree; it then changes or goes."""
        folder = self.tree / self.rng.choice(["nest", "deep/nest", "nest/inner", "wt-staged"])
        if folder.name == "wt-staged":
            self.git("worktree", "add", "-q", "--detach", str(folder))
        else:
            folder.mkdir(parents=True, exist_ok=True)
            self.git("init", "-q", cwd=folder)
        if not folder.is_dir():
            return
        path = folder / f"s{self.rng.randint(0, 3)}"
        path.write_bytes(self._content())
        self.git("add", "-f", path.name, cwd=folder)
        end = self.rng.random()
        if end < 0.4:
            path.unlink()
        elif end < 0.8:
            path.write_bytes(self._content())
        elif end < 0.9:
            self.git("stash", "-q", cwd=folder)

    def pack(self) -> None:
        self.git("gc", "-q")

    def kill(self) -> None:
        """End git, and what it started, in the midst of something."""
        for number in range(30):
            (self.tree / f"many{number}").write_bytes(self._content())
        command = self.rng.choice([["add", "-A"], ["stash", "-u"], ["commit", "-qam", "x"], ["gc"]])
        self.said.append(f"git {' '.join(command)} (killed)")
        with subprocess.Popen(
            ("git", *command),
            cwd=self.tree,
            env=self._env,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        ) as one:
            time.sleep(self.rng.random() * 0.01)
            os.killpg(one.pid, signal.SIGKILL)

    def damage(self) -> None:
        """Break the repository in one of the ways that were seen."""
        self.is_damaged = True
        ways: dict[str, Callable[[Path], object]] = {
            "bare": lambda _: self.git("config", "core.bare", "true"),
            "config": lambda git: (git / "config").write_bytes(b"[core\n\0"),
            "head": lambda git: (git / "HEAD").write_bytes(self.rng.randbytes(30)),
            "no head": lambda git: (git / "HEAD").unlink(),
            "index": lambda git: (git / "index").write_bytes(self.rng.randbytes(40)),
            "gone": shutil.rmtree,
            "again": lambda git: (shutil.rmtree(git), self.git("init", "-q")),
            "locks": lambda git: [(git / f"{name}.lock").touch() for name in ("index", "HEAD")],
            "objects": lambda git: shutil.rmtree(git / "objects"),
            "object": self._spoil,
            "refs": lambda git: (git / "refs/heads/bad").write_bytes(b"not an id\n"),
            "worktree": lambda _: self.git("config", "core.worktree", "/"),
        }
        name = self.rng.choice(sorted(ways))
        self.said.append(f"# damage: {name}")
        try:
            ways[name](self.tree / ".git")
        except OSError as error:
            self.said.append(f"# {error}")

    def _spoil(self, git: Path) -> None:
        loose = [path for path in (git / "objects").glob("??/*") if path.is_file()]
        if loose:
            path = self.rng.choice(sorted(loose))
            path.chmod(0o644)
            path.write_bytes(path.read_bytes()[: self.rng.randint(0, 20)])
