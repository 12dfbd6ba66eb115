"""The message of the one commit: the agent's summary, escaped, then the orchestrator's trailers."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence

from orchestrator.models import GateProfile

SUBJECT_CHARACTERS = 72
BODY_CHARACTERS = 8000
#: Lines that tools interpret: trailers, the patch and scissors marks of git, comments.
_MEANINGFUL = re.compile(r"---|#|[\w-]+\s*:|\(cherry picked from ", re.IGNORECASE)


def commit_message(
    summary: str,
    *,
    agent_id: str,
    task_id: str,
    profile: GateProfile,
    red_before: Sequence[str] = (),
    made_by: str = "",
    fell_back: Sequence[str] = (),
) -> str:
    """Return the subject (at most 72 characters), the body and the trailers of an agent's commit.

    The summary is untrusted. Control characters are removed. A line that tools could read as a
    trailer, or that could hide the trailers, is indented. The orchestrator's trailers are the last
    paragraph, which is the one that git reads. `red_before` are the gates that also
    fail on the base. `made_by` is the backend and the model, and `fell_back` the changes of them.
    """
    lines = [_printable(line) for line in summary.splitlines()]
    words = "\n".join(lines).strip("\n").split("\n")
    first = " ".join(words[0].lstrip("-# ").split()) or f"Work of agent {_printable(agent_id)}"
    subject = textwrap.shorten(first, SUBJECT_CHARACTERS, placeholder="…")
    if subject == "…":
        subject = first[: SUBJECT_CHARACTERS - 1] + "…"
    body = words[1:] if subject == first else words
    text = "\n".join(f"  {line}" if _MEANINGFUL.match(line) else line for line in body)
    trailers = (
        f"Agent-Id: {_printable(agent_id)}\n"
        f"Task-Id: {_printable(task_id)}\n"
        f"Gate-Profile: {profile.value}"
    )
    if made_by:
        trailers += f"\nAgent-Model: {_printable(made_by)}"
    trailers += "".join(f"\nAgent-Fallback: {_printable(one)}" for one in fell_back)
    if red_before:
        trailers += f"\nGates-Red-Before: {', '.join(red_before)}"
    parts = (subject, text[:BODY_CHARACTERS].strip("\n"), trailers)
    return "\n\n".join(part for part in parts if part) + "\n"


def _printable(line: str) -> str:
    return "".join(sign if sign.isprintable() else " " for sign in line).rstrip()
