"""The open requests of agents to their models: admitted within the limits, and closed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from math import ceil
from typing import Literal

from orchestrator.models import AgentState
from orchestrator.settings.prices import Price
from orchestrator.store import keys
from orchestrator.store.operations import Operation, call
from orchestrator.store.transition import holder_of


@dataclass(frozen=True)
class TokenNeed:
    """The most tokens of a request, as far as they are known before its response."""

    prompt_tokens: int
    #: Of one answer.
    output_tokens: int
    #: The number of answers to one prompt.
    answers: int
    #: With less output of one answer than this, it waits as long as other requests are open.
    worth_tokens: int
    #: `PROVIDER/MODEL`, by which it has a price.
    model: str = ""


@dataclass(frozen=True)
class Admission:
    """What the budget says to a request."""

    answer: Literal["admitted", "wait", "refused", "unpriced", "ended"]
    #: The output of one answer that is reserved for it.
    output_tokens: int = 0
    reason: str = ""


def admit_request(
    agent: AgentState,
    session: str,
    request: str,
    need: TokenNeed,
    *,
    now: datetime,
    price: Price | None = None,
) -> Operation[Admission]:
    """Reserve the tokens and dollars of a request; a repeated call replaces its reservation.

    A session is one proxy of the agent: requests of its earlier sessions are closed.

    Raises:
        ArgumentRefused: a number is out of range.
        RecordMalformed: the agent's record is malformed.
    """
    return call(
        "admit_request",
        {"agent": keys.agent(agent.agent_id), "budget": keys.budget(now)},
        (
            *(agent.agent_id, agent.attempt, holder_of(agent), session, request),
            *(need.prompt_tokens, need.output_tokens, need.answers, need.worth_tokens),
            *(_nanodollars(need, price) if price else ("", "")),
        ),
        _admission,
    )


def _nanodollars(need: TokenNeed, price: Price) -> tuple[int, int]:
    """Return the most that the prompt can cost, and the price of a token of output."""
    # A dollar per million tokens is a thousand nanodollars per token.
    prompt = ceil(round(need.prompt_tokens * price.most_of_prompt * 1000, 3))
    return prompt, ceil(round(price.output * 1000, 3))


def close_requests(
    agent_id: str, session: str, requests: Sequence[str], *, now: datetime
) -> Operation[bool]:
    """Return what these requests did not use; call it after their usage was charged."""
    listed = json.dumps(list(requests))
    return call("close_requests", {"budget": keys.budget(now)}, (agent_id, session, listed), bool)


def _admission(reply: tuple[bytes, int | bytes]) -> Admission:
    kind, fact = reply
    match kind:
        case b"admitted":
            return Admission("admitted", output_tokens=int(fact))
        case b"wait":
            return Admission("wait", reason=_text(fact))
        case b"refused":
            return Admission("refused", reason=_text(fact))
        case b"unpriced":
            reason = "Dollars are limited, and the model of the request has no price."
            return Admission("unpriced", reason=reason)
    return Admission("ended", reason="The attempt has ended.")


def _text(fact: int | bytes) -> str:
    return fact.decode() if isinstance(fact, bytes) else str(fact)
