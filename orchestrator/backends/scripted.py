"""A deterministic agent that plays a YAML script: the default without a key, and the tests' double.

The script is the file that the option SCRIPT names; else the first work item, if it begins with
`steps:` or `rounds:`; else `scripts/default.yaml`. `_script.py` says what a script may hold. The
session id carries the count of rounds. A script that cannot be read is told on standard error, with
exit code 2.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter, ValidationError

from orchestrator.backends._script import Closed, ScriptInvalid, Tokens, Tool, parse
from orchestrator.errors import AgentGarbled
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
from orchestrator.models import Usage
from orchestrator.settings import Settings

_PLAYER = Path(__file__).with_name("_player.py")
_DEFAULT = Path(__file__).parent / "scripts" / "default.yaml"
_IS_SCRIPT = re.compile(r"""\s*\{?\s*["']?(steps|rounds)["']?\s*:""")
_SESSION = re.compile(r"scripted-([1-9][0-9]{0,3})")


class Options(Closed):
    """ORCHESTRATOR_BACKENDS__SCRIPTED__*."""

    script: Path | None = Field(
        default=None,
        description="A script that every agent plays, whatever its work items are.",
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
    """Reads the script, and starts a player for its steps."""

    reports_result = True
    reports_usage = False

    def __init__(self, options: Options) -> None:
        self._options = options

    def launch(self, job: AgentJob) -> Launch:
        """Return how to start the player; a faulty script is for the player to tell."""
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
        """Parse one line of the player.

        Raises:
            AgentGarbled: the player did not write it.
        """
        try:
            return (_LINES.validate_json(line).signal(),)
        except ValidationError as error:
            msg = f"A line of {len(line)} bytes is not the player's."
            raise AgentGarbled(msg) from error

    def check(self) -> str:
        """Return which script is played."""
        return str(self._options.script or "the first work item, or the script that is shipped")

    def _script(self, job: AgentJob) -> str:
        if self._options.script is None and _IS_SCRIPT.match(job.work_items[0]):
            return job.work_items[0]
        return (self._options.script or _DEFAULT).read_text(encoding="utf-8")


# ── what the player says ────────────────────────────────────────────────────────────────────


class _Said(Closed):
    type: Literal["message"]
    text: str

    def signal(self) -> Signal:
        return AgentMessage(self.text)


class _Used(Tool):
    type: Literal["tool"]

    def signal(self) -> Signal:
        return ToolUse(self.name, self.detail)


class _Spent(Tokens):
    type: Literal["tokens"]
    id: str

    def signal(self) -> Signal:
        usage = Usage(
            input_tokens=self.input,
            output_tokens=self.output,
            cache_read_tokens=self.cache_read,
            cache_write_tokens=self.cache_write,
        )
        return UsageReport(self.id, usage)


class _Opened(Closed):
    type: Literal["session"]
    id: str

    def signal(self) -> Signal:
        return SessionStarted(self.id)


class _Ended(Closed):
    type: Literal["result"]
    summary: str

    def signal(self) -> Signal:
        return Result(ok=True, summary=self.summary)


_LINES: TypeAdapter[_Said | _Used | _Spent | _Opened | _Ended] = TypeAdapter(
    Annotated[_Said | _Used | _Spent | _Opened | _Ended, Field(discriminator="type")]
)
