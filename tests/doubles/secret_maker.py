"""Makes values and texts with values in them from patterns and a seed."""

from __future__ import annotations

import base64
import json
import random
import re
import string
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

_FIELD = re.compile(r"\{\{|\}\}|\{([a-zA-Z2])(\d*)\}")

_BASE62 = string.digits + string.ascii_uppercase + string.ascii_lowercase

_CLASSES = {
    "d": string.digits,
    "h": "0123456789abcdef",
    "H": "0123456789ABCDEF",
    "a": string.ascii_lowercase,
    "l": string.ascii_lowercase + string.digits,
    "U": string.ascii_uppercase + string.digits,
    "L": string.ascii_letters,
    "x": _BASE62,
    "w": _BASE62 + "-_",
    "b": _BASE62 + "+/",
    "2": string.ascii_uppercase + "234567",
}

VENDORS = ("acme", "billing", "mailer", "metrics", "deploy", "search", "crm", "partner")

_WORDS = [
    "Kestrel",
    "Marble",
    "Thunder",
    "Orchid",
    "Copper",
    "Falcon",
    "Velvet",
    "Harbor",
    "Juniper",
    "Granite",
    "Saffron",
    "Meadow",
    "Comet",
    "Walnut",
    "Ember",
    "Lagoon",
    "Pepper",
    "Quartz",
    "Badger",
    "Willow",
    "Tundra",
    "Cobalt",
    "Lantern",
    "Maple",
]

#: Less of a value than this shows nothing of it.
LEAST_BYTES = 6

_BEFORE = "import os\nfrom app import start, settings\n\n# see the handbook\n"

_AFTER = "\n\ndef main():\n    start(settings)\n"


@dataclass(frozen=True)
class Case:
    """One text, and the values planted in it; a look-alike has none."""

    kind: str
    group: str
    content: bytes
    values: tuple[str, ...] = ()

    @property
    def held_out(self) -> bool:
        """Whether no rule was written with this type in sight."""
        return zlib.crc32(f"{self.group}/{self.kind}".encode()) % 4 == 0

    def is_found(self, secrets: Iterable[bytes]) -> bool:
        """Whether one of these is a planted value, holds one, or is most of one."""
        values = [value.encode() for value in self.values]
        return any(
            value in secret or (len(secret) >= LEAST_BYTES and secret in value)
            for secret in secrets
            for value in values
        )


class Maker:
    """Makes values and fills patterns, from one seed."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def fill(self, pattern: str, **names: str) -> tuple[str, tuple[str, ...]]:
        """Return the pattern with its fields made, and what was made for each."""
        made: list[str] = []

        def one(field: re.Match[str]) -> str:
            if field[0] in ("{{", "}}"):
                return field[0][0]
            if field[1] in names and not field[2]:
                return names[field[1]]
            value = self.value(field[1], int(field[2] or 0))
            if value:
                made.append(value)
            return value

        return _FIELD.sub(one, pattern).replace("\\n", "\n"), tuple(made)

    def value(self, kind: str, size: int) -> str:
        """Make one value of this class."""
        if kind == "p":
            return self.password()
        if kind == "u":
            digits = self.value("h", 32)
            return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))
        if kind == "c":
            body = self.value("x", size)
            rest, checksum = zlib.crc32(body.encode()), ""
            while rest:
                rest, digit = divmod(rest, 62)
                checksum = _BASE62[digit] + checksum
            return body + checksum.rjust(6, "0")
        if kind == "j":
            header = _url64(json.dumps({"alg": "HS256", "typ": "JWT"}))
            payload = _url64(json.dumps({"sub": self.value("d", 10), "iat": 1893456000}))
            return f"{header}.{payload}.{self.value('w', 43)}"
        return "".join(self.random.choices(_CLASSES[kind], k=size))

    def password(self) -> str:
        """Make a password as people and generators do; fit for addresses, shells and markup."""
        pick = self.random.choice
        styles = (
            lambda: f"{pick(_WORDS)}{self.value('d', 3)}{pick('!.*_')}{pick(_WORDS)}",
            lambda: f"{pick(_WORDS).lower()}-{pick(_WORDS).lower()}-{self.value('d', 4)}",
            lambda: self.value("x", self.random.randint(10, 24)),
            lambda: f"{self.value('a', 4)}{self.value('d', 2)}{pick('!.*_')}{self.value('x', 6)}",
        )
        made = pick(styles)()
        # Nobody's word for a password: without a digit it is not one of this set.
        return made if re.search(r"\d", made) else f"{made}{self.value('d', 2)}"


def rows(table: str) -> Iterator[tuple[str, str]]:
    for row in table.strip("\n").split("\n"):
        kind, _, pattern = row.partition(" ")
        yield kind, pattern


def as_file(text: str) -> bytes:
    return f"{_BEFORE}{text}{_AFTER}".encode()


def _url64(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")
