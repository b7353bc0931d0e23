"""One live stream to Nova Sonic.

Two tasks, owned by the stream: the writer sends one group after the other, the reader fills a bounded queue. Callers only ever wait for
those, so that a cancelled caller tears neither a group nor the chain of signatures nor the reader. The SDK forbids more: parallel sends
break the signatures, and a cancelled receive destroys the stream.
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

import structlog
from aws_sdk_bedrock_runtime.models import (
    BidirectionalInputPayloadPart,
    InvokeModelWithBidirectionalStreamInput,
    InvokeModelWithBidirectionalStreamInputChunk,
    InvokeModelWithBidirectionalStreamOperationOutput,
    InvokeModelWithBidirectionalStreamOutput,
    InvokeModelWithBidirectionalStreamOutputChunk,
)
from smithy_core.aio.eventstream import DuplexEventStream

from s2s import failures
from s2s.bedrock.connections import Connection, Connections
from s2s.bedrock.faults import model_error
from s2s.errors import CodecError, LocalProtocolError, ModelError
from s2s.events import InputEvent, OutputEvent, SessionEnd
from s2s.protocol import StreamProtocol

log = structlog.get_logger()

type Duplex = DuplexEventStream[
    InvokeModelWithBidirectionalStreamInput,
    InvokeModelWithBidirectionalStreamOutput,
    InvokeModelWithBidirectionalStreamOperationOutput,
]

OUTPUT_EVENTS: Final = 256
"""Events that may wait for the session; the largest seen hold 133 ms of speech, so this is some 30 s. Then the model is pushed back."""
INPUT_GROUPS: Final = 8
"""Groups that may wait for the writer, those of cancelled callers included."""
CAUSE_SECONDS: Final = 0.5
"""How long a failed write waits for the reader to learn why: the model's last words are on their way."""
TEARDOWN_SECONDS: Final = 1.0
"""How long the tasks of a closed connection may take to notice."""


@dataclass(frozen=True, slots=True)
class Timeouts:
    """How long a stream waits for the other end, in seconds."""

    connect: float = 2.5
    """Name resolution, TCP and TLS; a user is told within 3 s."""
    opening: float = 10.0
    """From the first byte to the response's head. The service answers once it has the first events."""
    write: float = 5.0
    """For one group of events to be taken."""
    closing: float = 2.0
    """For the model to end its side after our sessionEnd."""


class Phase(Enum):
    """Life of a stream, beside the protocol's own state."""

    OPEN = "open"
    LEAVING = "leaving"
    """Our sessionEnd or end of input was sent: an end of the response is in order."""
    CLOSED = "closed"
    """Nobody reads any more."""


