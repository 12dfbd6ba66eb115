"""The server of the Docker socket proxy: it reads, checks and forwards requests to the engine."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from contextlib import closing
from http import HTTPStatus
from pathlib import Path

import h11
import httpx
from pydantic import BaseModel, Field, ValidationError

from orchestrator.docker_proxy.calls import Call, read_call
from orchestrator.docker_proxy.container import SYSTEM, Rules
from orchestrator.egress.connection import Headers, ProxyConnection
from orchestrator.interfaces.provider import Refused
from orchestrator.log import get_logger
from orchestrator.settings import Settings

#: The arguments of a program with its environment may have about this size.
BODY_LIMIT_BYTES = 4 * 2**20
_CHUNK_BYTES = 64 * 1024
_ENGINE_TIMEOUT_S = 15.0
_SHOWN_CHARACTERS = 300

log = get_logger("engine")


class _Mounted(BaseModel):
    source: str = Field(alias="Source")
    read_only: bool = Field(alias="ReadOnly", default=False)


class _HostConfig(BaseModel):
    mounts: tuple[_Mounted, ...] = Field(alias="Mounts", default=())


class _Config(BaseModel):
    labels: Mapping[str, str] | None = Field(alias="Labels", default=None)


class _Inspected(BaseModel):
    """The fields of the engine's description of a container that the proxy checks."""

    container_id: str = Field(alias="Id", pattern=r"^[0-9a-f]{64}$")
    config: _Config = Field(alias="Config")
    host_config: _HostConfig = Field(alias="HostConfig")


class _Named(BaseModel):
    """The names of an image, as the engine has them."""

    tags: tuple[str, ...] | None = Field(alias="RepoTags", default=None)
    digests: tuple[str, ...] | None = Field(alias="RepoDigests", default=None)


