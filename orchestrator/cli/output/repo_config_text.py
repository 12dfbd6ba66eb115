"""The text of a proposed configuration of a repository, with a comment for each decision."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence

from orchestrator.cli.local.environment_proposal import ProposedEnvironment
from orchestrator.cli.local.trial import TrialGate
from orchestrator.cli.output.render import not_judged_line
from orchestrator.cli.output.text import one_line
from orchestrator.interfaces.gate import PlannedGate
from orchestrator.models import GateProfile, NotJudged

_WIDTH = 100
_MOST_CHARACTERS = 400
_HEAD = """\
# Configuration for Mosaic Orchestrator, proposed by `orch init` at commit {commit}.
# It is read from the base commit only: commit this file to the branch that agents start from.
# `orch gates plan` shows what comes of it, `orch config schema` prints its JSON schema.

"""
_CUSTOM = """\
# "custom" means the gates of [gates] below. The profile {asked} needs more: see the comments.
"""
_RED = """\
# Red on this commit too: {gates}. "compare" approves a change that adds no failure to them.
red_base = "compare"

"""
_HOOKS = """\
# Commands that prepare the workspace of an agent, such as an installation of dependencies:
# [hooks]
# after_create = "npm ci"

# The branch and the author of delivered changes:
# [delivery]
# branch_prefix = "agent/"
# author = "Name <address>"
"""


def proposed_profile(asked: GateProfile, gates: Sequence[TrialGate]) -> GateProfile:
    """Return the profile to propose: the asked one if nothing of it is known to be unable to pass.

    Otherwise `custom` with the gates that pass, if the tests are among them.
    """
    lacking = [gate for gate in gates if gate.turn]
    names = {gate.name for gate in gates if gate.has_passed and gate.commands}
    if not lacking or "tests" not in names:
        return asked
    return GateProfile.CUSTOM


def config_text(
    asked: GateProfile,
    proposed: GateProfile,
    gates: Sequence[TrialGate],
    not_judged: Sequence[NotJudged],
    commit: str,
    lack: str = "",
    environment: ProposedEnvironment | None = None,
) -> str:
    """Return the text of `orchestrator.toml`; a gate that cannot pass is a comment in it.

    So is the reason if the environment cannot be set up, and what of it this host does not offer.
    """
    table = _environment(environment) if environment else ""
    text = _HEAD.format(commit=commit[:12])
    if proposed is not asked:
        text += _CUSTOM.format(asked=asked)
    if lack:
        text += _comment(f"The environment cannot be set up, so no gate was run: {lack}")
        if not table:
            text += '# [environment]\n# setup = "a command that installs the dependencies"\n\n'
    text += f'profile = "{proposed}"\n\n{table}[gates]\n'
    if red := [gate.name for gate in gates if gate.is_red]:
        text += _RED.format(gates=", ".join(red))
    text += "\n".join("".join(_gate_lines(gate)) for gate in gates)
    if not_judged:
        text += "\n# Found, and checked by no gate:\n"
        text += "".join(_comment(f"- {not_judged_line(entry)}") for entry in not_judged)
    return f"{text}\n{_HOOKS}"


def _environment(proposed: ProposedEnvironment) -> str:
    """Return the table [environment]; empty if nothing is proposed and nothing left out."""
    keys, withheld = proposed.keys, proposed.withheld
    if not keys and not proposed.notes:
        return ""
    text = _comment(f"The environment, from {proposed.source}:")
    text += "".join(_comment(f"- {note}") for note in proposed.notes)
    is_active = bool(keys.keys() - withheld.keys())
    if keys:
        text += "[environment]\n" if is_active else "# [environment]\n"
    for key, value in keys.items():
        if key in withheld:
            reason = one_line(withheld[key])[:_MOST_CHARACTERS]
            text += _comment(f"{key} is a comment, because it failed on this host: {reason}")
        text += f"{'# ' if key in withheld else ''}{key} = {_toml(value)}\n"
    return f"{text}\n"


def _toml(value: object) -> str:
    """Return a text, a list or a table of them on one line of TOML."""
    if isinstance(value, Mapping):
        entries = ", ".join(f"{_quoted(name)} = {_toml(one)}" for name, one in value.items())
        return f"{{ {entries} }}" if entries else "{}"
    if isinstance(value, list):
        return f"[{', '.join(map(_toml, value))}]"
    return _quoted(str(value))


def _gate_lines(gate: TrialGate) -> Iterator[str]:
    sources = ", ".join(dict.fromkeys(one.source for one in gate.commands if one.source))
    found = f" Found in {sources}." if sources else ""
    if gate.result is None:
        why = "not run" if gate.commands else "a review by another agent, which needs no command"
        yield _comment(f"{gate.name}: {why}.{found}")
    elif gate.is_red:
        detail = one_line(gate.result.detail)[:_MOST_CHARACTERS].rstrip(".")
        yield _comment(f"{gate.name}: {detail}.{found}")
    elif gate.has_passed:
        yield _comment(f"{gate.name}: passed in {gate.result.duration_ms / 1000:.1f} s.{found}")
    else:
        detail = one_line(gate.result.detail)[:_MOST_CHARACTERS].rstrip(".")
        turn = gate.advice.capitalize()
        yield _comment(f"{gate.name}: {gate.result.status}. {turn}: {detail}.{found}")
    setting = f"{gate.name} = {_value(gate.commands)}\n" if gate.commands else ""
    if gate.turn:
        setting = "".join(f"# {line}\n" for line in setting.splitlines())
    yield setting


def _value(commands: Sequence[PlannedGate]) -> str:
    entries = [_entry(command) for command in commands]
    if len(entries) == 1:
        return entries[0]
    return "[\n" + "".join(f"  {entry},\n" for entry in entries) + "]"


def _entry(gate: PlannedGate) -> str:
    keys = [f"command = {_quoted(gate.command or '')}"]
    if gate.folder:
        keys.append(f"folder = {_quoted(gate.folder)}")
    if gate.report:
        keys.append(f"report = {_quoted(gate.report)}")
        keys.append(f"minimum = {gate.minimum or 0:g}")
    return f"{{ {', '.join(keys)} }}" if len(keys) > 1 else _quoted(gate.command or "")


def _quoted(text: str) -> str:
    """Return a basic string of TOML."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _comment(text: str) -> str:
    """Return text as lines of a comment; text of a repository cannot end the comment."""
    lines: list[str] = []
    for word in one_line(text).split():
        if lines and len(lines[-1]) + len(word) < _WIDTH:
            lines[-1] += f" {word}"
        else:
            lines.append(f"# {word}")
    return "".join(f"{line}\n" for line in lines)
