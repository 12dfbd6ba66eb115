# ruff: noqa: E501 - a row for each form
"""One secret in each encoding and each way to put literals together, as programs write them."""

from __future__ import annotations

import base64
import json
import textwrap
from collections.abc import Callable

Writer = Callable[[str], str]


def _b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def _cut(text: str, size: int) -> list[str]:
    return [text[place : place + size] for place in range(0, len(text), size)]


def _each(text: str, form: str, joint: str = "") -> str:
    return joint.join(form.format(ord(sign)) for sign in text)


#: The token stands alone: its form shows it.
ENCODINGS: dict[str, Writer] = {
    "hex": lambda t: f'key = bytes.fromhex("{t.encode().hex()}")',
    "hex-upper": lambda t: f"SET k = X'{t.encode().hex().upper()}';",
    "hex-0x": lambda t: f"let k = 0x{t.encode().hex()};",
    "hex-bytea": lambda t: f"INSERT INTO t VALUES ('\\x{t.encode().hex()}');",
    "hex-wrapped": lambda t: "k: |\n" + textwrap.indent("\n".join(_cut(t.encode().hex(), 32)), "  "),
    "hex-list": lambda t: f"char k[] = {{ {_each(t, '0x{:02x}', ', ')} }};",
    "hex-list-lines": lambda t: "k = [\n    " + _each(t, "0x{:02X}", ",\n    ") + ",\n]",
    "x-escapes": lambda t: f'k = "{_each(t, chr(92) + "x{:02x}")}"',
    "x-escapes-some": lambda t: f'k = "{t[:5]}\\x{ord(t[5]):02x}{t[6:20]}\\x{ord(t[20]):02X}{t[21:]}"',
    "u-escapes": lambda t: f'const k = "{_each(t, chr(92) + "u{:04x}")}";',
    "u-braces": lambda t: f'const k = "{_each(t, chr(92) + "u{{{:x}}}")}";',
    "u-long": lambda t: f'k = "{_each(t, chr(92) + "U{:08x}")}"',
    "octal": lambda t: f'char *k = "{_each(t, chr(92) + "{:03o}")}";',
    "json-escapes": lambda t: f'{{"a": "{_each(t, chr(92) * 2 + "u{:04x}")}"}}',
    "percent": lambda t: f"k = decodeURIComponent('{_each(t, '%{:02X}')}')",
    "percent-some": lambda t: f"https://acme.io/?k={t[:4]}%{ord(t[4]):02x}{t[5:]}",
    "entities": lambda t: f"<p>{_each(t, '&#x{:x};')}</p>",
    "entities-decimal": lambda t: f"<p>{_each(t, '&#{};')}</p>",
    "decimal-list": lambda t: f"k = bytes([{_each(t, '{}', ', ')}])",
    "from-char-code": lambda t: f"const k = String.fromCharCode({_each(t, '{}', ',')});",
    "chr": lambda t: f"$k = {_each(t, 'chr({})', ' . ')};",
    "chr-plus": lambda t: f"k = {_each(t, 'chr({})', ' + ')}",
    "base64": lambda t: f"k: {_b64(t)}",
    "base64-call": lambda t: f'k = base64.b64decode("{_b64(t)}").decode()',
    "base64-url": lambda t: f"k: {base64.urlsafe_b64encode(t.encode() + b'>>>???').decode()}",
    "base64-unpadded": lambda t: f"k: {_b64(t).rstrip('=')}",
    "base64-inside": lambda t: f"k: {_b64(f'machine acme.io login x password {t} more words here')}",
    "base64-after-word": lambda t: f"https://acme.io/basic/{_b64(t + ' and more')}",
    "base64-wrapped": lambda t: "k: |\n" + textwrap.indent("\n".join(_cut(_b64(f"token {t}\n" * 3), 32)), "  "),
    "base64-wrapped-76": lambda t: "\n".join(_cut(_b64(f"token {t}\n" * 4), 76)),
    "base64-comment": lambda t: "# " + "\n# ".join(_cut(_b64(f"token {t}\n"), 24)),
    "base64-crlf": lambda t: "\r\n".join(_cut(_b64(f"token {t}\n"), 40)),
    "base64-utf16": lambda t: f"powershell -enc {base64.b64encode(t.encode('utf-16-le')).decode()}",
    "base64-binary": lambda t: f"k: {base64.b64encode(bytes(range(120, 160)) + t.encode() + bytes(range(200, 240))).decode()}",
    "base64-split": lambda t: 'k = (\n    "' + '"\n    "'.join(_cut(_b64(t), 20)) + '"\n)',
    "base64-joined": lambda t: f"k = atob([{', '.join(repr(one) for one in _cut(_b64(t), 16))}].join(''))",
    "base64-twice": lambda t: f"k: {_b64(_b64(t))}",
    "hex-of-base64": lambda t: f"k: {_b64(t).encode().hex()}",
    "escapes-split": lambda t: f'k = "{_each(t[:18], chr(92) + "x{:02x}")}" + "{_each(t[18:], chr(92) + "x{:02x}")}"',
    "plus": lambda t: f'k = "{t[:9]}" + "{t[9:]}"',
    "plus-lines": lambda t: f'k = "{t[:9]}" +\n    "{t[9:20]}" +  // more\n    "{t[20:]}"',
    "plus-parens": lambda t: f'k = ("{t[:9]}") + ("{t[9:]}")',
    "plus-before": lambda t: f"k = '{t[:9]}'\n  + '{t[9:]}'",
    "implicit": lambda t: f'k = "{t[:9]}" "{t[9:]}"',
    "implicit-prefix": lambda t: f'k = (b"{t[:9]}"\n     b"{t[9:]}")',
    "implicit-comment": lambda t: f'k = (\n    "{t[:9]}"  # first\n    "{t[9:]}"\n)',
    "php-dot": lambda t: f"$k = '{t[:9]}' . '{t[9:]}';",
    "lua-dots": lambda t: f'k = "{t[:9]}" .. "{t[9:]}"',
    "sql-pipes": lambda t: f"SELECT '{t[:9]}' || '{t[9:]}';",
    "vb-ampersand": lambda t: f'k = "{t[:9]}" & "{t[9:]}"',
    "elixir": lambda t: f'k = "{t[:9]}" <> "{t[9:]}"',
    "shell-adjacent": lambda t: f"K='{t[:9]}''{t[9:]}'",
    "shell-empty": lambda t: f'K={t[:9]}""{t[9:]}',
    "shell-continued": lambda t: f"K={t[:9]}\\\n{t[9:]}",
    "add-assign": lambda t: f'k = "{t[:9]}"\nk += "{t[9:]}"',
    "dot-assign": lambda t: f"$k = '{t[:9]}';\n$k .= '{t[9:]}';",
    "append": lambda t: f'b.append("{t[:9]}").append("{t[9:]}");',
    "python-join": lambda t: f'k = "".join(["{t[:9]}", "{t[9:20]}", "{t[20:]}"])',
    "python-join-sign": lambda t: f'k = "_".join(("{t.split("_")[0]}", "{t.split("_")[1]}"))',
    "js-join": lambda t: f"const k = ['{t[:9]}', '{t[9:20]}',\n  '{t[20:]}'].join('');",
    "js-join-sign": lambda t: f"const k = ['{t.split('_')[0]}', '{t.split('_')[1]}'].join(\"_\");",
    "go-join": lambda t: f'k := strings.Join([]string{{"{t[:9]}", "{t[9:]}"}}, "")',
    "php-implode": lambda t: f"$k = implode('', ['{t[:9]}', '{t[9:]}']);",
    "concat": lambda t: f"const k = ''.concat('{t[:9]}', '{t[9:]}');",
    "sql-concat": lambda t: f"SELECT CONCAT('{t[:9]}', '{t[9:]}');",
    "template": lambda t: f"const k = `${{'{t[:9]}'}}${{'{t[9:]}'}}`;",
    "template-some": lambda t: f"const k = `{t[:9]}${{'{t[9:]}'}}`;",
    "f-string": lambda t: f"k = f\"{{'{t[:9]}'}}{t[9:]}\"",
}  # fmt: skip

