"""CONNECT tunnels to hosts that the operator has allowed, at public addresses."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from ipaddress import ip_address

from orchestrator.egress.addresses import Address, is_public
from orchestrator.egress.connection import ProxyConnection
from orchestrator.interfaces.provider import Refused
from orchestrator.log import get_logger

#: A tunnel without traffic is closed after this time.
IDLE_S = 600.0
_CONNECT_TIMEOUT_S = 30.0
_CHUNK_BYTES = 64 * 1024

log = get_logger("egress")

Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]
#: Returns the addresses of a name; raises OSError.
Resolve = Callable[[str], Awaitable[Sequence[Address]]]


async def resolve_here(name: str) -> Sequence[Address]:
    """Resolve a name with this host's resolver."""
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
        # One address that is not public makes the name invalid. The connection uses the checked
        # addresses, because the owner of the name could return others at the next resolution.
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
        """Report the connection to the client; copy both ways until both are over or stalled."""
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
    # If one direction ends, the other stays open; if one breaks, both end.
    while data := await reader.read(_CHUNK_BYTES):
        writer.write(data)
        await writer.drain()
        moved()
    if writer.can_write_eof():
        writer.write_eof()
