"""The admission of model requests: each reserves its tokens, and its output is limited to them."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import Protocol

from orchestrator.egress.prompt_bound import Fingerprint, PromptBounds, bound_by_size
from orchestrator.egress.providers._bodies import parsed
from orchestrator.errors import OrchestratorError
from orchestrator.interfaces.provider import LimitsOutput, OutputAsked, Provider, Refused
from orchestrator.log import get_logger
from orchestrator.store.model_requests import Admission, TokenNeed

#: The most output of any model, for requests that name no limit or a larger one.
MOST_OUTPUT = 131_072
#: The limit that a request without one gets near the end of a budget: every model accepts it.
_USUAL_OUTPUT = 8_192
#: Shorter answers are of little use: a request waits for more while others are open.
_WORTH_OUTPUT, _WORTH_WAITING_S = 4_096, 60.0
#: As long as a response may take.
_MOST_WAITING_S = 600.0
_POLL_S = 0.2
_MODEL_IN_PATH = re.compile(rb"/models/([^/:?]{1,200}):")
_MODEL_CHARACTERS = 200

log = get_logger("egress")


class RequestLimits(Protocol):
    """Decides about the requests of one attempt; called in any thread."""

    def admit(self, request: str, need: TokenNeed) -> Admission:
        """Reserve the tokens of a request; a repeated call replaces its reservation."""
        ...

    def finish(self, request: str) -> None:
        """Record that the usage of a request is complete; must not block."""
        ...


@dataclass(frozen=True)
class Ticket:
    """One admitted request."""

    request: str
    #: `PROVIDER/MODEL`.
    model: str
    fingerprint: Fingerprint
    admissions: Admissions

    def finish(self, prompt_tokens: int) -> None:
        """Report the end of its response, and the provider's count of its prompt."""
        self.admissions.finish(self, prompt_tokens)


class Admissions:
    """Admits the requests of one attempt, one at a time."""

    def __init__(self, limits: RequestLimits) -> None:
        self._limits = limits
        self._prompts = PromptBounds()
        self._number = 0

    async def admit(
        self, name: str, provider: Provider, path: bytes, body: bytes, is_gone: Callable[[], bool]
    ) -> tuple[bytes, Ticket]:
        """Return the body as it may be sent; waits while other requests hold what it needs.

        Raises:
            Refused: the limits leave nothing for it (403), or the budget cannot be read (503).
            ConnectionResetError: its client left while it waited.
        """
        # The document is not kept: it may take more memory than the body, for as long as it waits.
        asked, model, fingerprint, by_size = await asyncio.to_thread(_read, provider, path, body)
        model = f"{name}/{model}"
        self._number += 1
        request = str(self._number)
        output = min(asked.tokens or MOST_OUTPUT, MOST_OUTPUT)
        prompt = self._prompts.bound(fingerprint, by_size)
        need = TokenNeed(prompt, output, asked.answers, min(output, _WORTH_OUTPUT), model)
        admitted = await self._reserved(request, need, is_gone)
        granted = admitted.output_tokens
        ticket = Ticket(request, model, fingerprint, self)
        is_limited = granted < (asked.tokens or MOST_OUTPUT)
        if not is_limited or not isinstance(provider, LimitsOutput):
            return body, ticket
        try:
            if asked.tokens is None and granted > _USUAL_OUTPUT:
                # Charges of other requests may have left less than before.
                usual = replace(need, output_tokens=_USUAL_OUTPUT)
                granted = (await self._reserved(request, usual, is_gone)).output_tokens
            limited = await asyncio.to_thread(_limited, provider, body, granted)
        except BaseException:
            ticket.finish(0)
            raise
        return limited, ticket

    def finish(self, ticket: Ticket, prompt_tokens: int) -> None:
        """Remember the count of a prompt, and report the end of its request."""
        self._prompts.record(ticket.fingerprint, prompt_tokens)
        self._limits.finish(ticket.request)

    async def _reserved(
        self, request: str, need: TokenNeed, is_gone: Callable[[], bool]
    ) -> Admission:
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        while True:
            try:
                admission = await asyncio.to_thread(self._limits.admit, request, need)
            except OrchestratorError as error:
                log.warning("request not admitted", reason=str(error))
                msg = "the budget cannot be read; try again"
                raise Refused(msg, status=HTTPStatus.SERVICE_UNAVAILABLE) from error
            if admission.answer == "admitted":
                return admission
            if admission.answer != "wait":
                raise Refused(admission.reason)
            waited_s = loop.time() - began_s
            if is_gone():
                msg = "the client left before its request was admitted"
                raise ConnectionResetError(msg)
            if waited_s > _MOST_WAITING_S:
                raise Refused(admission.reason, status=HTTPStatus.SERVICE_UNAVAILABLE)
            if waited_s > _WORTH_WAITING_S:
                need = replace(need, worth_tokens=1)
            await asyncio.sleep(_POLL_S)


def _read(
    provider: Provider, path: bytes, body: bytes
) -> tuple[OutputAsked, str, Fingerprint, int]:
    document = parsed(body)
    asked = OutputAsked(None)
    if isinstance(provider, LimitsOutput):
        asked = provider.output_asked(document)
    # Another model has other tokens.
    key = f"{provider.prefix} {path.decode('ascii', 'replace')} {document.get('model')!s:.200}"
    model = _model_of(path, document)
    return asked, model, Fingerprint.of(key, body), bound_by_size(len(body), document)


def _model_of(path: bytes, document: Mapping[str, object]) -> str:
    """Return the model of a request; Google's is in the path, and precedes one in the body."""
    if in_path := _MODEL_IN_PATH.search(path):
        return in_path[1].decode("ascii", "replace")
    named = document.get("model")
    return named[:_MODEL_CHARACTERS] if isinstance(named, str) else ""


def _limited(provider: LimitsOutput, body: bytes, most: int) -> bytes:
    try:
        return json.dumps(provider.with_output(parsed(body), most), allow_nan=False).encode()
    except ValueError as error:
        msg = "the body has a number that is none"
        raise Refused(msg) from error
