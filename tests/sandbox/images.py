"""Images for tests: variants of the sandbox's image, made on the running engine."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

import docker

from tests.sandbox.conftest import IMAGE, SOCKET


def _added(archive: tarfile.TarFile, name: str, data: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(data), 0o755
    if name.endswith("/"):
        entry.type, entry.mode = tarfile.DIRTYPE, 0o777
    archive.addfile(entry, io.BytesIO(data))


def archive_of(files: dict[str, bytes]) -> bytes:
    """Return a tar archive of these files, and of folders that everybody may write to."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, data in files.items():
            _added(archive, name, data)
    return buffer.getvalue()


@contextmanager
def engine() -> Iterator[docker.APIClient]:
    """Connect to the running engine."""
    client = docker.APIClient(f"unix://{SOCKET}")
    try:
        yield client
    finally:
        client.close()


@contextmanager
def variant(*changes: str, files: dict[str, bytes] | None = None) -> Iterator[str]:
    """Make an image like the sandbox's, with changes of a Dockerfile and more files; its name."""
    name = f"variant-{uuid.uuid4().hex[:12]}"
    with engine() as client:
        made = client.create_container(IMAGE or "orchestrator-sandbox:local", ["true"])
        client.put_archive(made, "/", archive_of(files or {}))
        client.commit(made, name, "local", changes="\n".join(changes) or None)
        client.remove_container(made)
        try:
            yield f"{name}:local"
        finally:
            client.remove_image(f"{name}:local", force=True)


@contextmanager
def bare(architecture: str = "amd64") -> Iterator[str]:
    """Make an image without any program, for an architecture; its name."""
    name = f"bare-{uuid.uuid4().hex[:12]}:local"
    layer = archive_of({"file": b""})
    layers = {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}"]}
    config = {"architecture": architecture, "os": "linux", "config": {}, "rootfs": layers}
    manifest = [{"Config": "config.json", "RepoTags": [name], "Layers": ["layer.tar"]}]
    files = {
        "config.json": json.dumps(config).encode(),
        "layer.tar": layer,
        "manifest.json": json.dumps(manifest).encode(),
    }
    with engine() as client:
        list(client.load_image(archive_of(files)))
        try:
            yield name
        finally:
            client.remove_image(name, force=True)
