"""A git server over smart HTTP(S): git's own http-backend behind a token, on loopback or not."""

from __future__ import annotations

import base64
import contextlib
import os
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit


@dataclass
class GitServer:
    """What the server holds, whom it lets in, and what it was told."""

    root: Path
    login: str
    url: str = ""
    port: int = 0
    #: Answers of the next requests, instead of git's: (status, headers, body).
    instead: list[tuple[int, dict[str, str], bytes]] = field(default_factory=list)
    #: So many pushes end as a broken gateway ends them.
    fail_pushes: int = 0
    #: The bytes that are sent in a second; 0 for all at once.
    bytes_per_s: int = 0
    #: Called with each request, while the client waits.
    on_request: Callable[[], None] = lambda: None
    authorizations: list[str] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)


class _Handler(BaseHTTPRequestHandler):
    state: GitServer

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def _serve(self) -> None:
        state = self.state
        body = self._body()
        given = self.headers.get("Authorization", "")
        state.authorizations.append(given)
        state.paths.append(self.path)
        state.on_request()
        if state.fail_pushes and self.path.endswith("service=git-receive-pack"):
            state.fail_pushes -= 1
            return self._answer(502, {}, b"bad gateway\n")
        if state.instead:
            return self._answer(*state.instead.pop(0))
        expected = "Basic " + base64.b64encode(state.login.encode()).decode()
        if given != expected:
            # A server that says back what it was told.
            words = f"no access for {given}\n".encode()
            return self._answer(401, {"WWW-Authenticate": 'Basic realm="git"'}, words)
        address = urlsplit(self.path)
        ended = subprocess.run(
            ("git", "http-backend"),
            env={
                "PATH": os.environ["PATH"],
                "GIT_PROJECT_ROOT": str(state.root),
                "GIT_HTTP_EXPORT_ALL": "1",
                "GIT_CONFIG_NOSYSTEM": "1",
                "HOME": "/nonexistent",
                "PATH_INFO": address.path,
                "QUERY_STRING": address.query,
                "REQUEST_METHOD": self.command,
                "CONTENT_TYPE": self.headers.get("Content-Type", ""),
                "CONTENT_LENGTH": str(len(body)),
                "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
                "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
                "REMOTE_USER": "agent",
                "REMOTE_ADDR": "127.0.0.1",
            },
            input=body,
            capture_output=True,
            check=True,
        )
        head, _, content = ended.stdout.partition(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n"))
        status = int(headers.pop("Status", "200").split()[0])
        return self._answer(status, headers, content)

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def _answer(self, status: int, headers: dict[str, str], content: bytes) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        slowly = self.state.bytes_per_s
        portion = slowly // 10 or len(content) or 1
        with contextlib.suppress(ConnectionError):
            for at in range(0, len(content), portion):
                if slowly:
                    time.sleep(0.1)  # a slow line
                self.wfile.write(content[at : at + portion])


@contextmanager
def git_server(
    root: Path, *, login: str, host: str = "127.0.0.1", tls: ssl.SSLContext | None = None
) -> Iterator[GitServer]:
    """Serve the repositories below `root` to who logs in as `user:token`."""
    state = GitServer(root, login)
    handler = type("Handler", (_Handler,), {"state": state})
    server = ThreadingHTTPServer((host, 0), handler)
    state.port = server.server_address[1]
    state.url = f"http{'s' if tls else ''}://{host}:{state.port}"
    if tls:
        # The handshake is each connection's own thread's: one that never begins blocks nobody.
        server.socket = tls.wrap_socket(
            server.socket, server_side=True, do_handshake_on_connect=False
        )
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
