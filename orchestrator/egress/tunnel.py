"""CONNECT: a way to hosts the operator has named, at addresses that are public."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from ipaddress import ip_address

from orchestrator.egress.addresses import Address, is_public
from orchestrator.egress.connection import ProxyConnection, Refused
from orchestrator.log import get_logger

#: A tunnel on which nothing moves for so long is closed.
IDLE_S = 600.0
_CONNECT_TIMEOUT_S = 30.0
_CHUNK_BYTES = 64 * 1024

log = get_logger("egress")

Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]
#: Gives the addresses of a name; raises OSError.
Resolve = Callable[[str], Awaitable[Sequence[Address]]]


async def resolve_here(name: str) -> Sequence[Address]:
    """Ask this host's resolver."""
    found = await asyncio.get_running_loop().getaddrinfo(name, None, type=socket.SOCK_STREAM)
    return [ip_address(entry[4][0]) for entry in found]


@dataclass(frozen=True)
class Tunnels:
    """Opens tunnels; `hosts` are `name:port`, in lower case."""

    hosts: Collection[str]
    resolve: Resolve = resolve_here
    is_public: Callable[[Address], bool] = is_public

    async def connect(self, target: str) -> Stream:
        """Connect to a `name:port`.

        Raises:
            Refused: it is not allowed, or (502) not reached.
        """
        if target not in self.hosts:
            msg = f"{target} is not one of the allowed hosts"
            raise Refused(msg)
        name, _, port = target.rpartition(":")
        try:
            async with asyncio.timeout(_CONNECT_TIMEOUT_S):
                addresses = await self.resolve(name.strip("[]"))
        except (OSError, UnicodeError) as error:
            msg = f"{target} cannot be resolved"
            raise Refused(msg, status=HTTPStatus.BAD_GATEWAY) from error
        # One that is not public spoils the name. Connected to is what was looked at: whoever owns
        # the name cannot answer with something else the next time it is asked.
        if not all(map(self.is_public, addresses)):
            msg = f"{target} has an address that is not public"
            raise Refused(msg)
        for address in addresses:
            with suppress(OSError):
                async with asyncio.timeout(_CONNECT_TIMEOUT_S):
                    return await asyncio.open_connection(str(address), int(port))
        msg = f"{target} does not answer"
        raise Refused(msg, status=HTTPStatus.BAD_GATEWAY)

    async def carry(self, client: ProxyConnection, outside: Stream) -> None:
        """Tell the client that it is connected, and copy both ways till both are over or stuck."""
        reader, writer = outside
        loop = asyncio.get_running_loop()
        try:
            async for _ in client.body():
                pass
            await client.begin(HTTPStatus.OK, [])
            writer.write(client.trailing())
            async with asyncio.timeout(IDLE_S) as idle, asyncio.TaskGroup() as both:

                def moved() -> None:
                    idle.reschedule(loop.time() + IDLE_S)

                both.create_task(_copy(client.reader, writer, moved))
                both.create_task(_copy(reader, client.writer, moved))
        except* OSError as broken:
            log.debug("tunnel ended", reason=str(broken))
        finally:
            writer.transport.abort()


async def _copy(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, moved: Callable[[], None]
) -> None:
    # A half that is over leaves the other one open; one that breaks ends both.
    while data := await reader.read(_CHUNK_BYTES):
        writer.write(data)
        await writer.drain()
        moved()
    if writer.can_write_eof():
        writer.write_eof()
