"""Everything that can go wrong between the SDK and the service: a typed error in time, and nothing left behind."""

import asyncio
import gc
import socket
import ssl
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from nova_sonic_local.certificates import server_context
from nova_sonic_local.options import Head, Options
from nova_sonic_local.server import NovaSonicLocal
from s2s.bedrock.client import NovaSonicClient
from s2s.bedrock.credentials import StaticCredentials
from s2s.bedrock.interfaces import Transport
from s2s.bedrock.stream import NovaSonicStream, Timeouts
from s2s.errors import LocalProtocolError, ModelError, Remedy
from s2s.events import AudioInput, AudioOutput, PromptEnd
from s2s.models import DEFAULT_MODEL_ID
from tests.s2s.conversation import SHORT, eventually, hear, opening, talking

TOLD_SECONDS = 3.0


async def failure_of(doing: Awaitable[object]) -> ModelError:
    """Return the ModelError that something ends with, in the time in which a user has to be told."""
    with pytest.raises(ModelError) as told:
        async with asyncio.timeout(TOLD_SECONDS):
            await doing
    return told.value


async def keep_talking(stream: NovaSonicStream) -> None:
    while True:
        await stream.send((AudioInput("P", "A", bytes(1024)),))


async def keep_listening(stream: NovaSonicStream) -> None:
    while await stream.receive() is not None:
        pass


@pytest.mark.parametrize(
    ("fault", "code", "remedy"),
    [
        ("http_400", "model_unknown_id", Remedy.FATAL_CONFIG),
        ("http_403", "model_access_denied", Remedy.FATAL_CONFIG),
        ("http_429", "model_throttled", Remedy.BACKOFF),
        ("http_503", "model_unstable", Remedy.BACKOFF),
        ("no_200", "model_timeout_opening", Remedy.BACKOFF),
        ("rst@0", "model_unreachable", Remedy.BACKOFF),
        ("goaway@0", "model_unreachable", Remedy.BACKOFF),
        ("tcp_drop@0", "model_unreachable", Remedy.BACKOFF),
        ("exception:throttlingException@0", "model_throttled", Remedy.BACKOFF),
    ],
)
async def test_a_stream_that_is_refused_says_why_in_time(fault: str, code: str, remedy: Remedy) -> None:
    async with talking(Options(brain="echo", fault=fault)) as (client, _):
        error = await failure_of(client.open(opening()))

    assert (code, remedy) == (error.code, error.remedy)


@pytest.mark.parametrize("moment", ["@7", "@9", "@40"])
@pytest.mark.parametrize(
    ("fault", "code"),
    [
        ("exception:modelStreamErrorException", "model_unstable"),
        ("exception:modelTimeoutException", "model_time_limit"),
        ("exception:serviceUnavailableException", "model_unstable"),
        ("exception:internalServerException", "model_unstable"),
        ("exception:throttlingException", "model_throttled"),
        ("rst", "model_lost"),
        ("goaway", "model_lost"),
        ("tcp_drop", "model_lost"),
        ("slow_reader", "model_stalled"),
    ],
)
async def test_a_stream_that_breaks_tells_the_sender_and_the_receiver(fault: str, code: str, moment: str) -> None:
    async with talking(Options(brain="echo", fault=fault + moment, head=Head.AT_ONCE)) as (client, _):
        stream = await client.open(opening())
        sending, receiving = asyncio.create_task(keep_talking(stream)), asyncio.create_task(keep_listening(stream))
        heard_of = await failure_of(receiving), await failure_of(sending)
        async with asyncio.timeout(TOLD_SECONDS):
            await stream.close()

    assert [code, code] == [error.code for error in heard_of]


async def test_a_validation_error_in_the_stream_keeps_the_services_text() -> None:
    async with talking(Options(fault="exception:validationException@9", head=Head.AT_ONCE)) as (client, _):
        stream = await client.open(opening())
        sending = asyncio.create_task(keep_talking(stream))
        error = await failure_of(keep_listening(stream))
        await asyncio.wait({sending})

    assert error.code == "model_validation"
    assert "RequestId=" in error.detail
    assert isinstance(sending.exception(), ModelError)


@pytest.mark.parametrize("fault", ["slow_reader", "stall", "rst", "goaway", "tcp_drop", "exception"])
async def test_a_stream_that_is_closed_unread_is_closed_in_time(fault: str) -> None:
    async with talking(Options(brain="echo", fault=f"{fault}@7", head=Head.AT_ONCE)) as (client, _):
        stream = await client.open(opening())
        async with asyncio.timeout(SHORT.closing * 2 + 2):
            await asyncio.gather(stream.close(), stream.close())
        async with asyncio.timeout(1):
            with suppress(ModelError):
                await keep_listening(stream)

        assert stream.is_closed


async def test_a_receiver_that_stands_still_pushes_the_model_back_and_nothing_is_lost() -> None:
    frames = 3000
    async with talking(Options(brain="echo")) as (client, _):
        stream = await client.open(opening())
        sending = asyncio.create_task(send_numbers(stream, frames))
        _, pending = await asyncio.wait({sending}, timeout=1.5)
        was_pushed_back = bool(pending) or isinstance(sending.exception(), ModelError)
        heard = await receive_numbers(stream)

    assert was_pushed_back
    assert heard == list(range(len(heard)))


async def send_numbers(stream: NovaSonicStream, frames: int) -> None:
    for number in range(frames):
        await stream.send((AudioInput("P", "A", number.to_bytes(2, "little") * 512),))


