"""The script of a scripted agent: its YAML form, and the steps that it may contain.

A step is a mapping with one of these keys:

    say: text                      a message; the last one becomes the summary
    write, append: {path, content} a file of the worktree
    delete: path                   a file or a tree
    run: command                   in `sh`, output to the log; if it fails, the agent ends with it
    tool: {name, detail}           claims to have used a tool
    tokens: {input, output, cache_read, cache_write, id}   claims to have spent them
    sleep: seconds
    wait_for: path                 until it exists
    print: text | {text, repeat}   raw on standard output, one byte a character, no newline
    daemon: seconds                starts a daemon: own session, no descriptors, no environment
    fail: exit code                ends without a result
    limited: seconds               ends as if its provider refused requests for so long
    signal: number                 to itself
    hang: true                     for ever

Texts and paths may hold `{{agent_id}}`, `{{work_items}}` and `{{feedback}}`. With `rounds`, a list
of lists of steps, each rejection moves on by one, and the last is executed again.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from orchestrator.models import faults_of


class Closed(BaseModel):
    """A frozen record that refuses unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class _File(Closed):
    path: str
    content: str


class Tool(Closed):
    """The tool that a step reports."""

    name: str
    detail: str = ""


class Tokens(Closed):
    """The tokens that a step reports."""

    input: int = Field(default=0, ge=0)
    output: int = Field(default=0, ge=0)
    cache_read: int = Field(default=0, ge=0)
    cache_write: int = Field(default=0, ge=0)
    id: str | None = None


class _Print(Closed):
    text: Annotated[str, Field(pattern=r"^[\x00-\xff]*$")]
    repeat: int = Field(default=1, ge=0)


def _as_print(given: object) -> object:
    return {"text": given} if isinstance(given, str) else given


class _Step(Closed):
    say: str | None = None
    write: _File | None = None
    append: _File | None = None
    delete: str | None = None
    run: str | None = None
    tool: Tool | None = None
    tokens: Tokens | None = None
    sleep: Annotated[float, Field(ge=0)] | None = None
    wait_for: str | None = None
    print: Annotated[_Print | None, BeforeValidator(_as_print)] = None
    daemon: Annotated[float, Field(ge=0)] | None = None
    fail: Annotated[int, Field(ge=0, le=255)] | None = None
    limited: Annotated[float, Field(ge=0, le=10**6)] | None = None
    signal: Annotated[int, Field(ge=1, le=64)] | None = None
    hang: Literal[True] | None = None

    @model_validator(mode="after")
    def _does_one_thing(self) -> Self:
        if len(self.model_dump(exclude_none=True)) != 1:
            msg = f"a step does one of: {', '.join(type(self).model_fields)}"
            raise ValueError(msg)
        return self


class Script(Closed):
    """The steps of one agent."""

    steps: tuple[_Step, ...] | None = None
    rounds: Annotated[tuple[tuple[_Step, ...], ...], Field(min_length=1)] | None = None

    @model_validator(mode="after")
    def _has_one_form(self) -> Self:
        if (self.steps is None) == (self.rounds is None):
            msg = "a script has either steps or rounds"
            raise ValueError(msg)
        return self

    def played_in(self, number: int) -> tuple[_Step, ...]:
        """Return the steps of a round; the first round is 1."""
        rounds = self.rounds or (self.steps or (),)
        return rounds[min(number, len(rounds)) - 1]


class _Loader(yaml.SafeLoader):
    """Loads YAML without aliases, because a few lines of them could fill a worker's memory."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            msg = "aliases are not supported"
            raise yaml.YAMLError(msg)
        return super().compose_node(parent, index)


class ScriptInvalid(Exception):
    """A script that cannot be read; its text gives the reason in one line."""


def parse(text: str) -> Script:
    """Parse a script.

    Raises:
        ScriptInvalid: with every fault.
    """
    try:
        # A subclass of SafeLoader; it builds only plain values.
        return Script.model_validate(yaml.load(text, _Loader))  # noqa: S506 - see above
    except ValidationError as error:
        faults = "; ".join(f"{path}: {message}" for path, message in faults_of(error))
        raise ScriptInvalid(faults) from error
    except (ValueError, RecursionError, yaml.YAMLError) as error:
        raise ScriptInvalid(" ".join(str(error).split())) from error
