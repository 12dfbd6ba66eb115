"""Reads the settings from the environment, `.env` and `*_FILE` secrets."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from dotenv import dotenv_values
from pydantic import SecretStr, ValidationError

from orchestrator.errors import SettingsInvalid
from orchestrator.settings.record import BACKEND_PREFIX, Settings

#: The variables that programs we start may inherit; all others are removed.
_HOST_NAMES = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "SSH_AUTH_SOCK", "https_proxy", "no_proxy")
#: For these variables an empty file means "no secret": deploy/secrets.sh always creates the file.
#: For any other secret an empty file is a mistake and is refused.
_MAY_BE_EMPTY = frozenset(
    {
        *("CLAUDE_API_KEY", "ANTHROPIC_API_KEY", "OPENAI_API_KEY", "GEMINI_API_KEY"),
        "OPENAI_COMPATIBLE_API_KEY",
    }
)


def variables() -> frozenset[str]:
    """Return the name of every variable that a field reads."""
    return frozenset(
        str(field.validation_alias)
        for field in Settings.model_fields.values()
        if field.validation_alias
    )


def _secrets() -> frozenset[str]:
    fields = (f for f in Settings.model_fields.values() if "SecretStr" in str(f.annotation))
    return frozenset(str(field.validation_alias) for field in fields)


def load_settings(environ: dict[str, str] | None = None, *, dotenv: Path | None = None) -> Settings:
    """Read the settings: the environment precedes `.env`, and a value precedes its `*_FILE`.

    Raises:
        SettingsInvalid: a value is wrong, an ORCHESTRATOR_* or BUDGET_* name is unknown, a file
            is unreadable, or the file of a secret is empty.
    """
    dotenv = dotenv or _own_folder() / ".env"
    given = {name: value or "" for name, value in dotenv_values(dotenv).items()}
    given |= os.environ if environ is None else environ
    known = variables()
    values: dict[str, Any] = {name: given[name] for name in known if given.get(name)}
    files = {name: path for name in known if (path := given.get(f"{name}_FILE"))}
    for name in files.keys() - values.keys():
        values[name] = _read_secret(f"{name}_FILE", files[name])
    for name in [name for name in _secrets() & values.keys() if not values[name].strip()]:
        if name not in _MAY_BE_EMPTY:
            variable = name if given.get(name) else f"{name}_FILE"
            msg = f"{variable}: the secret is empty; give one, or leave the variable out."
            raise SettingsInvalid(msg)
        del values[name]
    for name in given:
        if name.startswith(("ORCHESTRATOR_", "BUDGET_")) and not _is_known(name, known):
            msg = f"{name}: there is no such setting."
            raise SettingsInvalid(msg)
    try:
        host_env = {name: given[name] for name in _HOST_NAMES if given.get(name)}
        names = values.get("ORCHESTRATOR_SETUP_VARIABLES", "").replace(",", " ").split()
        settings = Settings(
            **values,
            setup_values={name: given[name] for name in names if given.get(name)},
            backends=_backend_options(given),
            host_env=host_env,
            sources=frozenset(map(Path.absolute, (dotenv, *map(Path, files.values())))),
        )
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        name = ".".join(str(part) for part in fault["loc"])
        message = fault["msg"].removeprefix("Value error, ")
        detail = f"{name}: {message}" if name else message
        raise SettingsInvalid(detail.rstrip(".") + ".") from error
    return _with_generated_password(settings)


def _own_folder() -> Path:
    """Return the folder where this process started; the root if it has been removed since."""
    try:
        return Path.cwd()
    except FileNotFoundError:
        return Path("/")


def _with_generated_password(settings: Settings) -> Settings:
    """Add the password that `orch up` generated for its Valkey, if no other is set."""
    if not settings.is_embedded or settings.valkey_password:
        return settings
    try:
        password = settings.valkey_password_file.read_text(encoding="utf-8").strip()
    except (FileNotFoundError, NotADirectoryError):
        return settings
    except OSError as error:
        msg = f"{settings.valkey_password_file} cannot be read ({error.strerror})."
        raise SettingsInvalid(msg) from error
    if not password:
        msg = f"{settings.valkey_password_file} is empty: remove it, or set VALKEY_PASSWORD."
        raise SettingsInvalid(msg)
    return settings.model_copy(update={"valkey_password": SecretStr(password)})


def _is_known(name: str, known: frozenset[str]) -> bool:
    return name in known or name.removesuffix("_FILE") in known or name.startswith(BACKEND_PREFIX)


def _read_secret(name: str, path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except OSError as error:
        msg = f"{name}: {path} cannot be read ({error.strerror})."
        raise SettingsInvalid(msg) from error


def _backend_options(given: dict[str, str]) -> dict[str, dict[str, str]]:
    options: dict[str, dict[str, str]] = {}
    for name, value in given.items():
        if name.startswith(BACKEND_PREFIX):
            backend, _, option = name.removeprefix(BACKEND_PREFIX).lower().partition("__")
            if not option:
                msg = f"{name}: must be {BACKEND_PREFIX}<NAME>__<OPTION>."
                raise SettingsInvalid(msg)
            options.setdefault(backend, {})[option] = value
    return options