class Filter:
    """Serves the clients of one system and forwards to the engine that listens at `engine`."""

    def __init__(self, settings: Settings, engine: Path) -> None:
        self._rules = Rules(settings)
        self._engine = engine
        self._refused = 0
        #: The images by id that had an allowed name: a program may outlast the name of its image.
        self._known: set[str] = set()

    async def serve(self, path: Path) -> None:
        """Listen on a unix socket that this user and group may use, until cancelled."""
        server = await asyncio.start_unix_server(self._meet, path)
        os.chmod(path, 0o660)  # noqa: PTH101 - it does not block
        log.info("listening", socket=str(path), engine=str(self._engine))
        async with server:
            await server.serve_forever()

    async def _meet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        client = ProxyConnection(reader, writer, as_error=_as_error)
        try:
            # One request for each connection: bytes after it are never read as a request.
            if request := await client.request():
                await self._pass(client, request)
        except Refused as refusal:
            self._record(refusal)
            await client.refuse(refusal)
        except (OSError, h11.ProtocolError) as error:
            # A client or an engine that disconnects ends only its own connection.
            log.debug("connection ended", reason=f"{type(error).__name__}: {error}")
        finally:
            client.abort()

    async def _pass(self, client: ProxyConnection, request: h11.Request) -> None:
        method, target = request.method.decode(), request.target.decode("ascii", "replace")
        call = read_call(
            method, target, allows_image=self._rules.allows_image, system=self._rules.system
        )
        body = await _body_of(client)
        if call.is_creation:
            body, image = self._rules.checked(call.query["name"], body)
            if image and image not in self._known:
                await self._check_image(image)
        elif body:
            msg = f"{method} {call.path} has no body"
            raise Refused(msg)
        container_id = await self._inspect(call) if call.container else ""
        await self._carry(client, call, container_id, body)

    async def _inspect(self, call: Call) -> str:
        """Return the id of the container of a call, if it belongs to this system."""
        answer = await self._ask(f"/containers/{call.container}/json")
        if answer.status_code == HTTPStatus.NOT_FOUND:
            # No action is possible, and the sandbox needs the response that the container does not
            # exist.
            msg = f"no such container: {call.container}"
            raise Refused(msg, status=HTTPStatus.NOT_FOUND)
        try:
            found = _Inspected.model_validate_json(answer.raise_for_status().content)
        except (httpx.HTTPStatusError, ValidationError) as error:
            raise _unanswered(error) from error
        if (found.config.labels or {}).get(SYSTEM) != self._rules.system:
            msg = f"container {call.container} is not of this system"
            raise Refused(msg)
        if call.action == "/start":
            # The engine mounts at the start, and the source may have changed since the creation.
            for mount in found.host_config.mounts:
                self._rules.check_source(mount.source, writable=not mount.read_only)
        return found.container_id

    async def _check_image(self, image: str) -> None:
        """Check that an image has a name that repositories may use."""
        answer = await self._ask(f"/images/{image}/json")
        if answer.status_code == HTTPStatus.NOT_FOUND:
            msg = f"No such image: {image}"
            raise Refused(msg, status=HTTPStatus.NOT_FOUND)
        try:
            found = _Named.model_validate_json(answer.raise_for_status().content)
        except (httpx.HTTPStatusError, ValidationError) as error:
            raise _unanswered(error) from error
        names = (*(found.tags or ()), *(found.digests or ()))
        if not any(map(self._rules.allows_image, names)):
            msg = f"image {image} ({', '.join(names) or 'without a name'}) is not allowed"
            raise Refused(msg)
        self._known.add(image)

    async def _ask(self, path: str) -> httpx.Response:
        transport = httpx.AsyncHTTPTransport(uds=str(self._engine))
        try:
            async with httpx.AsyncClient(transport=transport, timeout=_ENGINE_TIMEOUT_S) as engine:
                return await engine.get(f"http://engine{path}")
        except httpx.HTTPError as error:
            raise _unanswered(error) from error

    async def _carry(
        self, client: ProxyConnection, call: Call, container_id: str, body: bytes
    ) -> None:
        """Send the request to the engine, and copy the response until either side ends.

        No further byte of the client reaches the engine, also if the connection is upgraded.
        """
        is_stream = call.action == "/attach"
        headers: Headers = [(b"host", b"engine"), (b"connection", b"close")]
        if is_stream:
            headers = [(b"host", b"engine"), (b"connection", b"upgrade"), (b"upgrade", b"tcp")]
        if call.method == "POST":
            headers.append((b"content-length", b"%d" % len(body)))
        if body:
            headers.append((b"content-type", b"application/json"))
        asked = h11.Connection(h11.CLIENT)
        request = h11.Request(method=call.method, target=call.target(container_id), headers=headers)
        try:
            reader, writer = await asyncio.open_unix_connection(self._engine)
        except OSError as error:
            raise _unanswered(error) from error
        with closing(writer):
            for event in (request, h11.Data(data=body), h11.EndOfMessage()):
                writer.write(asked.send(event) or b"")
            answer = asyncio.create_task(_copy(reader, client.writer))
            leaving = asyncio.create_task(_drained(client.reader))
            try:
                await asyncio.wait((answer, leaving), return_when=asyncio.FIRST_COMPLETED)
                if answer.done():
                    answer.result()
                    await client.close()
            finally:
                answer.cancel()
                leaving.cancel()
                await asyncio.gather(answer, leaving, return_exceptions=True)

    def _record(self, refusal: Refused) -> None:
        if refusal.status == HTTPStatus.NOT_FOUND:
            return
        self._refused += 1
        log.warning("refused", reason=refusal.reason[:_SHOWN_CHARACTERS], total=self._refused)


async def _body_of(client: ProxyConnection) -> bytes:
    body = bytearray()
    async for piece in client.body():
        body += piece
        if len(body) > BODY_LIMIT_BYTES:
            msg = f"the body is over {BODY_LIMIT_BYTES} bytes"
            raise Refused(msg, status=HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
    return bytes(body)


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(_CHUNK_BYTES):
        writer.write(data)
        await writer.drain()


async def _drained(reader: asyncio.StreamReader) -> None:
    while await reader.read(_CHUNK_BYTES):
        pass


def _unanswered(error: Exception) -> Refused:
    msg = f"the engine does not answer ({type(error).__name__})"
    return Refused(msg, status=HTTPStatus.BAD_GATEWAY)


def _as_error(reason: str) -> dict[str, str]:
    return {"message": f"Engine filter: {reason}"}
