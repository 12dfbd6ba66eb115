"""Families of plug-ins: a folder is a family, a file is a member, its name is its key."""

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
    """The members of one package; another distribution adds its own through an entry point."""

    package: str
    group: str = ""

    def names(self) -> tuple[str, ...]:
        """Return every member's key; nothing is imported but the package itself."""
        return tuple(sorted({*self._files(), *self._entry_points()}))

    def build(self, name: str, settings: Any) -> T:
        """Import the member and call its `build(settings)`.

        Raises:
            BackendUnknown: no file and no entry point has this name.
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
        """Return what a member's module states beside its `build`; None where it states nothing.

        A member that is not there, or cannot be loaded, states nothing: `build` tells why.
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
