"""The one secret this system signs with: fingerprints of found secrets, the chain of the audit."""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from pathlib import Path

from orchestrator.errors import SettingsInvalid
from orchestrator.settings import Settings

_KEY_BYTES = 32


def signing_key(settings: Settings, purpose: str) -> bytes:
    """Return the key for one purpose, derived from ORCHESTRATOR_SIGNING_KEY.

    Where none is set, a random one is made once in the home; several hosts must share one.

    Raises:
        SettingsInvalid: the home's key cannot be read or made.
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
            fresh.touch(mode=0o600)
            fresh.write_bytes(secrets.token_bytes(_KEY_BYTES))
            try:
                # Whole or not at all, and the first of several processes wins.
                path.hardlink_to(fresh)
            except FileExistsError:
                pass
            finally:
                fresh.unlink()
        key = path.read_bytes()
    except OSError as error:
        msg = f"{path} cannot be read or made ({error.strerror})."
        raise SettingsInvalid(msg, action="Set ORCHESTRATOR_SIGNING_KEY.") from error
    if len(key) != _KEY_BYTES:
        msg = f"{path} is not a key of this system."
        raise SettingsInvalid(msg, action="Restore it, or set ORCHESTRATOR_SIGNING_KEY.")
    return key
