"""docs/cli.md and docs/cli/ are written from the commands: every help text, every exit code.

`python -m tests.unit.cli.test_reference` writes them.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import click
from click.testing import CliRunner

from orchestrator.cli import _COMMANDS, main
from orchestrator.cli.output.exit_codes import Exit

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs" / "cli.md"
#: Page of docs/cli/ → its title and its commands. A new command goes into one of them.
GROUPS = {
    "agents": (
        "Spawn and follow agents",
        ("spawn", "wait", "ls", "top", "status", "why", "inspect", "logs", "events", "recap"),
    ),
    "changes": (
        "Gates and changes",
        ("init", "gates", "environments", "diff", "export", "retry", "scan"),
    ),
    "stopping": ("Kill and halt", ("kill", "kill-all", "ack", "receipt", "halt", "resume")),
    "control": (
        "Queues, budget, models, API keys, dashboard and audit",
        ("queues", "budget", "models", "keys", "dashboard", "audit", "fsck"),
    ),
    "system": (
        "Start, check and configure a system",
        (
            *("up", "down", "demo", "doctor", "run", "healthy", "worker", "config", "context"),
            *("env", "completion"),
        ),
    ),
}


def verbs(name: str) -> list[tuple[str, ...]]:
    """Return the path of a command and of each of its subcommands."""
    with click.Context(main) as ctx:
        command = main.get_command(ctx, name)
    found: list[tuple[str, ...]] = [(name,)]
    if isinstance(command, click.Group):
        found += [(name, verb) for verb in command.list_commands(ctx)]
    return found


def help_of(path: tuple[str, ...]) -> str:
    """Return the section of one command."""
    ran = CliRunner().invoke(main, [*path, "--help"], prog_name="orch", terminal_width=100)
    assert ran.exit_code == 0, ran.output
    return f"## orch {' '.join(path)}\n\n```text\n{ran.stdout.strip()}\n```\n"


def page_of(group: str) -> str:
    """Return one page of docs/cli/."""
    title, names = GROUPS[group]
    sections = [help_of(path) for name in names for path in verbs(name)]
    words = "The help texts of these commands. [cli.md](../cli.md) describes what they share.\n"
    return "\n".join([f"# {title}\n", words, *sections])


def exit_codes() -> str:
    rows = "\n".join(f"| {code.value} | {code.meaning} |" for code in Exit)
    return f"| code | meaning |\n|---|---|\n{rows}\n"


def commands() -> str:
    parts = []
    for group, (title, names) in GROUPS.items():
        rows = "".join(f"| `orch {name}` | {_COMMANDS[name][1]} |\n" for name in names)
        parts.append(f"[{title}](cli/{group}.md):\n\n| command | effect |\n|---|---|\n{rows}")
    return "\n".join(parts)


def written() -> dict[str, str]:
    """Return every page as it has to be, by its path below docs/."""
    text = PAGE.read_text("utf-8")
    for name, content in (("exit codes", exit_codes()), ("commands", commands())):
        block = f"<!-- {name} -->\n{content}<!-- /{name} -->"
        # A function, or a backslash in a help text would be read as a group.
        text = re.sub(
            f"<!-- {name} -->.*?<!-- /{name} -->", lambda _, b=block: b, text, flags=re.DOTALL
        )
    return {"cli.md": text} | {f"cli/{group}.md": page_of(group) for group in GROUPS}


def test_the_pages_are_current():
    """By a process of its own: a command keeps the help option of whoever called it first."""
    command = [sys.executable, "-m", "tests.unit.cli.test_reference", "print"]
    ran = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    pages = [PAGE, *(ROOT / "docs" / "cli").glob("*.md")]
    found = {str(page.relative_to(ROOT / "docs")): page.read_text("utf-8") for page in pages}
    assert found == json.loads(ran.stdout), "python -m tests.unit.cli.test_reference"


def test_every_command_is_on_one_page():
    named = [name for _, names in GROUPS.values() for name in names]
    assert sorted(named) == sorted(_COMMANDS)


def test_exit_codes_are_distinct_and_all_in_the_table():
    codes = re.findall(r"^\| (\d+) \| ", PAGE.read_text("utf-8"), re.MULTILINE)
    assert [int(code) for code in codes] == [code.value for code in Exit.__members__.values()]
    assert len(set(codes)) == len(Exit.__members__)


if __name__ == "__main__":
    if sys.argv[1:] == ["print"]:
        json.dump(written(), sys.stdout)
    else:
        for name, content in written().items():
            (ROOT / "docs" / name).write_text(content, "utf-8")
