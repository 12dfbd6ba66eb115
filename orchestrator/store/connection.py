"""Connections to Valkey: one command, one reply, and a pool with the tries after a lost one.

The redis library takes 0.2 s of processor time to import, more than a whole command of the CLI
may take. The replies are parsed by hiredis, as there.
"""

from __future__ import annotations

import os
import select
import socket
import time
import weakref
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import hiredis

from orchestrator.store.address import Address

#: An idle connection is asked first whether it still works: a network drops it in silence.
_CHECK_AFTER_IDLE_S = 15.0
_READ_BYTES = 65_536
_BACKOFF_BASE_S, _BACKOFF_CAP_S = 0.05, 0.5
#: Refusals that concern the connection. Only the first passes by itself.
_LOADING = "LOADING"
_OF_LOGIN = frozenset(("NOAUTH", "WRONGPASS"))
_OF_CONNECTION = (
    "ERR max number of clients reached",
    "ERR invalid password",
    "ERR AUTH <password> called",
    "ERR Client sent AUTH",
)

Argument = str | bytes | int | float


class ReplyError(Exception):
    """Valkey refused a command; `code` is the first word of its reply."""

    def __init__(self, reply: str) -> None:
        super().__init__(reply)
        self.code = reply.partition(" ")[0]


class ConnectionLost(Exception):
    """There is no connection, or it ended before the reply."""

    #: Whether the same command may succeed at once on another connection.
    may_pass = True


class LoginRefused(ConnectionLost):
    """Valkey does not accept user and password."""

    may_pass = False


class NoAnswer(ConnectionLost):
    """Valkey did not answer in time."""


@dataclass(frozen=True)
class Tries:
    """How often a command is sent again on a new connection, and after which waits."""

    again: int
    is_after_timeouts: bool
    base_s: float = _BACKOFF_BASE_S

    def pause_s(self, failures: int) -> float:
        """Return how long to wait after this many failures."""
        return float(min(_BACKOFF_CAP_S, self.base_s * 2**failures))


class Connection:
    """One socket to Valkey; it opens at the first command."""

    def __init__(self, address: Address, timeout_s: float, connect_timeout_s: float) -> None:
        self._address = address
        self._timeout_s = timeout_s
        self._connect_timeout_s = connect_timeout_s
        self._socket: socket.socket | None = None
        self._reader = hiredis.Reader(replyError=ReplyError)
        self._used_s = 0.0
        self._release: Callable[[], object] = lambda: None

    def call(self, arguments: Iterable[Argument]) -> Any:
        """Send a command and return its reply.

        Raises:
            ReplyError: Valkey refused it.
            ConnectionLost: it got no answer; the connection is closed.
        """
        packed = _packed(tuple(arguments))
        with self._closing():
            opened = self._opened()
            if time.monotonic() - self._used_s > _CHECK_AFTER_IDLE_S:
                self._exchange(opened, _packed(("PING",)))
            reply = self._exchange(opened, packed)
        if isinstance(reply, ReplyError):
            raise reply
        return reply

    @contextmanager
    def _closing(self) -> Iterator[None]:
        try:
            yield
        except TimeoutError as error:
            self.close()
            msg = f"Timeout reading from {self._address}"
            raise NoAnswer(msg) from error
        except (OSError, hiredis.ProtocolError) as error:
            self.close()
            msg = f"Error while reading from {self._address} : {error.args}"
            raise ConnectionLost(msg) from error
        except BaseException:
            # A reply of which nobody read the end would be taken for that of the next command.
            self.close()
            raise

    def _opened(self) -> socket.socket:
        if self._socket is not None and not self._has_ended(self._socket):
            return self._socket
        self.close()
        try:
            opened = self._address.connect(self._connect_timeout_s)
        except TimeoutError as error:
            msg = "Timeout connecting to server"
            raise NoAnswer(msg) from error
        except OSError as error:
            number, *rest = error.args or ("",)
            text = f"Error {number} connecting to {self._address}."
            msg = f"{text} {rest[0]}." if rest else text
            raise ConnectionLost(msg) from error
        opened.settimeout(self._timeout_s)
        self._socket, self._used_s = opened, time.monotonic()
        # Many stores live as long as their process, and nobody closes those.
        self._release = weakref.finalize(self, opened.close)
        self._reader = hiredis.Reader(replyError=ReplyError)
        self._log_in(opened)
        return opened

    def _log_in(self, opened: socket.socket) -> None:
        address = self._address
        asked: list[tuple[Argument, ...]] = []
        if address.password or address.username:
            user = (address.username,) if address.username else ()
            asked.append(("AUTH", *user, address.password))
        if address.database:
            asked.append(("SELECT", address.database))
        for command in asked:
            reply = self._exchange(opened, _packed(command))
            if isinstance(reply, ReplyError):
                raise LoginRefused(text_of(reply))

    def _exchange(self, opened: socket.socket, packed: bytes) -> Any:
        opened.sendall(packed)
        while (reply := self._reader.gets()) is False:
            data = opened.recv(_READ_BYTES)
            if not data:
                self.close()
                msg = "Connection closed by server."
                raise ConnectionLost(msg)
            self._reader.feed(data)
        self._used_s = time.monotonic()
        if isinstance(reply, ReplyError):
            if reply.code in _OF_LOGIN:
                raise LoginRefused(text_of(reply))
            if reply.code == _LOADING or str(reply).startswith(_OF_CONNECTION):
                raise ConnectionLost(text_of(reply))
        return reply

    def _has_ended(self, opened: socket.socket) -> bool:
        """Return whether an idle connection says anything unasked, which is its end."""
        poll = select.poll()
        poll.register(opened, select.POLLIN)
        if not poll.poll(0):
            return False
        opened.setblocking(False)
        try:
            opened.recv(1)
        except BlockingIOError:
            return False
        except OSError as error:
            # TLS has records of its own, such as a ticket for the next session.
            return not self._address.is_unfinished(error)
        finally:
            opened.settimeout(self._timeout_s)
        return True

    def close(self) -> None:
        """Close the socket, also under a thread that waits for a reply."""
        opened, self._socket = self._socket, None
        if opened is not None:
            with suppress(OSError):  # the other side was faster
                opened.shutdown(socket.SHUT_RDWR)
        self._release()

    def drop(self) -> None:
        """Close the descriptor, and leave the connection to the process that shares it."""
        self._socket = None
        self._release()


