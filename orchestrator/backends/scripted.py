"""A deterministic agent that executes a YAML script: the default without a key, and for tests.

The script is the file that the option SCRIPT names; else the first work item, if it begins with
`steps:` or `rounds:`; else `scripts/default.yaml`. `_script.py` describes the contents of a script.
The session id contains the number of rounds. An unreadable script is reported on standard error,
with exit code 2.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from pydantic import Field

from orchestrator.backends._fields import Fields, as_json
from orchestrator.backends._json_lines import parts
from orchestrator.backends._script import Closed, ScriptInvalid, parse
from orchestrator.interfaces.agent import (
    AgentJob,
    AgentMessage,
    Launch,
    Result,
    SessionStarted,
    Signal,
    ToolUse,
    UsageReport,
)
from orchestrator.interfaces.signals import (
    Foreign,
    LimitReached,
)
from orchestrator.models import Usage
from orchestrator.models.text import storable
from orchestrator.models.tokens import MOST_TOKENS_OF_A_MESSAGE
from orchestrator.settings import Settings

_PLAYER = Path(__file__).with_name("_player.py")
_DEFAULT = Path(__file__).parent / "scripts" / "default.yaml"
_IS_SCRIPT = re.compile(r"""\s*\{?\s*["']?(steps|rounds)["']?\s*:""")
#: The year 2100.
_LATEST_S = 4_102_444_800
_SESSION = re.compile(r"scripted-([1-9][0-9]{0,3})")


class Options(Closed):
    """ORCHESTRATOR_BACKENDS__SCRIPTED__*."""

    script: Path | None = Field(
        default=None,
        description="A script that every agent runs, whatever its items.",
    )


def secrets(settings: Settings) -> tuple[str, ...]:
    """Return what logs, events and `orch config show` must mask of the options."""
    return settings.backend_secrets("scripted", Options)


def build(settings: Settings) -> ScriptedBackend:
    """Build the backend.

    Raises:
        SettingsInvalid: an option is wrong.
    """
    return ScriptedBackend(settings.backend_options("scripted", Options))


class ScriptedBackend:
    """Reads the script, and starts a program that executes its steps."""

    reports_result = True
    reports_usage = False

    def __init__(self, options: Options) -> None:
        self._options = options

    def launch(self, job: AgentJob) -> Launch:
        """Return how to start that program; it reports a faulty script itself."""
        resumed = _SESSION.fullmatch(job.session_id or "")
        number = (int(resumed[1]) if resumed else 1) + (job.feedback is not None)
        fill = {
            "agent_id": job.agent_id,
            "work_items": "\n\n".join(job.work_items),
            "feedback": job.feedback or "",
        }
        play: dict[str, Any] = {"session": f"scripted-{number}", "fill": fill}
        try:
            steps = parse(self._script(job)).played_in(number)
            play["steps"] = [step.model_dump(exclude_none=True) for step in steps]
        except (OSError, UnicodeDecodeError, ScriptInvalid) as error:
            play["fault"] = str(error)
        argv = (sys.executable, "-I", "-S", str(_PLAYER))
        return Launch(argv, stdin=json.dumps(play).encode(), readable=(_PLAYER,))

    def signals(self, line: bytes) -> Sequence[Signal]:
        """Read the events of a line; any other text is returned as foreign."""
        return tuple(signal for part in parts(line) for signal in _signals(part))

    def check(self) -> str:
        """Return the name of the script."""
        return str(self._options.script or "the first work item, or the script that is shipped")

    def _script(self, job: AgentJob) -> str:
        if self._options.script is None and _IS_SCRIPT.match(job.work_items[0]):
            return job.work_items[0]
        return (self._options.script or _DEFAULT).read_text(encoding="utf-8")


# ── events of the script ────────────────────────────────────────────────────────────────────


def _signals(part: dict[str, Any] | Foreign) -> Iterator[Signal]:
    if isinstance(part, Foreign):
        yield Foreign(part.kind, storable(part.text), part.is_open, part.is_damaged)
        return
    fields = Fields.of(part)
    reader = _READERS.get(part["type"])
    if reader is None:
        yield Foreign("not of the player", as_json(part))
        return
    yield reader(fields)
    yield from fields.refused


def _spent(line: Fields) -> Signal:
    counts = {
        name: line.whole(field, most=MOST_TOKENS_OF_A_MESSAGE) or 0
        for name, field in _COUNTS.items()
    }
    return UsageReport(line.id("id"), Usage(**counts))


_COUNTS = {
    "input_tokens": "input",
    "output_tokens": "output",
    "cache_read_tokens": "cache_read",
    "cache_write_tokens": "cache_write",
}
_READERS: dict[str, Callable[[Fields], Signal]] = {
    "message": lambda line: AgentMessage(line.text("text")),
    "tool": lambda line: ToolUse(line.text("name"), line.text("detail")),
    "tokens": _spent,
    "session": lambda line: SessionStarted(line.id("id")),
    "result": lambda line: Result(ok=True, summary=line.text("summary")),
    "limit": lambda line: LimitReached(line.number("resets_at", most=_LATEST_S) or 0.0),
    "refused": lambda line: Result(ok=False, summary=line.text("summary"), is_limited=True),
}
