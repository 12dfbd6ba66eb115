"""The types of what people type: a value that is never empty, a repository, an instant."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import click

T = TypeVar("T")

_UNSET = "is empty. If it comes from a variable, the variable is not set"
_SCP_LIKE = re.compile(r"[^/]+:")
_INSTANT = re.compile(r"\d{4}-\d\d-\d\d")


def meant_of(given: str, known: Iterable[str]) -> str:
    """Return ` Did you mean …?` with the values that a mistyped one may mean, or nothing."""
    from difflib import get_close_matches  # noqa: PLC0415 - only for an error

    names = {name.lower(): name for name in known}
    found = [names[name] for name in get_close_matches(given.lower(), names)]
    return f" Did you mean {', or '.join(map(repr, found))}?" if found else ""


class ChoiceType(click.Choice[T]):
    """One of some values; the refusal of another one names what it may mean."""

    def __init__(self, choices: Iterable[T]) -> None:
        super().__init__([*choices], case_sensitive=False)

    def get_invalid_choice_message(self, value: Any, ctx: click.Context | None) -> str:
        """Return the error of a value that is none of the choices."""
        message = super().get_invalid_choice_message(value, ctx)
        return f"{message.removesuffix('.')}.{meant_of(str(value), map(str, self.choices))}"


class GivenType(click.ParamType[str]):
    """Any text but an empty one: an unset variable must not mean "all"."""

    name = "text"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Refuse an empty text."""
        text = str(value).strip()
        if not text:
            self.fail(_UNSET, param, ctx)
        return text


class RepositoryType(GivenType):
    """An address that git fetches from, or a folder; a relative folder must exist."""

    name = "repository"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return an address as it is, and an existing folder by its absolute path."""
        text = super().convert(value, param, ctx)
        folder = Path(text).expanduser()
        if folder.is_dir():
            return str(folder.resolve())
        if "://" in text or text.startswith("/") or _SCP_LIKE.match(text):
            return text
        from orchestrator.models.identifiers import meant_address  # noqa: PLC0415 - pydantic

        if meant := meant_address(text):
            self.fail(f"{text} has no scheme. Did you mean {meant}?", param, ctx)
        return self.fail(
            f"there is no folder {text} below {Path.cwd()}. "
            "Give an https:// or ssh:// address, user@host:path, or a path that exists",
            param,
            ctx,
        )


class SinceType(click.ParamType[datetime]):
    """A duration before now, or an instant in ISO 8601; without an offset in local time."""

    name = "since"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> datetime:
        """Return the instant."""
        from orchestrator.settings import parse_duration  # noqa: PLC0415 - pydantic
        from orchestrator.wiring import clock  # noqa: PLC0415 - as above

        if isinstance(value, datetime):
            return value
        try:
            if _INSTANT.match(value):
                return datetime.fromisoformat(value).astimezone()
            return clock() - timedelta(seconds=parse_duration(value))
        except (ValueError, OverflowError) as error:
            return self.fail(f"{error}, such as 30m, 2h or 2026-01-31T08:00", param, ctx)


class FallbackType(click.ParamType[dict[str, str]]):
    """A fallback: `AGENT`, `AGENT:MODEL`, or `:MODEL` for another model of the same backend."""

    name = "fallback"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> dict[str, str]:
        """Return the entry of a request; a model may contain colons."""
        if isinstance(value, dict):
            return value
        agent, colon, model = value.strip().partition(":")
        named = {"agent": agent, "model": model}
        if (colon and not model) or not any(named.values()):
            self.fail(f"{value!r} must be AGENT, AGENT:MODEL or :MODEL", param, ctx)
        return {name: text for name, text in named.items() if text}


FALLBACK = FallbackType()
GIVEN = GivenType()
REPOSITORY = RepositoryType()
SINCE = SinceType()
