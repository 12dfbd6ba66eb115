"""Lock files of every format, synthetic: entries as the tools write them, hashes from a seed."""

from __future__ import annotations

import base64
from collections.abc import Callable

from tests.doubles.secret_maker import Maker

#: Packages whose names hold the words that rules look for.
_NAMES = (
    "minipass", "fs-minipass", "minipass-collect", "passport", "passport-jwt", "password-hash",
    "secretstorage", "keyring", "key-tree", "tokenizers", "js-tokens", "jsonwebtoken", "authlib",
    "compass-core", "bypass", "passlib", "cookie-signature", "keyv", "token-stream", "pwd-check",
    "secrets-gem", "credentials", "bearer-auth", "salted-md5", "dsn-parser", "event-key",
)  # fmt: skip


def _digest(maker: Maker, size: int) -> str:
    return base64.b64encode(maker.random.randbytes(size)).decode()


def _version(maker: Maker) -> str:
    return ".".join(str(maker.random.randint(0, 30)) for _ in range(3))


def _name(maker: Maker) -> str:
    name = maker.random.choice(_NAMES)
    return maker.random.choice((name, f"{name}-{maker.value('a', 4)}", f"@{name}/core"))


def package_lock(maker: Maker, name: str, version: str) -> str:
    """One package of package-lock.json."""
    return (
        f'    "node_modules/{name}": {{\n      "version": "{version}",\n'
        f'      "resolved": "https://packages.example.org/{name}/-/{name}-{version}.tgz",\n'
        f'      "integrity": "sha512-{_digest(maker, 64)}",\n      "dependencies": {{\n'
        f'        "{_name(maker)}": "^{version}",\n        "minipass": "npm:^7.1.2"\n'
        f'      }},\n      "engines": {{ "node": ">=14.21.3" }}\n    }},\n'
    )


def yarn_v1(maker: Maker, name: str, version: str) -> str:
    """One package of yarn.lock, version 1."""
    return (
        f'"{name}@^{version}", {name}@~{version}:\n  version "{version}"\n'
        f'  resolved "https://packages.example.org/{name}/-/{name}-{version}.tgz'
        f'#{maker.value("h", 40)}"\n  integrity sha512-{_digest(maker, 64)}\n'
        f'  dependencies:\n    {_name(maker)} "^{version}"\n    minipass "^5.0.0 || ^7.1.2"\n\n'
    )


def yarn_berry(maker: Maker, name: str, version: str) -> str:
    """One package of yarn.lock since version 2."""
    return (
        f'"{name}@npm:^{version}, {name}@npm:~{version}":\n  version: {version}\n'
        f'  resolution: "{name}@npm:{version}"\n  dependencies:\n    minipass: "npm:^7.1.2"\n'
        f'    {_name(maker).lstrip("@")}: "npm:^5.0.0 || ^6.0.2 || ^{version}"\n'
        f'    passport: "patch:passport@npm%3A{version}#~/.yarn/patches/p-{maker.value("h", 10)}"\n'
        f'    keyring: "workspace:^"\n    secret-tool: "npm:{version}-beta.{version[-1]}"\n'
        f"  checksum: 10c0/{maker.value('h', 128)}\n  languageName: node\n  linkType: hard\n\n"
    )


def pnpm(maker: Maker, name: str, version: str) -> str:
    """One package of pnpm-lock.yaml, with its snapshot."""
    return (
        f"  '{name}@{version}':\n    resolution: {{integrity: sha512-{_digest(maker, 64)}}}\n"
        f"    engines: {{node: '>=14.21.3'}}\n    peerDependencies:\n      minipass: ^7.1.2\n"
        f"  {_name(maker).lstrip('@')}@{version}(passport@{version}):\n    dependencies:\n"
        f"      js-tokens: {version}\n      passport-jwt: {version}(keyv@{version})\n"
    )


def bun(maker: Maker, name: str, version: str) -> str:
    """One package of bun.lock."""
    return (
        f'    "{name}": ["{name}@{version}", "", {{ "dependencies": {{ "minipass": "^7.1.2", '
        f'"{_name(maker)}": "{version} || ^{version}" }} }}, "sha512-{_digest(maker, 64)}"],\n'
    )


def poetry(maker: Maker, name: str, version: str) -> str:
    """One package of poetry.lock."""
    plain = name.lstrip("@").replace("/", "-")
    return (
        f'[[package]]\nname = "{plain}"\nversion = "{version}"\ndescription = "Tokens and keys."\n'
        f'files = [\n    {{file = "{plain}-{version}-py3-none-any.whl", '
        f'hash = "sha256:{maker.value("h", 64)}"}},\n]\n\n[package.dependencies]\n'
        f'secretstorage = {{version = ">={version}", markers = "sys_platform == \\"linux\\""}}\n'
        f'passlib = ">={version},<2.0.dev0"\nkeyring = "^{version}"\n\n[package.extras]\n'
        f'password = ["argon2-cffi (>={version})", "passlib[bcrypt] (>=1.7.4,<2.0)"]\n\n'
    )


