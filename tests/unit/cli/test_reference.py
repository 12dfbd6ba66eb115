"""docs/cli.md is what the commands say of themselves: every verb's help, every exit code.

`python -m tests.unit.cli.test_reference` writes both parts anew.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import click
from click.testing import CliRunner

from orchestrator.cli import main
from orchestrator.cli.output.exit_codes import Exit

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs" / "cli.md"


def verbs(group: click.Group, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """Every command that can be called, those of groups too."""
    found: list[tuple[str, ...]] = []
    with click.Context(group) as ctx:
        for name in group.list_commands(ctx):
            command = group.get_command(ctx, name)
            assert command is not None
            found.append((*path, name))
            if isinstance(command, click.Group):
                found += verbs(command, (*path, name))
    return found


def reference() -> str:
    parts = []
    for path in verbs(main):
        ran = CliRunner().invoke(main, [*path, "--help"], prog_name="orch", terminal_width=100)
        assert ran.exit_code == 0, ran.output
        parts.append(f"### orch {' '.join(path)}\n\n```text\n{ran.stdout.strip()}\n```\n")
    return "\n".join(parts)


def table() -> str:
    rows = "\n".join(f"| {code.value} | {code.meaning} |" for code in Exit)
    return f"| code | meaning |\n|---|---|\n{rows}\n"


def written() -> str:
    text = PAGE.read_text("utf-8")
    for name, content in (("exit codes", table()), ("help", reference())):
        block = f"<!-- {name} -->\n{content}<!-- /{name} -->"
        # A function, or a backslash in a help text would be read as a group.
        text = re.sub(
            f"<!-- {name} -->.*?<!-- /{name} -->", lambda _, b=block: b, text, flags=re.DOTALL
        )
    return text


def test_the_page_is_current():
    """By a process of its own: a command keeps the help option of whoever called it first."""
    command = [sys.executable, "-m", "tests.unit.cli.test_reference", "print"]
    ran = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    assert PAGE.read_text("utf-8") == ran.stdout, "python -m tests.unit.cli.test_reference"


def test_exit_codes_are_distinct_and_all_in_the_table():
    codes = re.findall(r"^\| (\d+) \| ", PAGE.read_text("utf-8"), re.MULTILINE)
    assert [int(code) for code in codes] == [code.value for code in Exit.__members__.values()]
    assert len(set(codes)) == len(Exit.__members__)


if __name__ == "__main__":
    if sys.argv[1:] == ["print"]:
        sys.stdout.write(written())
    else:
        PAGE.write_text(written(), "utf-8")
