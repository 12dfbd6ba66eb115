"""The most tokens of a prompt, by the bytes of its request and by counts of earlier prompts."""

from __future__ import annotations

from array import array
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from orchestrator.egress.providers._bodies import objects_in

#: What a provider adds to a prompt, such as the texts that describe its tools to the model.
ADDED_TOKENS = 1024
#: No model has a larger context window.
MOST_TOKENS = 2_000_000
#: The tokens of an image, and of a document, sound or film, depend on the content more than on the
#: bytes: at least and at most so many are assumed.
_IMAGE, _FILE = (5_000, 50_000), (50_000, 500_000)
#: Arguments, results and schemas of tools, which the model reads as text, whatever they look like.
_TEXTS = frozenset(
    {
        *("input", "arguments", "parameters", "schema", "input_schema", "args", "response"),
        *("parametersJsonSchema", "parameters_json_schema", "responseSchema", "response_schema"),
        *("responseJsonSchema", "response_json_schema"),
    }
)
_BLOCK_BYTES = 512
#: A larger body is not remembered.
_MOST_BYTES = 4 * 2**20
_MOST_REMEMBERED = 8


@dataclass(frozen=True)
class Fingerprint:
    """The blocks of a body from its begin and from its end, each as a hash."""

    key: str
    size: int
    from_begin: array[int]
    from_end: array[int]

    @classmethod
    def of(cls, key: str, body: bytes) -> Fingerprint:
        """Hash a body; of one that is too large, nothing is known but its size."""
        size = len(body)
        starts = range(0, size - _BLOCK_BYTES + 1, _BLOCK_BYTES) if size <= _MOST_BYTES else ()
        begin = array("q", (hash(body[at : at + _BLOCK_BYTES]) for at in starts))
        end = array("q", (hash(body[size - at - _BLOCK_BYTES : size - at]) for at in starts))
        return cls(key, size, begin, end)

    def new_bytes(self, earlier: Fingerprint) -> int:
        """Return how many bytes are not the begin or the end of an earlier body."""
        begin = _common(self.from_begin, earlier.from_begin)
        end = min(_common(self.from_end, earlier.from_end), min(self.size, earlier.size) - begin)
        return self.size - begin - end


def bound_by_size(size: int, document: Mapping[str, object]) -> int:
    """Return the most tokens of a request of so many bytes: a token of text has at least one."""
    for length, (least, most) in _attachments(document):
        size += max(least, min(most, length)) - length
    return size


class PromptBounds:
    """Knows the prompts of one attempt that its providers have counted."""

    def __init__(self) -> None:
        self._counted: OrderedDict[int, tuple[Fingerprint, int]] = OrderedDict()
        self._number = 0

    def bound(self, fingerprint: Fingerprint, by_size: int) -> int:
        """Return the most tokens that a prompt has, of which its size allows `by_size`.

        Where a request repeats the begin and the end of an earlier one, the provider's count of
        the earlier one holds for these.
        """
        found = by_size
        for earlier, tokens in self._counted.values():
            if earlier.key == fingerprint.key:
                found = min(found, tokens + fingerprint.new_bytes(earlier))
        return min(found + ADDED_TOKENS, MOST_TOKENS)

    def record(self, fingerprint: Fingerprint, tokens: int) -> None:
        """Remember the provider's count of a prompt."""
        if tokens > 0 and fingerprint.from_begin:
            self._number += 1
            self._counted[self._number] = fingerprint, tokens
            if len(self._counted) > _MOST_REMEMBERED:
                self._counted.popitem(last=False)


def _attachments(document: Mapping[str, object]) -> Iterator[tuple[int, tuple[int, int]]]:
    """Yield the length of each encoded attachment, and the limits of its tokens."""
    for part in objects_in(document, opaque=_TEXTS):
        kind = part.get("media_type") or part.get("mimeType") or part.get("mime_type")
        for name in ("data", "url", "image_url", "file_data"):
            value = part.get(name)
            if not isinstance(value, str):
                continue
            if name == "data" and isinstance(kind, str):
                yield len(value), _IMAGE if kind.startswith("image/") else _FILE
            elif value.startswith("data:"):
                yield len(value), _IMAGE if value.startswith("data:image/") else _FILE


def _common(one: array[int], other: array[int]) -> int:
    count = 0
    for mine, theirs in zip(one, other, strict=False):
        if mine != theirs:
            break
        count += 1
    return count * _BLOCK_BYTES