@dataclass(slots=True)
class _Group:
    wires: list[bytes]
    is_last: bool
    written: "asyncio.Future[None]" = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class NovaSonicStream:
    """A stream as the session sees it (session.interfaces.ModelStream). Made by NovaSonicClient.

    Args:
        duplex: the SDK's stream, freshly invoked.
        protocol: what may be sent.
        connections: where the connection goes back to.
        connection: carries the stream.
        timeouts: how long to wait.
    """

    def __init__(
        self, *, duplex: Duplex, protocol: StreamProtocol, connections: Connections, connection: Connection, timeouts: Timeouts
    ) -> None:
        self._duplex = duplex
        self._protocol = protocol
        self._connections, self._connection = connections, connection
        self._timeouts = timeouts
        self._phase = Phase.OPEN
        self._failure: ModelError | None = None
        self._undecodable = 0
        loop = asyncio.get_running_loop()
        self._accepted: asyncio.Future[None] = loop.create_future()
        self._outbox: asyncio.Queue[_Group] = asyncio.Queue()
        self._room = asyncio.Semaphore(INPUT_GROUPS)
        self._inbox: asyncio.Queue[OutputEvent | None] = asyncio.Queue(OUTPUT_EVENTS)
        self._reader = loop.create_task(self._read(), name="nova-sonic-reader")
        self._writer = loop.create_task(self._write(), name="nova-sonic-writer")
        self._closing: asyncio.Task[None] | None = None

    @property
    def undecodable_events(self) -> int:
        """Return how many events of the model could not be read; they are dropped."""
        return self._undecodable

    @property
    def is_closed(self) -> bool:
        """Return whether everything of the stream is gone."""
        return self._closing is not None and self._closing.done()

    async def start(self, wires: list[bytes]) -> None:
        """Send the encoded opening and wait until the service has accepted the stream.

        Raises:
            ModelError: it did not, or not in time.
        """
        await self._room.acquire()
        opening = self._enqueue(wires, is_last=False)
        try:
            async with asyncio.timeout(self._timeouts.opening):
                await self._accepted
                await opening.written
        except TimeoutError:
            self._fail(failures.OPENING_TIMEOUT.error(f"no answer within {self._timeouts.opening:g} s"))
            raise self._failure or failures.LOST.error() from None
        except asyncio.CancelledError:
            self._fail(failures.LOST.error("given up while it was being opened"))
            raise
        except ModelError as error:
            if error.code == failures.LOST.code:  # a stream that was never accepted was not lost
                raise failures.UNREACHABLE.error(error.detail) from None
            raise

    async def send(self, events: Sequence[InputEvent]) -> None:
        """Send events as one group; return when the transport took them.

        Raises:
            ModelError: the stream failed, or did not take the group in time.
            LocalProtocolError: the group breaks a rule of the stream; nothing of it was sent.
        """
        await self._room.acquire()
        try:
            if self._failure is not None or self._phase is not Phase.OPEN:
                raise self._failure or failures.LOST.error("the stream is closed")
            wires = self._protocol.send_group(events)
        except (ModelError, LocalProtocolError):
            self._room.release()
            raise
        await self._enqueue(wires, is_last=bool(events) and isinstance(events[-1], SessionEnd)).written

    async def receive(self) -> OutputEvent | None:
        """Return the next event, or None after the orderly end that our sessionEnd asked for. May be cancelled and called again.

        Raises:
            ModelError: the stream failed or ended by itself.
        """
        event = await self._inbox.get()
        if event is not None:
            return event
        self._inbox.put_nowait(None)  # stays the answer for whoever asks again
        if self._failure is not None:
            raise self._failure
        return None

    async def close(self) -> None:
        """Close in order if the stream lives, else let it go. Returns in bounded time, also when called twice or cancelled."""
        if self._closing is None:
            self._closing = asyncio.get_running_loop().create_task(self._close(), name="nova-sonic-close")
        await asyncio.shield(self._closing)

    def _enqueue(self, wires: list[bytes], *, is_last: bool) -> _Group:
        group = _Group(wires, is_last)
        if is_last:
            self._phase = Phase.LEAVING
        if self._writer.done():  # it drains the outbox when it ends, and has
            group.written.set_exception(self._failure or failures.LOST.error("the stream is closed"))
        else:
            self._outbox.put_nowait(group)
        return group

    async def _write(self) -> None:
        try:
            while not await self._write_group(await self._outbox.get()):
                pass
        except TimeoutError:
            self._fail(failures.STALLED.error(f"nothing was taken for {self._timeouts.write:g} s"))
        except Exception as error:  # noqa: BLE001  # task root: whatever the SDK raises is a failure of this stream alone
            if self._phase is Phase.OPEN:  # after our sessionEnd the model may end first; the reader knows whether it did so in order
                await asyncio.wait({self._reader}, timeout=CAUSE_SECONDS)
                self._fail(model_error(error))
        finally:
            self._let_go_of_waiting_groups()

    async def _write_group(self, group: _Group) -> bool:
        try:
            async with asyncio.timeout(self._timeouts.write):
                for wire in group.wires:
                    await self._duplex.input_stream.send(
                        InvokeModelWithBidirectionalStreamInputChunk(value=BidirectionalInputPayloadPart(bytes_=wire))
                    )
                if group.is_last:
                    await self._duplex.input_stream.close()
        except BaseException:
            self._outbox.put_nowait(group)  # to be told with the others
            raise
        self._room.release()
        if not group.written.done():  # its caller may have been cancelled meanwhile
            group.written.set_result(None)
        return group.is_last

    def _let_go_of_waiting_groups(self) -> None:
        while not self._outbox.empty():
            group = self._outbox.get_nowait()
            self._room.release()
            if group.written.done():
                continue
            if group.is_last and self._failure is None:
                group.written.set_result(None)
                continue
            group.written.set_exception(self._failure or failures.LOST.error("the stream is closed"))
            group.written.exception()  # counts as seen, in case the caller is gone

    async def _read(self) -> None:
        try:
            _, receiver = await self._duplex.await_output()
            if not self._accepted.done():
                self._accepted.set_result(None)
            while (message := await receiver.receive()) is not None:
                if isinstance(message, InvokeModelWithBidirectionalStreamOutputChunk):
                    await self._deliver(message.value.bytes_ or b"")
            if self._phase is Phase.OPEN:
                self._fail(failures.LOST.error("the model ended the stream without being asked to"))
        except Exception as error:  # noqa: BLE001  # task root: whatever the SDK raises is a failure of this stream alone
            if self._phase is not Phase.CLOSED:
                self._fail(model_error(error))
        finally:
            await self._finish_inbox()

    async def _deliver(self, data: bytes) -> None:
        try:
            event = self._protocol.receive_data(data)
        except CodecError as error:
            self._undecodable += 1
            log.warning("model_event.dropped", flaw=error.flaw.value, size_bytes=len(data))
            return
        if self._phase is not Phase.CLOSED:
            await self._inbox.put(event)

    async def _finish_inbox(self) -> None:
        if self._phase is Phase.CLOSED:
            self._drop_unread()
        await self._inbox.put(None)

    def _drop_unread(self) -> None:
        while not self._inbox.empty():
            self._inbox.get_nowait()

    def _fail(self, error: ModelError) -> None:
        if self._failure is None and self._phase is not Phase.CLOSED:
            self._failure = error
            for task in {self._reader, self._writer} - {asyncio.current_task()}:
                task.cancel()  # the stream is dead: whoever still waits for the task should hear of it now
        if not self._accepted.done():
            self._accepted.set_exception(self._failure or error)
            self._accepted.exception()  # counts as seen, in case nobody waits for the opening any more

    async def _close(self) -> None:
        if self._failure is None and not self._reader.done():
            with suppress(TimeoutError, ModelError, LocalProtocolError):
                async with asyncio.timeout(self._timeouts.closing):
                    await self._say_goodbye()
        self._phase = Phase.CLOSED
        self._drop_unread()  # wakes a reader that waits for room; from here on it drops what it reads
        if self._failure is None:
            await asyncio.wait({self._reader}, timeout=self._timeouts.closing)
        await self._connections.release(self._connection, broken=not self._reader.done() or self._failure is not None)
        tasks = {self._reader, self._writer}
        _, late = await asyncio.wait(tasks, timeout=TEARDOWN_SECONDS)
        for task in late:  # a writer that was never given its last group, or a reader of a silent model on a shared connection
            task.cancel()
        await asyncio.wait(tasks)
        if self._inbox.empty():
            self._inbox.put_nowait(None)

    async def _say_goodbye(self) -> None:
        if self._phase is Phase.LEAVING:
            return
        await self._room.acquire()
        group = self._enqueue(self._protocol.send_group(self._protocol.closing_events()), is_last=True)
        await group.written
