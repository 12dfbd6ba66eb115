"""Families of plug-ins: a package is a family, each module in it a member with its name as key."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Generic, TypeVar, cast

from orchestrator.errors import BackendUnknown

T = TypeVar("T")


@dataclass(frozen=True)
class Family(Generic[T]):
    """The members of one package; other distributions add members by entry points of `group`."""

    package: str
    group: str = ""

    def names(self) -> tuple[str, ...]:
        """Return the keys of all members, sorted; only the package itself is imported."""
        return tuple(sorted({*self._files(), *self._entry_points()}))

    def build(self, name: str, settings: Any) -> T:
        """Import the member and return the result of its `build(settings)`.

        Raises:
            BackendUnknown: no module and no entry point has this name.
        """
        if name in self._files():
            module = importlib.import_module(f"{self.package}.{name}")
            return cast("T", module.build(settings))
        if entry_point := self._entry_points().get(name):
            build = cast("Callable[[Any], T]", entry_point.load())
            return build(settings)
        known = ", ".join(self.names())
        msg = f"{self.package.rpartition('.')[2]}: there is no {name!r}, only {known}."
        raise BackendUnknown(msg)

    def stated(self, name: str, attribute: str) -> Any:
        """Return an attribute of a member's module; None if it has no such attribute.

        For a member that is unknown or cannot be loaded the result is None; `build` raises.
        """
        try:
            if name in self._files():
                module: Any = importlib.import_module(f"{self.package}.{name}")
            elif entry_point := self._entry_points().get(name):
                module = importlib.import_module(entry_point.load().__module__)
            else:
                return None
        except (ImportError, AttributeError):
            return None
        return getattr(module, attribute, None)

    def _files(self) -> frozenset[str]:
        path = importlib.import_module(self.package).__path__
        return frozenset(
            module.name for module in pkgutil.iter_modules(path) if not module.name.startswith("_")
        )

    def _entry_points(self) -> dict[str, EntryPoint]:
        if not self.group:
            return {}
        return {entry_point.name: entry_point for entry_point in entry_points(group=self.group)}
