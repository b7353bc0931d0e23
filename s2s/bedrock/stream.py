"""One live stream to Nova Sonic.

There is no task and no queue here: `send` checks, encodes, signs and writes a whole group without a pause in between, so that a cancelled
caller tears neither a group nor the chain of signatures; `receive` decodes what the exchange holds, in the caller's own task. What either
waits for is the exchange's, bounded by HTTP/2's windows on both sides.
"""

import asyncio
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from enum import Enum

import structlog

from s2s import failures
from s2s.bedrock.event_stream import MessageSplitter
from s2s.bedrock.faults import model_error
from s2s.bedrock.interfaces import StreamBroken, StreamRefused
from s2s.bedrock.plugs import OutputReader
from s2s.bedrock.sdk import Call
from s2s.errors import CodecError, LocalProtocolError, ModelError
from s2s.events import InputEvent, OutputEvent, SessionEnd
from s2s.protocol import StreamProtocol

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Timeouts:
    """How long a stream waits for the other end, in seconds: whatever fails, a user is told within 3 s."""

    connect: float = 2.5
    """Name resolution, TCP, TLS and the peer's settings."""
    opening: float = 2.8
    """From nothing to the response's head, connecting included. The service answers once it has the first events."""
    write: float = 1.6
    """For the peer to make room. By then 80 KB wait, its window and our own (ROOM_BYTES), which are 1.2 s of speech: 2.8 s altogether."""
    closing: float = 2.0
    """For the model to end its side after our sessionEnd."""


class Phase(Enum):
    """Life of a stream, beside the protocol's own state."""

    OPEN = "open"
    LEAVING = "leaving"
    """Our sessionEnd or end of input was sent: an end of the response is in order."""
    ENDED = "ended"
    """The response has ended in order."""
    CLOSED = "closed"
    """Nobody reads any more."""