async def receive_numbers(stream: NovaSonicStream) -> list[int]:
    numbers: list[int] = []
    with suppress(ModelError, TimeoutError):
        while True:
            async with asyncio.timeout(1):
                event = await stream.receive()
            if isinstance(event, AudioOutput) and len(event.pcm) == 1024:
                numbers.append(int.from_bytes(event.pcm[:2], "little"))
    return numbers


async def test_nobody_answers_the_telephone() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        error = await failure_of(client_for(f"https://127.0.0.1:{unused.getsockname()[1]}").open(opening()))

    assert error.code == "model_unreachable"


async def test_a_name_that_does_not_exist_is_unreachable() -> None:
    error = await failure_of(client_for("https://nova-sonic.invalid").open(opening()))

    assert error.code == "model_unreachable"


async def test_a_server_that_never_finishes_the_handshake_is_unreachable() -> None:
    async with serving(lambda reader, writer: reader.read()) as port:
        error = await failure_of(client_for(f"https://127.0.0.1:{port}").open(opening()))

    assert error.code == "model_unreachable"


async def test_a_certificate_that_is_not_trusted_is_named(tmp_path: Path) -> None:
    async with NovaSonicLocal(Options(ca_dir=tmp_path)), NovaSonicLocal(Options()) as emulator:
        other = next(path for path in tmp_path.iterdir() if b"BEGIN CERTIFICATE" in path.read_bytes())
        client = client_for(emulator.endpoint, str(other))
        error = await failure_of(client.ping())

    assert error.code == "model_untrusted"


async def test_a_server_without_http_2_is_unreachable(tmp_path: Path) -> None:
    context, ca_file = server_context(tmp_path)
    context.set_alpn_protocols(["http/1.1"])
    async with serving(lambda reader, writer: reader.read(), context) as port:
        error = await failure_of(client_for(f"https://127.0.0.1:{port}", str(ca_file)).open(opening()))

    assert error.code == "model_unreachable"


def test_the_common_runtime_refuses_a_plain_endpoint_at_once() -> None:
    with pytest.raises(ValueError, match="https"):
        NovaSonicClient("us-east-1", DEFAULT_MODEL_ID, "http://127.0.0.1:8443", transport=Transport.CRT)


async def test_an_opening_that_is_given_up_leaves_nothing_open() -> None:
    async with talking(Options(fault="no_200")) as (client, emulator):
        giving_up = asyncio.create_task(client.open(opening()))
        await eventually(lambda: emulator.live_streams == 1)
        giving_up.cancel()
        await asyncio.wait({giving_up})
        await eventually(lambda: emulator.live_streams == 0, TOLD_SECONDS)

        assert giving_up.cancelled()


async def test_a_hundred_streams_closed_in_all_ways_leave_no_task_descriptor_or_thread() -> None:
    ways: list[Callable[[NovaSonicStream], Coroutine[object, object, object]]] = [
        lambda stream: stream.close(),
        end_in_order,
        break_a_rule,
        drop_the_connection,
        cancel_the_close,
    ]
    async with talking(Options(brain="echo", max_streams=50), timeouts=Timeouts(closing=0.5)) as (client, emulator):
        await open_and_leave(client, ways)
        before = await leftovers(emulator)
        for _ in range(100 // len(ways)):
            await open_and_leave(client, ways)
        after = await leftovers(emulator)

    assert all(now <= then for now, then in zip(after, before, strict=True)), (before, after)


async def open_and_leave(client: NovaSonicClient, ways: list[Callable[[NovaSonicStream], Coroutine[object, object, object]]]) -> None:
    streams = [await client.open(opening()) for _ in ways]
    for stream, leave in zip(streams, ways, strict=True):
        await hear(stream, lambda event: isinstance(event, AudioOutput))
        await leave(stream)


async def end_in_order(stream: NovaSonicStream) -> None:
    await stream.send(stream._protocol.closing_events())
    while await stream.receive() is not None:
        pass
    await stream.close()


async def break_a_rule(stream: NovaSonicStream) -> None:
    with pytest.raises(LocalProtocolError):
        await stream.send((PromptEnd("P"),))
    await stream.close()


async def drop_the_connection(stream: NovaSonicStream) -> None:
    await stream._exchange.close()
    with suppress(ModelError):
        await keep_listening(stream)
    await stream.close()


async def cancel_the_close(stream: NovaSonicStream) -> None:
    closing = asyncio.create_task(stream.close())
    await asyncio.sleep(0)
    closing.cancel()
    await asyncio.wait({closing})
    await stream.close()


async def leftovers(emulator: NovaSonicLocal) -> tuple[int, int, int]:
    """Return the numbers of tasks, descriptors and threads, once the emulator's side is gone too."""
    await eventually(lambda: emulator.live_streams == 0)
    gc.collect()
    await asyncio.sleep(0)
    return len(asyncio.all_tasks()), len(list(Path("/proc/self/fd").iterdir())), threading.active_count()


def client_for(endpoint: str, ca_file: str | None = None) -> NovaSonicClient:
    return NovaSonicClient("us-east-1", DEFAULT_MODEL_ID, endpoint, ca_file, StaticCredentials("a", "b"), timeouts=SHORT)


@asynccontextmanager
async def serving(
    answer: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[object]], context: ssl.SSLContext | None = None
) -> AsyncIterator[int]:
    """Run a server that is no model, and yield its port."""
    tasks: set[asyncio.Task[object]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        with suppress(ConnectionError):
            await answer(reader, writer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    try:
        yield int(server.sockets[0].getsockname()[1])
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
