"""The contexts of `orch`: named addresses of the API with their keys, in one private file."""

from __future__ import annotations

import fcntl
import json
import os
import re
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import Field, SecretStr, ValidationError

from orchestrator.cli import CONTEXTS_FILE as FILE
from orchestrator.cli.values import meant_of
from orchestrator.errors import ContextInvalid
from orchestrator.models.record import Record, faults_of
from orchestrator.settings import Settings
from orchestrator.settings.access import ApiUrl
from orchestrator.settings.private_file import write_new

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_KEY = re.compile(r"[!-~]{1,4096}")
#: More than a key has: the file may be another one.
_MOST_BYTES = 65_536


class Context(Record):
    """One address, and its key or the file that contains it."""

    url: ApiUrl
    key: SecretStr | None = None
    key_file: Path | None = None

    def api_key(self) -> SecretStr | None:
        """Return the key; None if the context has none.

        Raises:
            ContextInvalid: the file of the key cannot be read, or what is stored is no key.
        """
        if self.key_file is None:
            return self.key and checked_key(self.key.get_secret_value(), "the context")
        try:
            with self.key_file.open("rb") as file:
                text = file.read(_MOST_BYTES).decode("ascii", "replace").strip()
        except OSError as error:
            msg = f"The key file {self.key_file} cannot be read ({error.strerror})."
            raise ContextInvalid(msg) from error
        return checked_key(text, f"the key file {self.key_file}")


class _File(Record):
    current: str | None = None
    contexts: dict[str, Context] = Field(default_factory=dict)


def checked_key(text: str, source: str) -> SecretStr:
    """Return a key.

    Raises:
        ContextInvalid: the text cannot be a key; the error does not contain it.
    """
    if not _KEY.fullmatch(text):
        msg = f"What {source} contains is no API key: it must be one line of printable ASCII."
        raise ContextInvalid(msg, action="Give one key, as `orch keys add` prints it.")
    return SecretStr(text)


class Contexts:
    """The file of the contexts, below the home; only its owner may read it."""

    def __init__(self, home: Path) -> None:
        self.path = home / FILE

    def all(self) -> dict[str, Context]:
        """Return the contexts by their names, in order."""
        return dict(sorted(self._read().contexts.items()))

    def current(self) -> str | None:
        """Return the name of the context in use, if any."""
        return self._read().current

    def find(self, name: str) -> Context:
        """Return a context.

        Raises:
            ContextInvalid: there is none of this name, or the file cannot be used.
        """
        return _found(self._read(), name)

    def add(self, name: str, context: Context, *, is_replacing: bool) -> None:
        """Store a context.

        Raises:
            ContextInvalid: the name cannot be one, or is taken.
        """
        if not _NAME.fullmatch(name):
            msg = (
                f"{name!r} cannot be the name of a context: use letters, digits, `.`, `_` and `-`."
            )
            raise ContextInvalid(msg)
        with self._changing() as stored:
            if name in stored.contexts and not is_replacing:
                msg = f"The context {name} exists."
                raise ContextInvalid(msg, action="Give --replace, or another name.")
            self._write(stored.current, {**stored.contexts, name: context})

    def use(self, name: str | None) -> None:
        """Use a context from now on, or none.

        Raises:
            ContextInvalid: there is none of this name.
        """
        with self._changing() as stored:
            if name is not None:
                _found(stored, name)
            self._write(name, stored.contexts)

    def remove(self, name: str) -> None:
        """Remove a context; if it was in use, none is in use.

        Raises:
            ContextInvalid: there is none of this name.
        """
        with self._changing() as stored:
            _found(stored, name)
            rest = {other: one for other, one in stored.contexts.items() if other != name}
            self._write(None if stored.current == name else stored.current, rest)

    @contextmanager
    def _changing(self) -> Iterator[_File]:
        """Hold the lock of the file, so that two commands at once lose no context."""
        lock = self.path.with_suffix(".lock")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise _failed(lock, error) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield self._read()
        finally:
            os.close(descriptor)

    def _read(self) -> _File:
        try:
            with self.path.open("rb") as file:
                if stat.S_IMODE(os.fstat(file.fileno()).st_mode) & 0o077:
                    msg = f"Others may read {self.path}, which contains keys."
                    raise ContextInvalid(msg, action=f"Run: chmod 600 {self.path}")
                return _File.model_validate(json.load(file))
        except FileNotFoundError:
            return _File()
        except OSError as error:
            raise _failed(self.path, error) from error
        except (ValueError, RecursionError) as error:
            # Not the text of the error: it may quote a key.
            faults = faults_of(error) if isinstance(error, ValidationError) else ()
            where = ", ".join(path for path, _ in faults) or "it is not JSON"
            msg = f"{self.path} is damaged ({where})."
            raise ContextInvalid(
                msg, action="Correct it, or remove it and add the contexts."
            ) from None

    def _write(self, current: str | None, contexts: dict[str, Context]) -> None:
        document: dict[str, Any] = {
            "current": current,
            "contexts": {name: _document(one) for name, one in contexts.items()},
        }
        fresh = self.path.with_name(f".{self.path.name}.{secrets.token_hex(8)}")
        try:
            try:
                write_new(fresh, json.dumps(document, indent=2).encode())
                fresh.replace(self.path)
            finally:
                fresh.unlink(missing_ok=True)
        except OSError as error:
            raise _failed(self.path, error) from error


def in_context(settings: Settings, name: str | None) -> Settings:
    """Return the settings with the address and key of the context that applies, if one does.

    The order: the name that is given; the address of the settings; the name of the settings; the
    Valkey of the settings; the context in use. The key is always that of the context: a key of
    another server is never sent to its address.

    Raises:
        ContextInvalid: the context does not exist, or its file cannot be used.
    """
    contexts = Contexts(settings.home)
    if name is None:
        if settings.api_url:
            return settings
        name = settings.context
    if name is None and settings.is_embedded:
        name = contexts.current()
    if name is None:
        return settings
    context = contexts.find(name)
    return settings.model_copy(update={"api_url": context.url, "api_key": context.api_key()})


def _found(stored: _File, name: str) -> Context:
    if (context := stored.contexts.get(name)) is None:
        msg = f"There is no context {name!r}.{meant_of(name, stored.contexts)}"
        raise ContextInvalid(msg)
    return context


def _document(context: Context) -> dict[str, str]:
    document = {"url": context.url}
    if context.key is not None:
        document["key"] = context.key.get_secret_value()
    if context.key_file is not None:
        document["keyFile"] = str(context.key_file)
    return document


def _failed(path: Path, error: OSError) -> ContextInvalid:
    return ContextInvalid(f"{path} cannot be used ({error.strerror}).", action="")
