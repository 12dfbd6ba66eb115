"""Parses the bodies of requests so that they have one reading, and words the refusals."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Mapping

from orchestrator.interfaces.provider import Refused
from orchestrator.models.tokens import whole_in

#: A million tokens of code have fewer parts. So many parts take up to 150 MB during the check.
_MOST_PARTS = 2_000_000
_MOST_LIMIT = 10**9
_MOST_ANSWERS = 1000


def parsed(body: bytes) -> dict[str, object]:
    """Return the JSON object of a body.

    Raises:
        Refused: it is no JSON object, or two readers could read it differently.
    """
    if sum(map(body.count, (b"{", b"[", b","))) > _MOST_PARTS:
        msg = "the body has too many parts"
        raise Refused(msg)
    try:
        document = json.loads(body.decode(), object_pairs_hook=_with_names_once)
    except (ValueError, RecursionError) as error:
        msg = "the body is no JSON, or not without doubt"
        raise Refused(msg) from error
    if not isinstance(document, dict):
        msg = "the body is no JSON object"
        raise Refused(msg)
    return document


def objects_in(document: object, *, opaque: Collection[str]) -> Iterator[dict[str, object]]:
    """Yield every object of a document, except those below an opaque name."""
    waiting = [document]
    while waiting:
        part = waiting.pop()
        if isinstance(part, list):
            waiting += part
        elif isinstance(part, dict):
            yield part
            waiting += (inner for name, inner in part.items() if name not in opaque)


def refuse_fetches(body: bytes, find: Callable[[dict[str, object]], Iterator[str]]) -> None:
    """Check a body in which `find` finds what the provider would fetch or run for an agent.

    Raises:
        Refused: it makes the provider connect elsewhere, or it is ambiguous.
    """
    if reason := next(find(parsed(body)), None):
        raise fetch_refused(reason)


def output_limit(fields: Mapping[str, object], *names: str) -> int | None:
    """Return the largest limit of output of these names; None if none is set, or one is no limit.

    The server may read any of them.
    """
    given = [fields[name] for name in names if fields.get(name) is not None]
    limits = [whole_in(value, most=_MOST_LIMIT) for value in given]
    return max((limit for limit in limits if limit), default=None) if all(limits) else None


def answers_in(fields: Mapping[str, object], *names: str) -> int:
    """Return the number of answers that a request asks for, by any of these names.

    Raises:
        Refused: a number is none, so that the provider may read another one.
    """
    found = 1
    for name in names:
        if (value := fields.get(name)) is None:
            continue
        count = whole_in(value, most=_MOST_ANSWERS)
        if not count:
            msg = f"{name} must be a whole number from 1 to {_MOST_ANSWERS}"
            raise Refused(msg)
        found = max(found, count)
    return found


def fetch_refused(reason: str) -> Refused:
    """Return the refusal of what the provider would fetch or run for an agent."""
    msg = f"the model's provider may not {reason} (ORCHESTRATOR_EGRESS_MODEL_FETCHES)"
    return Refused(msg)


def _with_names_once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    # Of two equal keys, the provider might use the one that was not checked.
    found = dict(pairs)
    if len(found) < len(pairs):
        msg = "a name occurs twice"
        raise ValueError(msg)
    return found