class Connections:
    """The connections of one client: a command takes a free one, or opens another."""

    def __init__(
        self, address: Address, *, timeout_s: float, connect_timeout_s: float, tries: Tries
    ) -> None:
        self._address = address
        self._timeouts_s = (timeout_s, connect_timeout_s)
        self._tries = tries
        self._pid = os.getpid()
        # `append` and `pop` of a list are atomic: a fork copies no lock that a thread holds.
        self._free: list[Connection] = []
        self._all: set[Connection] = set()

    def call(self, *arguments: Argument) -> Any:
        """Run a command, and run it again where its connection is lost.

        Raises:
            ReplyError: Valkey refused it.
            ConnectionLost: no try got an answer.
        """
        failures = 0
        while True:
            connection = self._acquire()
            try:
                return connection.call(arguments)
            except ConnectionLost as error:
                failures += 1
                is_final = isinstance(error, NoAnswer) and not self._tries.is_after_timeouts
                if is_final or not error.may_pass or failures > self._tries.again:
                    raise
            finally:
                self._free.append(connection)
            if pause_s := self._tries.pause_s(failures):
                time.sleep(pause_s)

    def _acquire(self) -> Connection:
        if self._pid != os.getpid():
            # A forked child must not speak on its parent's connections.
            inherited, self._all, self._free = self._all, set(), []
            self._pid = os.getpid()
            for connection in inherited:
                connection.drop()
        try:
            return self._free.pop()
        except IndexError:
            connection = Connection(self._address, *self._timeouts_s)
            self._all.add(connection)
            return connection

    def close(self) -> None:
        """Close all connections, also those in use."""
        for connection in tuple(self._all):
            connection.close()


def text_of(error: ReplyError) -> str:
    """Return what Valkey said, without a code that Valkey's own errors begin with."""
    return str(error).partition(" ")[2] if error.code in _CODES else str(error)


_CODES = frozenset(
    (
        *("ERR", "OOM", "WRONGPASS", "EXECABORT", "LOADING", "NOSCRIPT", "READONLY", "NOAUTH"),
        *("NOPERM", "ASK", "TRYAGAIN", "MOVED", "CLUSTERDOWN", "CROSSSLOT", "MASTERDOWN"),
    )
)


def _packed(command: tuple[Argument, ...]) -> bytes:
    packed: bytes = hiredis.pack_command(command)  # type: ignore[arg-type]  # it says: one element
    return packed
