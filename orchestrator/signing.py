"""The signing key of this system, for the fingerprints of secrets and the chain of the audit."""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from pathlib import Path

from orchestrator.errors import SettingsInvalid
from orchestrator.settings import Settings
from orchestrator.settings.private_file import sync_names, write_new

_KEY_BYTES = 32


def signing_key(settings: Settings, purpose: str) -> bytes:
    """Return the key for one purpose, derived from ORCHESTRATOR_SIGNING_KEY.

    If it is not set, a random key is created once in `ORCHESTRATOR_HOME`, mode 0600. Several hosts
    must share one key.

    Raises:
        SettingsInvalid: the key in the home cannot be read or created, or is malformed.
    """
    given = settings.signing_key
    master = given.get_secret_value().encode() if given else _own_key(settings.home)
    return hmac.digest(master, purpose.encode(), hashlib.sha256)


def _own_key(home: Path) -> bytes:
    path = home / "signing.key"
    try:
        home.mkdir(parents=True, exist_ok=True)
        fresh = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
        if not path.exists():
            write_new(fresh, secrets.token_bytes(_KEY_BYTES))
            try:
                # The link is atomic: no process reads a partial key, and the first process wins.
                path.hardlink_to(fresh)
            except FileExistsError:
                pass
            finally:
                fresh.unlink()
            # With another key after a power failure, no entry of the audit could be verified.
            sync_names(home)
        key = path.read_bytes()
    except OSError as error:
        msg = f"{path} cannot be read or made ({error.strerror})."
        raise SettingsInvalid(msg, action="Set ORCHESTRATOR_SIGNING_KEY.") from error
    if len(key) != _KEY_BYTES:
        msg = f"{path} is not a key of this system."
        raise SettingsInvalid(msg, action="Restore it, or set ORCHESTRATOR_SIGNING_KEY.")
    return key