def uv(maker: Maker, name: str, version: str) -> str:
    """One package of uv.lock."""
    plain = name.lstrip("@").replace("/", "-")
    digits = maker.value("h", 60)
    return (
        f'[[package]]\nname = "{plain}"\nversion = "{version}"\n'
        f'source = {{ registry = "https://packages.example.org/simple" }}\ndependencies = [\n'
        f'    {{ name = "secretstorage", marker = "sys_platform == \'linux\'" }},\n]\nwheels = [\n'
        f'    {{ url = "https://files.example.org/packages/{digits[:2]}/{digits[2:4]}/{digits}/'
        f'{plain}-{version}-cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64.whl", '
        f'hash = "sha256:{maker.value("h", 64)}", size = {maker.value("d", 6)} }},\n]\n\n'
    )


def pipfile(maker: Maker, name: str, version: str) -> str:
    """One package of Pipfile.lock."""
    hashes = ",\n".join(f'                "sha256:{maker.value("h", 64)}"' for _ in range(2))
    return (
        f'        "{name}": {{\n            "hashes": [\n{hashes}\n            ],\n'
        f'            "index": "pypi",\n            "markers": "python_version >= \'3.8\'",\n'
        f'            "version": "=={version}"\n        }},\n'
    )


def pdm(maker: Maker, name: str, version: str) -> str:
    """One package of pdm.lock."""
    plain = name.lstrip("@").replace("/", "-")
    return (
        f'[[package]]\nname = "{plain}"\nversion = "{version}"\nrequires_python = ">=3.8"\n'
        f'groups = ["default", "auth"]\ndependencies = [\n    "secretstorage>={version}",\n'
        f'    "passlib[bcrypt]<2.0,>=1.7.4",\n]\nfiles = [\n'
        f'    {{file = "{plain}-{version}.tar.gz", hash = "sha256:{maker.value("h", 64)}"}},\n'
        f"]\n\n"
    )


def cargo(maker: Maker, name: str, version: str) -> str:
    """One package of Cargo.lock."""
    plain = name.lstrip("@").replace("/", "-")
    return (
        f'[[package]]\nname = "{plain}"\nversion = "{version}"\n'
        f'source = "git+https://github.com/acme/{plain}?rev={maker.value("h", 7)}'
        f'#{maker.value("h", 40)}"\nchecksum = "{maker.value("h", 64)}"\n'
        f'dependencies = [\n "secrecy",\n "zeroize {version}",\n]\n\n'
    )


def go_sum(maker: Maker, name: str, version: str) -> str:
    """One module of go.sum."""
    path = f"github.com/acme/{name.lstrip('@')}"
    pseudo = f"v0.0.0-{maker.value('d', 14)}-{maker.value('h', 12)}"
    return (
        f"{path} v{version} h1:{_digest(maker, 32)}\n"
        f"{path} v{version}/go.mod h1:{_digest(maker, 32)}\n"
        f"golang.org/x/{name.lstrip('@')} {pseudo} h1:{_digest(maker, 32)}\n"
    )


def composer(maker: Maker, name: str, version: str) -> str:
    """One package of composer.lock."""
    plain = name.lstrip("@").replace("/", "-")
    commit = maker.value("h", 40)
    return (
        f'        {{\n            "name": "symfony/{plain}",\n            "version": '
        f'"v{version}",\n'
        f'            "source": {{\n                "type": "git",\n'
        f'                "reference": "{commit}"\n            }},\n            "dist": {{\n'
        f'                "url": "https://api.example.org/zipball/{commit}",\n'
        f'                "shasum": "{maker.value("h", 40)}"\n            }},\n'
        f'            "require": {{\n                "symfony/password-hasher": "^5.4|^6.0|^7.0",\n'
        f'                "lcobucci/jwt": "~{version}",\n                "acme/secret": '
        f'">={version}"\n            }},\n'
        f'            "content-hash": "{maker.value("h", 32)}"\n        }},\n'
    )


def gemfile(maker: Maker, name: str, version: str) -> str:
    """One gem of Gemfile.lock, with its checksum."""
    plain = name.lstrip("@").replace("/", "-")
    return (
        f"    {plain} ({version})\n      jwt (>= {version}, < 3.0)\n      bcrypt_pbkdf (~> 1.0)\n"
        f"      secret-gem (= {version})\n  {plain} ({version}) sha256={maker.value('h', 64)}\n"
        f"  revision: {maker.value('h', 40)}\n"
    )


FORMATS: dict[str, Callable[[Maker, str, str], str]] = {
    "package-lock.json": package_lock,
    "yarn.lock v1": yarn_v1,
    "yarn.lock berry": yarn_berry,
    "pnpm-lock.yaml": pnpm,
    "bun.lock": bun,
    "poetry.lock": poetry,
    "uv.lock": uv,
    "Pipfile.lock": pipfile,
    "pdm.lock": pdm,
    "Cargo.lock": cargo,
    "go.sum": go_sum,
    "composer.lock": composer,
    "Gemfile.lock": gemfile,
}


def lock_file(kind: str, entries: int, seed: int) -> bytes:
    """Make a lock file of this format with so many entries."""
    maker = Maker(seed)
    made = (FORMATS[kind](maker, _name(maker), _version(maker)) for _ in range(entries))
    return "".join(made).encode()
