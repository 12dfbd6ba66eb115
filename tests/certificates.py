"""Certificates that a test makes for a server of its own."""

from __future__ import annotations

import ssl
import subprocess
from pathlib import Path


def certificate(folder: Path, address: str) -> tuple[Path, ssl.SSLContext]:
    """Make a certificate for this address; returns what trusts it, and what serves with it."""
    trusted, key = folder / "remote.pem", folder / "remote.key"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-nodes", "-days", "2", "-subj", "/CN=remote"),
            *("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"),
            *("-addext", f"subjectAltName=IP:{address}"),
            *("-keyout", str(key), "-out", str(trusted)),
        ],
        check=True,
        capture_output=True,
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(trusted, key)
    return trusted, context