#: A password, which only its name shows: the name must still stand beside it.
NAMED: dict[str, Writer] = {
    "base64-call": lambda p: f'password = base64.b64decode("{_b64(p)}").decode()',
    "atob": lambda p: f'const password = atob("{_b64(p)}");',
    "buffer": lambda p: f'password: Buffer.from("{_b64(p)}", "base64").toString()',
    "hex": lambda p: f'password = bytes.fromhex("{p.encode().hex()}").decode()',
    "echo": lambda p: f"DB_PASSWORD=$(echo {_b64(p)} | base64 -d)",
    "x-escapes": lambda p: f'password = "{_each(p, chr(92) + "x{:02x}")}"',
    "u-escapes": lambda p: f'{{"password": "{_each(p, chr(92) + "u{:04x}")}"}}',
    "entities": lambda p: f'password="{_each(p, "&#{};")}"',
    "percent": lambda p: f"postgres://app:{_each(p, '%{:02X}')}@db.acme.io/app",
    "decimal-list": lambda p: f"password = bytes([{_each(p, '{}', ', ')}]).decode()",
    "k8s": lambda p: f"kind: Secret\ndata:\n  password: {_b64(p)}",
    "plus": lambda p: f'password = "{p[:4]}" + "{p[4:]}"',
    "python-join": lambda p: f'password = "".join(["{p[:4]}", "{p[4:]}"])',
    "escaped-json": lambda p: "\\u007b\\u0022password\\u0022\\u003a\\u0022" + p + "\\u0022\\u007d",
    "json-in-base64": lambda p: "CONFIG=" + _b64(json.dumps({"user": "app", "password": p})),
}  # fmt: skip
