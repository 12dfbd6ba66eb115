"""The prompt of an agent that reads text: one template file for each agentType."""

from __future__ import annotations

import textwrap
from pathlib import Path
from string import Template

from orchestrator.interfaces.agent import AgentJob

_FOLDER = Path(__file__).with_name("prompts")


def render(job: AgentJob) -> str:
    """Fill in the template of the job's type; the values are data and never templates.

    A job that asks for an answer contains its whole prompt.
    """
    if job.answer_schema:
        return "\n\n".join(job.work_items)
    return _template(job.agent_type).substitute(
        work_items="\n".join(
            f"{number}. {textwrap.indent(item, '   ').lstrip()}"
            for number, item in enumerate(job.work_items, start=1)
        ),
        skills=_section("skills", skills=", ".join(job.skills)),
        feedback=_section("feedback", feedback=job.feedback or ""),
        rules=_template("rules").template,
    )


def _section(name: str, **value: str) -> str:
    return _template(name).substitute(value) if any(value.values()) else ""


def _template(name: str) -> Template:
    return Template((_FOLDER / f"{name}.md").read_text(encoding="utf-8"))
