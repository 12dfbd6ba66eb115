"""Reads the fields of one event separately; a wrong field does not affect others."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from orchestrator.interfaces.signals import FieldRefused
from orchestrator.models.text import storable
from orchestrator.models.tokens import number_in, shown, whole_in

#: A longer text is not accepted as an id.
ID_CHARACTERS = 256


def as_json(value: object, *, most: int | None = None) -> str:
    """Return a value as JSON text of at most so many characters; empty if that is impossible."""
    try:
        return storable(json.dumps(value, ensure_ascii=False))[:most]
    except (ValueError, TypeError, RecursionError):
        return ""


class Fields:
    """The fields of one object of an event; null counts as absent."""

    def __init__(self, given: dict[str, Any], path: str, refused: list[FieldRefused]) -> None:
        self._given = given
        self._path = path
        self._refused = refused

    @classmethod
    def of(cls, given: dict[str, Any]) -> Fields:
        """Begin with an event, whose `type` is a text."""
        return cls(given, storable(str(given.get("type", "")))[:40], [])

    @property
    def refused(self) -> tuple[FieldRefused, ...]:
        """The fields that were read, here and below, and had a wrong type."""
        return tuple(self._refused)

    def refuse(self, name: str) -> None:
        """Record that a field is wrong."""
        value = shown(self._given.get(name))
        self._refused.append(FieldRefused(storable(f"{self._path}.{name}: {value}")))

    def refuse_all(self, details: tuple[str, ...]) -> None:
        """Record the wrong fields of a part that was read elsewhere."""
        self._refused += [FieldRefused(storable(f"{self._path}.{detail}")) for detail in details]

    def raw(self, name: str) -> Any:
        """Return a field unchanged."""
        return self._given.get(name)

    def has(self, name: str) -> bool:
        """Return whether the field exists and is not null."""
        return self._given.get(name) is not None

    def text(self, name: str) -> str:
        """Return a text; empty if there is none."""
        value = self._given.get(name)
        if isinstance(value, str):
            return storable(value)
        self._refuse_if_present(name)
        return ""

    def id(self, name: str) -> str:
        """Return an id; empty if there is none, or an invalid one."""
        value = self.text(name)
        if len(value) > ID_CHARACTERS:
            self.refuse(name)
            return ""
        return value

    def flag(self, name: str) -> bool | None:
        """Return a boolean; None if there is none."""
        value = self._given.get(name)
        if isinstance(value, bool):
            return value
        self._refuse_if_present(name)
        return None

    def whole(self, name: str, *, most: int) -> int | None:
        """Return a whole number from 0 to `most`; None if there is none."""
        value = whole_in(self._given.get(name), most=most)
        if value is None:
            self._refuse_if_present(name)
        return value

    def number(self, name: str, *, most: float) -> float | None:
        """Return a number from 0 to `most`; None if there is none."""
        value = number_in(self._given.get(name), most=most)
        if value is None:
            self._refuse_if_present(name)
        return value

    def inner(self, name: str) -> Fields:
        """Return the object of a field; one without fields if there is none."""
        value = self._given.get(name)
        if not isinstance(value, dict):
            self._refuse_if_present(name)
            value = {}
        return Fields(value, f"{self._path}.{name}", self._refused)

    def listed(self, name: str) -> Iterator[Any]:
        """Return the entries of a list; none if there is no list."""
        value = self._given.get(name)
        if isinstance(value, list):
            yield from value
        else:
            self._refuse_if_present(name)

    def objects(self, name: str) -> Iterator[Fields]:
        """Yield the objects of a list; any other entry is recorded as wrong."""
        for position, entry in enumerate(self.listed(name)):
            if isinstance(entry, dict):
                yield Fields(entry, f"{self._path}.{name}", self._refused)
            else:
                self.refuse_all((f"{name}[{position}]: {shown(entry)}",))

    def _refuse_if_present(self, name: str) -> None:
        if self.has(name):
            self.refuse(name)