class NovaSonicStream:
    """A stream as the session sees it (session.interfaces.ModelStream). Made by NovaSonicClient.

    Args:
        call: freshly invoked.
        protocol: what may be sent.
        timeouts: how long to wait.
        signed_until: when the credentials that sign it expire; None for never.
    """

    def __init__(self, *, call: Call, protocol: StreamProtocol, timeouts: Timeouts, signed_until: datetime | None) -> None:
        self.signed_until = signed_until
        self._exchange, self._encoder, self._accepted = call.exchange, call.encoder, call.accepted
        self._protocol = protocol
        self._timeouts = timeouts
        self._phase = Phase.OPEN
        self._failure: ModelError | None = None
        self._undecodable = 0
        self._reader: OutputReader | None = None
        self._splitter = MessageSplitter()
        self._unread: deque[OutputEvent] = deque()
        self._sending = asyncio.Lock()
        self._closing: asyncio.Task[None] | None = None

    @property
    def is_closed(self) -> bool:
        """Return whether everything has been let go of."""
        return self._closing is not None and self._closing.done()

    @property
    def undecodable_events(self) -> int:
        """Return how many of the model's events were dropped because they could not be read."""
        return self._undecodable

    async def start(self, wires: Sequence[bytes]) -> None:
        """Send the opening and wait until the service accepts the stream.

        Raises:
            StreamRefused: the service did not look at it; it may be tried again.
            ModelError: it does not, for the reason given.
        """
        with suppress(StreamBroken):  # refused before we were done: the response says why
            self._write(wires)
        try:
            self._reader = await asyncio.shield(self._accepted)
        except StreamRefused:
            raise
        except Exception as error:  # whatever the SDK makes of a refusal
            failure = model_error(error)
            if failure.code == failures.LOST.code:  # a stream that was never accepted was not lost
                failure = failures.UNREACHABLE.error(failure.detail)
            self._failure = failure
            raise failure from error

    async def send(self, events: Sequence[InputEvent]) -> None:
        """Send events as one group; return when the transport took them.

        Raises:
            ModelError: the stream failed, or the peer did not make room in time.
            LocalProtocolError: the group breaks a rule of the stream; nothing of it was sent.
        """
        if not self._exchange.has_room or self._sending.locked():
            async with self._sending:  # the lock keeps those who wait in their order
                if not self._exchange.has_room:
                    await self._make_room()
                self._check_open()
        else:
            self._check_open()
        wires = (self._protocol.send(events[0]),) if len(events) == 1 else self._protocol.send_group(events)
        try:
            self._write(wires)
            if events and isinstance(events[-1], SessionEnd):
                self._end_input()
        except StreamBroken:
            await self._learn_the_end()
            raise self._failure or failures.LOST.error("the stream is closed") from None

    async def receive(self) -> OutputEvent | None:
        """Return the next event, or None after the orderly end that our sessionEnd asked for. May be cancelled and called again.

        Raises:
            ModelError: the stream failed or ended by itself.
        """
        while not self._unread:
            if self._failure is not None:
                raise self._failure
            if self._phase in (Phase.ENDED, Phase.CLOSED):
                return None
            await self._read()
        return self._unread.popleft()

    async def close(self) -> None:
        """Close in order if the stream lives, else let it go. Returns in bounded time, also when called twice or cancelled."""
        if self._closing is None:
            self._closing = asyncio.get_running_loop().create_task(self._close(), name="nova-sonic-close")
        await asyncio.shield(self._closing)

    def _check_open(self) -> None:
        if self._failure is not None or self._phase is not Phase.OPEN:
            raise self._failure or failures.LOST.error("the stream is closed")

    def _write(self, wires: Sequence[bytes]) -> None:
        date_ms = time.time_ns() // 1_000_000
        for wire in wires:
            self._exchange.write(self._encoder.encode_event(wire, date_ms))

    def _end_input(self) -> None:
        self._exchange.write(self._encoder.encode_end(time.time_ns() // 1_000_000))
        self._exchange.end_input()
        self._phase = Phase.LEAVING

    async def _make_room(self) -> None:
        """Wait for the peer, or find out how the stream has ended."""
        try:
            async with asyncio.timeout(self._timeouts.write):
                await self._exchange.room()
        except TimeoutError:
            await self._fail(failures.STALLED.error(f"nothing was taken for {self._timeouts.write:g} s"))
        except StreamBroken:
            await self._learn_the_end()

    async def _learn_the_end(self) -> None:
        """Read a dead stream to its end: the reason may be among what has come, behind events that nobody has read yet."""
        while self._is_live:
            await self._read()

    @property
    def _is_live(self) -> bool:
        return self._failure is None and self._phase in (Phase.OPEN, Phase.LEAVING)

    async def _read(self) -> None:
        """Take what has come, waiting for the first of it; several may wait, since nothing comes between taking and decoding."""
        try:
            data = await self._exchange.read()
        except StreamBroken as error:
            await self._fail(failures.LOST.error(str(error)))
            return
        if data is None or self._reader is None:
            await self._end_of_response()
        else:
            await self._decode(data, self._reader)

    async def _decode(self, data: bytes, reader: OutputReader) -> None:
        try:
            for message in self._splitter.feed(data):
                event = reader.plain_event(message)
                if event is None:
                    event = await reader.other_event(message)
                if event is not None:
                    self._deliver(event)
        except Exception as error:  # noqa: BLE001  # whatever the SDK makes of a message that is no plain event
            await self._fail(model_error(error))

    def _deliver(self, data: bytes) -> None:
        try:
            self._unread.append(self._protocol.receive_data(data))
        except CodecError as error:
            self._undecodable += 1
            log.warning("model_event.dropped", flaw=error.flaw.value, size_bytes=len(data))

    async def _end_of_response(self) -> None:
        if not self._splitter.is_at_border:
            await self._fail(failures.LOST.error("the response ended inside a message"))
        elif self._phase is Phase.OPEN:
            await self._fail(failures.LOST.error("the model ended the stream without being asked to"))
        else:
            self._phase = Phase.ENDED

    async def _fail(self, error: ModelError) -> None:
        """Take note of the end, and let go of the stream, so that whoever waits on its other side is told at once."""
        if self._failure is None and self._phase is not Phase.CLOSED:
            self._failure = error
        await self._exchange.close()

    async def _close(self) -> None:
        if self._failure is None and self._reader is not None:
            with suppress(TimeoutError, ModelError, LocalProtocolError, StreamBroken):
                async with asyncio.timeout(self._timeouts.closing):
                    await self._say_goodbye()
        self._phase = Phase.CLOSED
        self._unread.clear()
        await self._exchange.close()
        await asyncio.wait({self._accepted})

    async def _say_goodbye(self) -> None:
        if self._phase is Phase.OPEN:
            await self.send(self._protocol.closing_events())
            if self._phase is Phase.OPEN:  # a prompt without a system block: nothing that can be said ends it
                self._end_input()
        while self._phase is Phase.LEAVING and self._failure is None:
            self._unread.clear()
            await self._read()
