"""The scanner's set: synthetic secrets and look-alikes, made from patterns when it is asked for.

The same seed makes the same set. A quarter of the types (by the CRC of the name) was set aside
before the first rule was written: `held_out`.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator

from tests.doubles.secret_lookalikes import LOOKALIKES
from tests.doubles.secret_maker import _AFTER, _BEFORE, VENDORS, Case, Maker, as_file, rows
from tests.doubles.secret_prefixed import PREFIXED, PREFIXED_PLACES
from tests.doubles.secret_types import CONNECTION, CONTEXTUAL, GENERIC


def positives(seed: int, each: int = 1) -> Iterator[Case]:
    """Make `each` cases of every type of secret."""
    maker = Maker(seed)
    for _ in range(each):
        yield from _prefixed(maker)
        for group, table in (
            ("contextual", CONTEXTUAL),
            ("generic", GENERIC),
            ("connection", CONNECTION),
        ):
            for kind, pattern in rows(table):
                text, values = maker.fill(pattern)
                yield Case(kind, group, as_file(text), values)
        yield from _blocks(maker)
        yield from _hard(maker)


def lookalikes(seed: int, each: int = 1) -> Iterator[Case]:
    """Make `each` cases of every type of look-alike."""
    maker = Maker(seed)
    for _ in range(each):
        for kind, pattern in rows(LOOKALIKES):
            yield Case(kind, "look-alike", as_file(maker.fill(pattern)[0]))


def _prefixed(maker: Maker) -> Iterator[Case]:
    places = PREFIXED_PLACES.strip("\n").split("\n")
    for kind, pattern in rows(PREFIXED):
        value, _ = maker.fill(pattern)
        name = maker.random.choice(VENDORS)
        place = maker.random.choice(places)
        text, _ = maker.fill(place, v=value, k=name, K=name.upper())
        yield Case(kind, "prefixed", as_file(text), (value,))


def _body(maker: Maker, lines: int = 12) -> list[str]:
    return [maker.value("b", 64) for _ in range(lines)] + [maker.value("b", 42) + "=="]


def _blocks(maker: Maker) -> Iterator[Case]:
    def case(kind: str, text: str, *values: str) -> Case:
        return Case(kind, "block", as_file(text), values)

    for label in ("RSA ", "EC ", "DSA ", "OPENSSH ", "ENCRYPTED ", ""):
        lines = _body(maker)
        yield case(f"pem-{label.strip().lower() or 'pkcs8'}", _pem(label, lines), *lines)
    lines = _body(maker)
    block = f"-----BEGIN PGP PRIVATE KEY BLOCK-----\n\n{chr(10).join(lines)}"
    yield case("pgp", f"{block}\n-----END PGP PRIVATE KEY BLOCK-----", *lines)
    lines = _body(maker)
    dashes = "-" * 4
    yield case(
        "ssh2",
        f"{dashes} BEGIN SSH2 ENCRYPTED PRIVATE KEY {dashes}\n{chr(10).join(lines)}\n"
        f"{dashes} END SSH2 ENCRYPTED PRIVATE KEY {dashes}",
        *lines,
    )
    lines = _body(maker)
    yield case(
        "putty",
        "PuTTY-User-Key-File-3: ssh-rsa\nEncryption: none\nComment: me\nPrivate-Lines: 13\n"
        + "\n".join(lines)
        + f"\nPrivate-MAC: {maker.value('h', 64)}",
        *lines,
    )
    shapes = {
        "json": lambda pem: json.dumps({"private_key": pem}),
        "yaml": lambda pem: "key: |\n" + "".join(f"    {line}\n" for line in pem.split("\n")),
        "env": lambda pem: f'PRIVATE_KEY="{pem}"'.replace("\n", "\\n"),
        "python": lambda pem: f'KEY = """{pem}"""',
        "c-strings": lambda pem: "\n".join(f'    "{line}\\n"' for line in pem.split("\n")),
        "js-concat": lambda pem: " +\n".join(f"  '{line}\\n'" for line in pem.split("\n")),
        "crlf": lambda pem: pem.replace("\n", "\r\n"),
        "heredoc": lambda pem: f"cat > key <<EOF\n{pem}\nEOF",
        "patch": lambda pem: "\n".join(f"+{line}" for line in pem.split("\n")),
        "one-line": lambda pem: pem.replace("\n", " "),
    }
    for kind, shape in shapes.items():
        lines = _body(maker)
        yield case(kind, shape(_pem(maker.random.choice(("RSA ", "", "EC ")), lines)), *lines)
    for kind, wrap in (
        ("kubeconfig", "    client-key-data: {}"),
        ("k8s-tls", "kind: Secret\ndata:\n  tls.key: {}"),
        ("env-base64", "SIGNING_KEY_B64={}"),
    ):
        lines = _body(maker)
        wrapped = base64.b64encode(_pem("RSA ", lines).encode()).decode()
        yield case(kind, wrap.format(wrapped), wrapped, *lines)
    lines = _body(maker)
    account = {
        "type": "service_account",
        "project_id": "acme-prod",
        "private_key_id": maker.value("h", 40),
        "private_key": _pem("", lines),
        "client_email": "bot@acme-prod.iam.gserviceaccount.com",
    }
    yield case("gcp-account", json.dumps(account, indent=2), *lines)
    secret = maker.value("w", 43)
    jwk = {"kty": "EC", "crv": "P-256", "x": maker.value("w", 43), "d": secret}
    yield case("jwk", json.dumps(jwk), secret)
    secret = maker.value("b", 43) + "="
    yield case("wireguard", f"[Interface]\nPrivateKey = {secret}\nAddress = 10.0.0.1/24", secret)
    lines = [maker.value("h", 32) for _ in range(16)]
    name = "OpenVPN Static key V1"
    yield case(
        "openvpn",
        f"<tls-auth>\n-----BEGIN {name}-----\n" + "\n".join(lines) + f"\n-----END {name}-----",
        *lines,
    )


def _pem(label: str, lines: list[str]) -> str:
    body = "\n".join(lines)
    return f"-----BEGIN {label}PRIVATE KEY-----\n{body}\n-----END {label}PRIVATE KEY-----"


def _hard(maker: Maker) -> Iterator[Case]:
    def token() -> str:
        return maker.fill("ghp_{c30}")[0]

    def case(kind: str, content: bytes, *values: str) -> Case:
        return Case(kind, "hard", content, values)

    value = token()
    yield case("nul-before", b"\x00\x01\x02 head\n" + as_file(f'T = "{value}"'), value)
    value = maker.password()
    yield case(
        "nul-inside", as_file("x").replace(b"x", b"\0") + as_file(f'password = "{value}"'), value
    )
    for kind, encoding in (
        ("utf-16-bom", "utf-16"),
        ("utf-16-be-bom", "utf-16-be"),
        ("utf-16-le", "utf-16-le"),
        ("utf-16-be", "utf-16-be"),
    ):
        value = maker.password()
        mark = "\ufeff" if kind == "utf-16-be-bom" else ""
        text = f'{mark}{_BEFORE}password = "{value}"\n{_AFTER}'
        yield case(kind, text.encode(encoding), value)
    yield from _dense(maker)
    value = maker.password()
    yield case("latin-1", b"# caf\xe9 \xff\xfe\n" + as_file(f'password = "{value}"'), value)
    value = maker.password()
    cell = {"source": [f'password = "{value}"\n', "connect(password)\n"]}
    yield case("notebook", json.dumps({"cells": [cell]}).encode(), value)
    value = maker.password()
    inner = json.dumps({"user": "app", "password": value})
    yield case("json-in-json", json.dumps({"body": inner}).encode(), value)
    value = maker.password()
    yield case(
        "html-entity", as_file(f"data-config='{{&quot;password&quot;:&quot;{value}&quot;}}'"), value
    )
    value = maker.password()
    yield case("patch", as_file(f"--- a/x\n+++ b/x\n@@ -1 +1 @@\n+DB_PASSWORD={value}"), value)
    value = maker.password()
    yield case("crlf", as_file(f"host=db\r\npassword={value}\r\nport=1\r\n"), value)
    value = maker.password()
    yield case("yaml-folded", as_file(f"password: >-\n  {value}\nport: 1"), value)
    value = maker.password()
    yield case("yaml-next-line", as_file(f'- name: DB_PASSWORD\n  value: "{value}"'), value)
    value = token()
    wrapped = base64.b64encode(f"token={value}\n".encode()).decode()
    yield case("base64", as_file(f"CONFIG: {wrapped}"), wrapped, value)
    value = maker.password()
    escaped = "".join(f"%{ord(sign):02X}" if not sign.isalnum() else sign for sign in value)
    yield case("url-encoded", as_file(f"postgres://app:{escaped}@db.acme.io/app"), escaped, value)
    value = token()
    yield case("inline-allow", as_file(f'T = "{value}"  # gitleaks:allow kingfisher:ignore'), value)
    value = maker.password()
    yield case("pragma", as_file(f'password = "{value}"  # pragma: allowlist secret'), value)
    value = maker.password()
    yield case("ansi", as_file(f"\x1b[32mpassword\x1b[0m: \x1b[1m{value}\x1b[0m"), value)
    value = token()
    yield case("svg", f"<svg><desc>{value}</desc><path d='M0 0'/></svg>".encode(), value)
    value = token()
    yield case("commit-message", f"Use the new token\n\nIt is {value} for now.\n".encode(), value)
    value = token()
    yield case("path", f"notes/{value}.txt".encode(), value)
    value = maker.password()
    yield case("long-line", f'{"a b " * 60000}password = "{value}"'.encode(), value)


def _dense(maker: Maker) -> Iterator[Case]:
    def token() -> str:
        return maker.fill("ghp_{c30}")[0]

    def case(kind: str, content: bytes, *values: str) -> Case:
        return Case(kind, "hard", content, values)

    value = token()
    filler = "".join(f"function f{n}(a,b){{return a[{n}]+b}}" for n in range(4000))
    yield case("minified", f'{filler}var t="{value}";{filler}'.encode(), value)
    value = maker.password()
    yield case("minified-password", f'{filler}o={{password:"{value}"}};{filler}'.encode(), value)
    for kind, joint in (
        ("split-plus", '" +\n    "'),
        ("split-implicit", '"\n    "'),
        ("split-same-line", '" + "'),
        ("split-backslash", "\\\n"),
    ):
        value = token()
        cut = maker.random.randint(8, 30)
        yield case(kind, as_file(f'TOKEN = "{value[:cut]}{joint}{value[cut:]}"'), value)
