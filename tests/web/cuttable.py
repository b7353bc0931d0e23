"""A network that can be cut: a TCP relay between a page and its server."""

import asyncio
from contextlib import suppress
from types import TracebackType
from typing import Self

PIECE_BYTES = 65_536


class CuttableNetwork:
    """Relays connections from a port of its own to one of this machine.

    Args:
        port: of the server.
    """

    def __init__(self, port: int) -> None:
        self.port = 0
        self.refused = 0
        """Connections that were turned away while the network was cut."""
        self._target = port
        self._is_cut = False
        self._thawed = asyncio.Event()
        self._thawed.set()
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._relays: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        """Where the page is, through this network."""
        return f"http://localhost:{self.port}/"

    def cut(self) -> None:
        """Break all connections, and refuse new ones."""
        self._is_cut = True
        for writer in self._writers:
            writer.transport.abort()

    def lead_to(self, port: int) -> None:
        """Lead new connections to another server, as a load balancer would."""
        self._target = port

    def fall_silent(self) -> None:
        """Carry nothing any more and say so to nobody, as when a phone leaves its network; those who connect wait."""
        self._thawed.clear()

    def mend(self) -> None:
        """Carry new connections; those that were there before a silence stay silent."""
        self._is_cut = False
        for relay in self._relays:
            relay.cancel()
        self._thawed = asyncio.Event()
        self._thawed.set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        assert self._server is not None
        self._server.close()
        self.cut()
        self.mend()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        if self._is_cut:
            self.refused += 1
            writer.transport.abort()
            return
        await self._thawed.wait()
        with suppress(OSError):
            there, back = await asyncio.open_connection("localhost", self._target)
            self._writers.add(back)
            self._relay(reader, back)
            self._relay(there, writer)

    def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(_carry(reader, writer, self._thawed))
        self._relays.add(task)
        task.add_done_callback(self._relays.discard)


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, thawed: asyncio.Event) -> None:
    with suppress(OSError):
        while piece := await reader.read(PIECE_BYTES):
            await thawed.wait()
            writer.write(piece)
            await writer.drain()
    writer.close()
