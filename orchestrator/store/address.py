"""The address of a Valkey: host or socket, login, database and TLS, as its URL states them."""

from __future__ import annotations

import socket
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, unquote, urlsplit

from orchestrator.errors import SettingsInvalid

if TYPE_CHECKING:
    import ssl

_PORT = 6379
#: Options of the URL that only the library of the broker reads.
_OF_BROKER = frozenset(
    (
        *("socket_timeout", "socket_connect_timeout", "socket_keepalive", "socket_read_size"),
        *("health_check_interval", "max_connections", "retry_on_timeout", "retry_on_error"),
        *("protocol", "client_name", "timeout", "visibility_timeout", "global_keyprefix"),
        *("virtual_host", "encoding", "lib_name", "lib_version", "legacy_responses"),
    )
)
_OF_TLS = frozenset(
    (
        *("ssl_ca_certs", "ssl_ca_path", "ssl_ca_data", "ssl_certfile", "ssl_keyfile"),
        *("ssl_keyfile_password", "ssl_password", "ssl_cert_reqs", "ssl_check_hostname"),
        *("ssl_min_version", "ssl_ciphers"),
    )
)
_VERIFIED = "required"
_VERIFICATIONS = ("none", "optional", _VERIFIED)
#: The numbers of TLS 1.2 and 1.3 in `ssl.TLSVersion`.
_TLS_VERSIONS = ("771", "772")
_FALSE = frozenset(("", "0", "f", "false", "n", "no"))


@dataclass(frozen=True)
class Address:
    """Where a Valkey listens, and how a client logs in."""

    host: str = "localhost"
    port: int = _PORT
    #: The path of a Unix socket; empty for TCP.
    path: str = ""
    username: str = ""
    password: str = field(default="", repr=False)
    database: int = 0
    is_tls: bool = False
    tls: dict[str, str] = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, url: str) -> Address:
        """Parse `redis://`, `rediss://` or `unix://`.

        Raises:
            SettingsInvalid: an option of the URL is unknown or has no valid value.
        """
        parts = urlsplit(url)
        options = dict(parse_qsl(parts.query))
        for name in options.keys() - _OF_BROKER - _OF_TLS - {"db", "username", "password"}:
            msg = f"VALKEY_URL: there is no option {name}."
            raise SettingsInvalid(msg)
        if options.get("ssl_cert_reqs", _VERIFIED).lower() not in _VERIFICATIONS:
            msg = f"VALKEY_URL: ssl_cert_reqs must be one of {', '.join(_VERIFICATIONS)}."
            raise SettingsInvalid(msg)
        if options.get("ssl_min_version", _TLS_VERSIONS[0]) not in _TLS_VERSIONS:
            msg = f"VALKEY_URL: ssl_min_version must be one of {', '.join(_TLS_VERSIONS)}."
            raise SettingsInvalid(msg)
        is_path = parts.scheme == "unix"
        given = "" if is_path else parts.path.strip("/")
        database = options.get("db", given if given.isdecimal() else "0")
        if not database.isdecimal():
            msg = "VALKEY_URL: db must be the number of a database."
            raise SettingsInvalid(msg)
        return cls(
            host=unquote(parts.hostname or cls.host),
            port=parts.port or _PORT,
            path=unquote(parts.path) if is_path else "",
            username=unquote(parts.username or options.get("username", "")),
            password=unquote(parts.password or "") or options.get("password", ""),
            database=int(database),
            is_tls=parts.scheme == "rediss",
            tls={name: value for name, value in options.items() if name in _OF_TLS},
        )

    def __str__(self) -> str:
        """Return host and port, or the path of the socket."""
        return self.path or f"{self.host}:{self.port}"

    def connect(self, timeout_s: float) -> socket.socket:
        """Open a connection; raises OSError."""
        if self.path:
            opened = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            opened.settimeout(timeout_s)
            try:
                opened.connect(self.path)
            except OSError:
                opened.close()
                raise
            return opened
        opened = socket.create_connection((self.host, self.port), timeout_s)
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        if not self.is_tls:
            return opened
        try:
            return self._tls_context().wrap_socket(opened, server_hostname=self.host)
        except OSError:
            opened.close()
            raise

    def is_unfinished(self, error: OSError) -> bool:
        """Return whether this error of a read says only that a TLS record is not complete."""
        if not self.is_tls:
            return False
        import ssl  # noqa: PLC0415 - as below

        return isinstance(error, ssl.SSLWantReadError)

    def _tls_context(self) -> ssl.SSLContext:
        import ssl  # noqa: PLC0415 - 10 ms that few connections need

        given = self.tls
        context = ssl.create_default_context(
            cafile=given.get("ssl_ca_certs"),
            capath=given.get("ssl_ca_path"),
            cadata=given.get("ssl_ca_data"),
        )
        verify = given.get("ssl_cert_reqs", _VERIFIED).lower()
        checks_name = given.get("ssl_check_hostname", "true").lower() not in _FALSE
        modes = {
            "none": ssl.CERT_NONE,
            "optional": ssl.CERT_OPTIONAL,
            "required": ssl.CERT_REQUIRED,
        }
        # Python refuses a context that checks names and verifies no certificate.
        context.check_hostname = checks_name and verify != "none"
        context.verify_mode = modes[verify]
        if certificate := given.get("ssl_certfile"):
            password = given.get("ssl_keyfile_password") or given.get("ssl_password")
            context.load_cert_chain(certificate, given.get("ssl_keyfile"), password)
        if version := given.get("ssl_min_version"):
            context.minimum_version = ssl.TLSVersion(int(version))
        if ciphers := given.get("ssl_ciphers"):
            context.set_ciphers(ciphers)
        return context
