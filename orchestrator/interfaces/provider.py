"""The Protocol of a model provider, and the values that its methods exchange."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Protocol, runtime_checkable

from pydantic import SecretStr

from orchestrator.models import ApiTokens


class Refused(Exception):
    """A request that is not forwarded, and its status."""

    def __init__(self, reason: str, *, status: int = HTTPStatus.FORBIDDEN) -> None:
        super().__init__(reason)
        self.reason = reason
        self.status = status


@dataclass(frozen=True)
class Endpoint:
    """The base address of a provider, and the key that no agent sees."""

    url: str
    #: None for a provider without authentication, such as a server on the operator's own network.
    key: SecretStr | None


class UsageReader(Protocol):
    """Finds the tokens in one response of a provider."""

    #: An event of a stream without these bytes has no usage, and is not parsed.
    marker: bytes

    def read(self, part: Mapping[str, object]) -> Iterator[tuple[str, ApiTokens]]:
        """Yield message id and tokens of an event of a stream, or of a whole document.

        Reports with the same id replace each other. An empty id stands for this response.
        """
        ...


class Provider(Protocol):
    """One API of models; its module exports `build(settings) -> Provider | None`.

    The result is None if the settings have no key for it.
    """

    endpoint: Endpoint
    #: The path below which the egress proxy serves this provider; `/` and no other path may be the
    #: prefix of another provider's.
    prefix: str
    #: The headers that carry a key, in lower case, each with the text before the key.
    key_headers: Mapping[bytes, bytes]

    def environment(self, address: str, key: str) -> Mapping[str, str]:
        """Return the variables by which programs find this provider at an address."""
        ...

    def allows(self, line: bytes) -> bool:
        """Return whether a request may be forwarded: its method, a blank, path and query.

        The path is without the prefix.
        """
        ...

    def checked(self, path: bytes, body: bytes, *, may_fetch: bool) -> bytes:
        """Return the body of a POST as it is forwarded.

        Raises:
            Refused: tokens would be used without a count, or, unless `may_fetch`, the provider
                would connect elsewhere.
        """
        ...

    def usage_reader(self, path: bytes) -> UsageReader | None:
        """Return a reader for one response; None if the path generates nothing."""
        ...

    def as_error(self, reason: str) -> Mapping[str, object]:
        """Return a refusal in the form of the provider's errors."""
        ...


@dataclass(frozen=True)
class OutputAsked:
    """The output that a request allows."""

    #: The most tokens of one answer; None if the request does not say so.
    tokens: int | None
    #: The number of answers to its prompt.
    answers: int = 1


@runtime_checkable
class LimitsOutput(Protocol):
    """A provider whose requests can limit the output; without it, only the prompt is limited."""

    def output_asked(self, document: Mapping[str, Any]) -> OutputAsked:
        """Return the output that the body of a request allows.

        Raises:
            Refused: the provider could read the limit in two ways.
        """
        ...

    def with_output(self, document: Mapping[str, Any], most: int) -> dict[str, Any]:
        """Return the body with this limit on the tokens of one answer."""
        ...
