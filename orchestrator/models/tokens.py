"""Token counts of the Messages API, and the limits of plausible numbers from an agent."""

from __future__ import annotations

from math import isfinite

from pydantic import BaseModel, ConfigDict, Field

from orchestrator.models.usage import Usage

#: All tokens of one message. The largest context window has 1 to 2 million tokens, and a tool
#: that the provider runs may read it more than once within a message.
MOST_TOKENS_OF_A_MESSAGE = 4_000_000
#: All tokens of one session; no budget of an agent comes near.
MOST_TOKENS_OF_A_SESSION = 10**9
#: Dollars of one session; at list prices the tokens of an agent's budget cost less than 200.
MOST_COST_USD = 10_000.0
_SHOWN_CHARACTERS = 40
_COUNTS = (
    "input_tokens",
    "output_tokens",
    "cache_read_input_tokens",
    "cache_creation_input_tokens",
)


def number_in(given: object, *, most: float) -> float | None:
    """Return a number from 0 to `most`; None for NaN, infinity, a bool and any other value."""
    # A bool is an int in Python, but it is not a count.
    if isinstance(given, bool) or not isinstance(given, int | float):
        return None
    return given if isfinite(given) and 0 <= given <= most else None


def whole_in(given: object, *, most: int) -> int | None:
    """Return a whole number from 0 to `most`, also if it is written as 5.0; else None."""
    number = number_in(given, most=most)
    return int(number) if number is not None and number == int(number) else None


def shown(given: object) -> str:
    """Return a value as a warning shows it: on one line, and cut."""
    text = repr(given) if isinstance(given, str | int | float | None) else type(given).__name__
    if len(text) > _SHOWN_CHARACTERS:
        text = f"{text[:_SHOWN_CHARACTERS]}…"
    return text


def implausible(usage: Usage, most: int = MOST_TOKENS_OF_A_MESSAGE) -> str:
    """Return why these tokens cannot belong to one message; empty if they can."""
    counts = (
        usage.input_tokens,
        usage.output_tokens,
        usage.cache_read_tokens,
        usage.cache_write_tokens,
    )
    if min(counts) < 0:
        return f"{shown(min(counts))} tokens are less than none"
    if sum(counts) > most:
        limit = f"{most:,}"
        return f"{shown(sum(counts))} tokens are more than one message can have ({limit})"
    return ""


class ApiTokens(BaseModel):
    """The `usage` of one message; unknown fields are ignored."""

    model_config = ConfigDict(frozen=True)

    input_tokens: int = Field(default=0, ge=0)
    output_tokens: int = Field(default=0, ge=0)
    cache_read_input_tokens: int = Field(default=0, ge=0)
    cache_creation_input_tokens: int = Field(default=0, ge=0)
    #: Invalid counts, each as `name: value`.
    refused: tuple[str, ...] = ()

    @classmethod
    def read(cls, given: object) -> ApiTokens:
        """Read each count; an invalid count is 0 and is named in `refused`.

        Null means absent. A count above the maximum of one message is invalid.
        """
        if not isinstance(given, dict):
            return cls() if given is None else cls(refused=(f"usage: {shown(given)}",))
        counts: dict[str, int] = {}
        refused: list[str] = []
        for name in _COUNTS:
            value = given.get(name)
            count = whole_in(value, most=MOST_TOKENS_OF_A_MESSAGE)
            if count is not None:
                counts[name] = count
            elif value is not None:
                refused.append(f"{name}: {shown(value)}")
        return cls(**counts, refused=tuple(refused))

    @property
    def usage(self) -> Usage:
        """The same counts as a `Usage`; the caller computes the total."""
        return Usage(
            input_tokens=self.input_tokens,
            output_tokens=self.output_tokens,
            cache_read_tokens=self.cache_read_input_tokens,
            cache_write_tokens=self.cache_creation_input_tokens,
        )
