"""Flower's configuration: its login, read-only access, and its address."""

from __future__ import annotations

import http.client
import secrets
from pathlib import Path

from orchestrator.cli.local.instance import run_dir, write_private
from orchestrator.errors import SettingsInvalid
from orchestrator.settings import Settings
from orchestrator.settings.private_file import sync_names, write_new

HOST = "127.0.0.1"
_PROBE_TIMEOUT_S = 5.0
#: As many bits as a random UUID.
_PASSWORD_BYTES = 16


def config_file(settings: Settings) -> Path:
    """Return the path of Flower's configuration."""
    return run_dir(settings.home) / "flowerconfig.py"


def password_file(settings: Settings) -> Path:
    """Return the path of the generated password, for settings without one."""
    return settings.home / "flower-password"


def write_config(settings: Settings) -> None:
    """Write Flower's configuration, readable only by this user.

    A file instead of options: argv contains no password, and Flower then ignores a
    `flowerconfig.py` in its working directory and FLOWER_* variables for the options set here.
    """
    login = f"{settings.flower_user}:{_password(settings)}"
    options = {
        "address": HOST,
        "port": settings.flower_port,
        "unix_socket": "",
        "basic_auth": [login],
        "auth": "",
        "read_only": True,
        "enable_events": True,
        "debug": False,
        "xheaders": False,
        "persistent": False,
    }
    lines = [f"{name} = {value!r}" for name, value in options.items()]
    write_private(config_file(settings), "\n".join(lines) + "\n")


def flower_lacks(settings: Settings) -> str | None:
    """Return why Flower is not ready; None if it is."""
    connection = http.client.HTTPConnection(HOST, settings.flower_port, timeout=_PROBE_TIMEOUT_S)
    try:
        connection.request("GET", "/healthcheck")
        answer = connection.getresponse().read()
    except (OSError, http.client.HTTPException) as error:
        return f"no answer at http://{HOST}:{settings.flower_port} ({error})"
    finally:
        connection.close()
    return None if answer == b"OK" else "what answers there is not Flower"


def _password(settings: Settings) -> str:
    if settings.flower_password:
        return settings.flower_password.get_secret_value()
    return generated_password(password_file(settings), "ORCHESTRATOR_FLOWER_PASSWORD")


def generated_password(path: Path, variable: str) -> str:
    """Return the password of a file that only this user may read; create it at the first call.

    Raises:
        SettingsInvalid: the file is empty, or cannot be created; `variable` replaces it.
    """
    try:
        write_new(path, secrets.token_urlsafe(_PASSWORD_BYTES).encode())
        sync_names(path.parent)
    except FileExistsError:
        if password := path.read_text("utf-8").strip():
            return password
        msg = f"{path} is empty: remove it, or set {variable}."
        raise SettingsInvalid(msg) from None
    except OSError as error:
        msg = f"{path} cannot be created ({error.strerror})."
        raise SettingsInvalid(msg) from error
    return path.read_text("utf-8")
