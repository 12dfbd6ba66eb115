"""The text of log lines: secrets are masked, and long outputs of tools lose their middle."""

from __future__ import annotations

from collections.abc import Iterable

#: The parts of a long output that remain; most errors and summaries are at the end.
BEGIN_CHARACTERS, END_CHARACTERS = 1000, 3000


def masked(text: str, secrets: Iterable[str]) -> str:
    """Return a text without these secrets."""
    for secret in secrets:
        text = text.replace(secret, "[masked]")
    return text


def shortened(text: str) -> str:
    """Return a text without its middle, if it is too long."""
    left_out = len(text) - BEGIN_CHARACTERS - END_CHARACTERS
    if left_out <= 0:
        return text
    return f"{text[:BEGIN_CHARACTERS]}\n[… {left_out} characters …]\n{text[-END_CHARACTERS:]}"
