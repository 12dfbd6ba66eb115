"""Forwards a loopback port to a unix socket, for a sandbox without a network.

Sandboxes run this file on its own, in front of a program:
`python3 -I -S _port_forward.py SOCKET PORT PROGRAM [ARGUMENT…]` (Python 3.9 or later).
A child of it listens on 127.0.0.1:PORT and copies each connection in both directions to SOCKET. The
kernel ends the child when its parent ends. The parent becomes the PROGRAM, so that pid, signals,
environment and exit code are the program's own. As in a shell, the exit code is 127 if the program
does not exist and 126 if it may not be run; it is 125 if the child cannot listen on PORT.
"""

from __future__ import annotations

import ctypes
import os
import select
import signal
import socket
import sys

_PR_SET_PDEATHSIG = 1
_CHUNK = 65_536
#: The bytes that are buffered for a slower receiver.
_PENDING = 4 * _CHUNK
_NOT_FOUND, _NOT_RUNNABLE, _NO_PORT = 127, 126, 125


class End:
    """One end of a connection: the bytes to send to it, and which of its directions have ended."""

    def __init__(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        self.connection = connection
        self.pending = bytearray()
        self.is_read_over = self.is_write_over = False
        self.peer = self

    def receive(self) -> None:
        """Read the available bytes for the other end; an error counts as an end."""
        try:
            data = self.connection.recv(_CHUNK)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        self.peer.pending += data
        self.is_read_over = not data
        self.peer.send()

    def send(self) -> None:
        """Send the buffered bytes; if the receiver is gone, the other end may stop too."""
        try:
            if self.pending and not self.is_write_over:
                del self.pending[: self.connection.send(self.pending)]
            if self.peer.is_read_over and not self.pending and not self.is_write_over:
                self.is_write_over = True
                self.connection.shutdown(socket.SHUT_WR)
        except BlockingIOError:
            return
        except OSError:
            self.pending.clear()
            self.is_write_over = self.peer.is_read_over = True

    def interest(self) -> int:
        """Return the events for which this end waits."""
        reads = not self.is_read_over and len(self.peer.pending) < _PENDING
        writes = bool(self.pending) and not self.is_write_over
        return select.EPOLLIN * reads | select.EPOLLOUT * writes


class Forwarder:
    """Copies any number of connections to a unix socket."""

    def __init__(self, listener: socket.socket, path: str) -> None:
        self._listener = listener
        self._path = path
        self._ends: dict[int, End] = {}
        self._poll = select.epoll()
        self._poll.register(listener, select.EPOLLIN)

    def run(self) -> None:
        """Copy for ever."""
        while True:
            for fd, events in self._poll.poll():
                if fd == self._listener.fileno():
                    self._accept()
                elif fd in self._ends:
                    self._move(self._ends[fd], events)

    def _accept(self) -> None:
        # The socket is gone or has too many connections; the client sees its connection end.
        try:
            inside = self._listener.accept()[0]
            # Otherwise a message in two parts waits 40 ms for the acknowledgement of the first.
            inside.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except OSError:
            return
        try:
            outside = _connected(self._path)
        except OSError:
            inside.close()
            return
        near, far = End(inside), End(outside)
        near.peer, far.peer = far, near
        for end in (near, far):
            self._ends[end.connection.fileno()] = end
            self._poll.register(end.connection, end.interest())

    def _move(self, end: End, events: int) -> None:
        if events & select.EPOLLOUT:
            end.send()
        if events & ~select.EPOLLOUT and not end.is_read_over:
            end.receive()
        elif events & (select.EPOLLERR | select.EPOLLHUP) and end.is_read_over:
            # It receives no more bytes, and its event would repeat without end.
            end.pending.clear()
            end.is_write_over = end.peer.is_read_over = True
        ends = (end, end.peer)
        if all(each.is_read_over and each.is_write_over for each in ends):
            for each in ends:
                del self._ends[each.connection.fileno()]
                each.connection.close()
            return
        for each in ends:
            self._watch(each)

    def _watch(self, end: End) -> None:
        # A connection that has ended in both directions reports an event even if none is requested.
        fd = end.connection.fileno()
        if end.is_read_over and end.is_write_over:
            try:
                self._poll.unregister(fd)
            except FileNotFoundError:
                return
        else:
            self._poll.modify(fd, end.interest())


def _connected(path: str) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.connect(path)
    except OSError:
        connection.close()
        raise
    return connection


def _serve(listener: socket.socket, path: str, parent: int) -> None:
    """Run the forwarder in its own session, without the program's descriptors and folder."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        return
    os.setsid()
    # An address of AF_UNIX has at most 107 bytes; relative to its folder any socket name fits.
    os.chdir(os.path.dirname(path))  # noqa: PTH120 - importing pathlib takes longer
    nothing = os.open(os.devnull, os.O_RDWR)
    for standard in range(3):
        os.dup2(nothing, standard)
    os.closerange(3, listener.fileno())
    os.closerange(listener.fileno() + 1, os.sysconf("SC_OPEN_MAX"))
    Forwarder(listener, os.path.basename(path)).run()  # noqa: PTH119 - as above


def _become(argv: list[str]) -> int:
    """Become the program; return the exit code for the failure."""
    # The initial block, because Python may have added LC_CTYPE to `os.environ` (PEP 538).
    with open("/proc/self/environ", "rb") as file:  # noqa: PTH123 - importing pathlib takes longer
        block = file.read().split(b"\0")
    for number in (signal.SIGPIPE, signal.SIGXFSZ):
        # Python ignores these signals, and a program inherits ignored signals.
        signal.signal(number, signal.SIG_DFL)
    try:
        os.execvpe(argv[0], argv, dict(entry.split(b"=", 1) for entry in block if b"=" in entry))  # noqa: S606 - no shell is meant
    except OSError as error:
        sys.stderr.write(f"{argv[0]}: {error.strerror}\n")
        return _NOT_FOUND if isinstance(error, FileNotFoundError) else _NOT_RUNNABLE


def main() -> int:
    """Start the forwarder and become the program."""
    path, port, *argv = sys.argv[1:]
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(("127.0.0.1", int(port)))
        listener.listen(128)
    except OSError as error:
        sys.stderr.write(f"127.0.0.1:{port}: {error.strerror}\n")
        return _NO_PORT
    parent = os.getpid()
    if os.fork() == 0:
        try:
            _serve(listener, path, parent)
        finally:
            os._exit(1)
    return _become(argv)


if __name__ == "__main__":
    sys.exit(main())
