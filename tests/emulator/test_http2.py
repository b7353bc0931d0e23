"""HTTP/2: requests, windows, and every way in which a stream or connection ends."""

import asyncio
import ssl

import pytest
from h2.errors import ErrorCodes

from nova_sonic_local.brains.interface import Prompt, Reply, UserTurn
from nova_sonic_local.exchange import Exchange
from nova_sonic_local.http2 import Http2Protocol
from nova_sonic_local.manner import Manner
from nova_sonic_local.options import Head, Options
from nova_sonic_local.server import NovaSonicLocal
from tests.emulator.wire import (
    PATH,
    RawClient,
    RawStream,
    audio_input,
    closing,
    opening,
    silence,
    speech,
    spoken_turn,
    text_block,
    text_start,
)

ECHO = Options(brain="echo")


@pytest.mark.parametrize(
    "model_id",
    [
        "amazon.nova-2-sonic-v1%3A0",
        "amazon.nova-2-sonic-v1:0",
        "amazon.nova-2-sonic-v1",
        "amazon.nova-sonic-v1:0",
        "amazon.nova-2-5-sonic",
        "arn%3Aaws%3Abedrock%3Aus-east-1%3A%3Afoundation-model%2Famazon.nova-2-sonic-v1%3A0",
    ],
)
@pytest.mark.parametrize("end", ["?", ""])
async def test_every_spelling_of_the_path_is_served(model_id: str, end: str) -> None:
    async with NovaSonicLocal(ECHO) as emulator, RawClient(emulator.h2c_endpoint) as client:
        stream = client.open(f"/model/{model_id}/invoke-with-bidirectional-stream{end}")
        await stream.send(*opening(voice="carlos"))

        assert await stream.head() == 200
        assert stream.headers["content-type"] == "application/vnd.amazon.eventstream"


@pytest.mark.parametrize(
    ("method", "path", "status", "kind", "text"),
    [
        ("POST", "/model/x/invoke", 404, "UnknownOperationException", ""),
        ("GET", "/", 404, "UnknownOperationException", ""),
        ("GET", PATH, 405, "UnknownOperationException", ""),
        ("POST", PATH.replace("nova-2", "nova-9"), 400, "ValidationException", "The provided model identifier is invalid."),
    ],
)
async def test_other_requests_are_refused(method: str, path: str, status: int, kind: str, text: str) -> None:
    async with NovaSonicLocal(ECHO) as emulator, RawClient(emulator.h2c_endpoint) as client:
        ending = await client.open(path, method, has_body=False).ending()

        assert (ending.status, ending.headers["x-amzn-errortype"]) == (status, kind)
        assert text.encode() in ending.body


async def test_the_head_waits_for_the_first_valid_event() -> None:
    async with NovaSonicLocal(ECHO) as emulator, RawClient(emulator.h2c_endpoint) as client:
        silent, talking = client.open(), client.open()
        await talking.send(*opening())
        await talking.head()

        assert (silent.status, talking.status) == (0, 200)


async def test_the_head_can_come_at_once() -> None:
    async with NovaSonicLocal(Options(brain="echo", head=Head.AT_ONCE)) as emulator, RawClient(emulator.h2c_endpoint) as client:
        assert await client.open().head() == 200


async def test_one_stream_more_than_allowed_is_throttled_until_one_ends() -> None:
    async with NovaSonicLocal(Options(brain="echo", max_streams=1)) as emulator, RawClient(emulator.h2c_endpoint) as client:
        first, second = client.open(), client.open()
        await first.send(*opening())
        refused = await second.ending()
        await first.send(audio_input(silence(0.1)), *closing())
        first.end()
        await first.ending()
        third = client.open()
        await third.send(*opening())

        assert (refused.status, refused.headers["x-amzn-errortype"]) == (429, "ThrottlingException")
        assert await third.head() == 200


async def test_a_client_that_sends_goaway_at_once_is_still_served() -> None:
    """Node's SDK does so."""
    async with NovaSonicLocal(Options()) as emulator, RawClient(emulator.h2c_endpoint) as client:
        stream = client.open()
        client.writer.write(bytes.fromhex("0000080700000000000000000000000000"))
        await stream.send(*opening(), *spoken_turn())
        await stream.until("contentEnd", type="AUDIO", stopReason="END_TURN")
        await stream.send(*closing())
        stream.end()
        ending = await stream.ending()

        assert ending.is_ended
        assert ending.exception is None


async def test_streams_of_one_connection_are_apart() -> None:
    async with NovaSonicLocal(ECHO) as emulator, RawClient(emulator.h2c_endpoint) as client:
        streams = [client.open() for _ in range(8)]
        tones = [speech(1.0, loudness=1_000 + 100 * number) for number in range(8)]
        for stream in streams:
            await stream.send(*opening(hertz=16_000))
        for start in range(0, len(tones[0]), 1024):
            for stream, tone in zip(streams, tones, strict=True):
                await stream.send(audio_input(tone[start : start + 1024]))
        for stream in streams:
            await stream.send(*closing())
            stream.end()
            await stream.ending()

        assert [stream.pcm() for stream in streams] == tones


async def test_echo_returns_every_sample_over_tls() -> None:
    async with NovaSonicLocal(ECHO) as emulator, RawClient(emulator.endpoint, emulator.ca_file) as client:
        stream = client.open()
        pcm = bytes(range(256)) * 2 * 500
        await stream.send(
            *opening(hertz=16_000), *(audio_input(pcm[start : start + 1024]) for start in range(0, len(pcm), 1024)), *closing()
        )
        stream.end()
        ending = await stream.ending()

        assert stream.pcm() == pcm
        assert [event["stopReason"] for event in stream.named("contentEnd")] == ["END_TURN"]
        assert ending.is_ended


async def test_a_client_that_does_not_read_is_not_read_from_either() -> None:
    async with NovaSonicLocal(ECHO) as emulator, RawClient(emulator.h2c_endpoint) as client:
        client.is_acknowledging = False
        stream = client.open()
        await stream.send(*opening())
        sending = asyncio.create_task(stream.send(*[audio_input(bytes(6_000))] * 200))
        done, _ = await asyncio.wait((sending,), timeout=1)
        sending.cancel()

        assert done == set()


async def test_a_stream_that_is_not_read_does_not_hold_up_another() -> None:
    async with NovaSonicLocal(ECHO) as emulator, RawClient(emulator.h2c_endpoint) as client:
        stuck = client.open(headers=[("x-nova-sonic-local-fault", "slow_reader")])
        await stuck.send(*opening())
        sending = asyncio.create_task(stuck.write(bytes(200_000)))
        other = client.open()
        await other.send(*opening(hertz=16_000), *(audio_input(bytes(1024)) for _ in range(200)), *closing())
        other.end()
        await other.ending()
        is_stuck = not sending.done()
        sending.cancel()

        assert is_stuck
        assert len(other.pcm()) == 200 * 1024


async def test_a_response_that_ends_before_its_request_is_followed_by_reset_no_error() -> None:
    async with NovaSonicLocal(ECHO) as emulator, RawClient(emulator.h2c_endpoint) as client:
        stream = client.open()
        await stream.send(opening()[0], opening()[1], text_start("H", "USER"))
        await stream.ending()
        while stream.reset_code is None:
            await client.wait()

        assert stream.is_ended
        assert stream.reset_code == ErrorCodes.NO_ERROR


async def test_after_session_end_the_client_may_end_its_request_in_order() -> None:
    async with NovaSonicLocal(ECHO) as emulator, RawClient(emulator.h2c_endpoint) as client:
        stream = client.open()
        await stream.send(*opening(), audio_input(silence(0.1)), *closing())
        await stream.ending()
        stream.end()
        other = client.open()
        await other.send(*opening())
        await other.head()

        assert stream.reset_code is None


async def test_a_request_that_ends_without_session_end_ends_the_response() -> None:
    async with NovaSonicLocal(ECHO) as emulator, RawClient(emulator.h2c_endpoint) as client:
        stream = client.open()
        await stream.send(*opening(), audio_input(silence(0.1)))
        stream.end()
        ending = await stream.ending()

        assert (ending.is_ended, ending.exception) == (True, None)


async def test_a_request_without_events_is_refused() -> None:
    async with NovaSonicLocal(ECHO) as emulator, RawClient(emulator.h2c_endpoint) as client:
        ending = await client.open(has_body=False).ending()

        assert (ending.status, ending.body) == (400, b'{"message":"Timed out waiting for input events"}')


@pytest.mark.parametrize("way", ["reset", "drop"])
async def test_a_client_that_goes_away_leaves_nothing_behind(way: str) -> None:
    async with NovaSonicLocal(Options()) as emulator:
        async with RawClient(emulator.h2c_endpoint) as client:
            stream = client.open()
            await stream.send(*opening(), *spoken_turn())
            await stream.until("audioOutput")
            if way == "reset":
                client.h2.reset_stream(stream.stream_id, ErrorCodes.CANCEL)
                client.flush()
            else:
                client.writer.transport.abort()
        await emulator.quiet()

        assert (emulator.live_streams, emulator.live_connections) == (0, 0)
        assert [task for task in asyncio.all_tasks() if task is not asyncio.current_task()] == []


async def test_closing_the_emulator_ends_streams_and_connections() -> None:
    async with NovaSonicLocal(Options()) as emulator, RawClient(emulator.endpoint, emulator.ca_file) as client:
        stream = client.open()
        await stream.send(*opening(), *spoken_turn())
        await stream.until("audioOutput")
        await emulator.__aexit__(None, None, None)
        while not client.is_lost:
            await client.wait()

        assert client.goaway_code == ErrorCodes.NO_ERROR
        assert (emulator.live_streams, emulator.live_connections) == (0, 0)


@pytest.mark.parametrize("garbage", [b"GET / HTTP/1.1\r\nhost: x\r\n\r\n", b"\x16\x03\x01\x02\x00", bytes(100)])
async def test_what_is_not_http2_is_closed(garbage: bytes) -> None:
    async with NovaSonicLocal(ECHO) as emulator:
        port = int(emulator.h2c_endpoint.rpartition(":")[2])
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(garbage)
        writer.write_eof()
        async with asyncio.timeout(5):
            await reader.read()
        writer.close()

        assert emulator.live_streams == 0


async def test_a_tls_client_without_h2_is_answered_in_http_1_1() -> None:
    async with NovaSonicLocal(ECHO) as emulator:
        context = ssl.create_default_context(cafile=str(emulator.ca_file))
        port = int(emulator.endpoint.rpartition(":")[2])
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
        writer.write(f"POST {PATH} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())
        async with asyncio.timeout(5):
            data = await reader.read()
        writer.close()

        assert data.startswith(b"HTTP/1.1 505 ")
        assert b"Streams in both directions need HTTP/2." in data


async def test_headers_that_are_no_utf8_do_no_harm() -> None:
    async with NovaSonicLocal(ECHO) as emulator, RawClient(emulator.h2c_endpoint) as client:
        client.h2.config.header_encoding = None
        client.h2.send_headers(
            1, [(b":method", b"POST"), (b":scheme", b"http"), (b":authority", b"x"), (b":path", b"/"), (b"x", b"\xff\xfe")], end_stream=True
        )
        client.streams[1] = RawStream(client, 1)
        client.flush()
        client.h2.config.header_encoding = "utf-8"
        ending = await client.streams[1].ending()

        assert ending.status == 404


async def test_a_connection_can_be_closed_more_than_once() -> None:
    async with NovaSonicLocal(ECHO) as emulator, RawClient(emulator.endpoint, emulator.ca_file) as client:
        stream = client.open()
        await stream.send(*opening())
        await stream.head()
        connection = next(iter(emulator._connections))
        for _ in range(3):
            connection.go_away()
        while not client.is_lost:
            await client.wait()
        await emulator.quiet()

        assert client.goaway_code == ErrorCodes.NO_ERROR


class Speaker:
    """A brain that says one thing, very long."""

    def __init__(self, pcm: bytes) -> None:
        self.pcm = pcm

    def listen(self) -> None:
        return None

    async def answer(self, _turn: UserTurn, reply: Reply) -> None:
        await reply.play(self.pcm, "a long story")

    async def close(self) -> None:
        return


async def test_a_client_whose_socket_is_full_gets_everything_once_it_reads() -> None:
    pcm = speech(120, 24_000)
    options = Options(brain=lambda _prompt: Speaker(pcm), manner=Manner(speech_speed=0))
    async with NovaSonicLocal(options) as emulator, RawClient(emulator.h2c_endpoint) as client:
        stream = client.open()
        client.h2.increment_flow_control_window(2**30)
        client.h2.increment_flow_control_window(2**30, stream.stream_id)
        await stream.send(*opening(), audio_input(silence(0.1)), *text_block("U", "USER", "tell me", interactive=True))
        await stream.until("audioOutput")
        transport = client.writer.transport
        assert isinstance(transport, asyncio.Transport)
        transport.pause_reading()
        connection = next(iter(emulator._connections))
        assert isinstance(connection, Http2Protocol)
        while not connection._is_paused:  # noqa: ASYNC110 -- asyncio tells the protocol alone
            await asyncio.sleep(0)
        transport.resume_reading()
        await stream.until("contentEnd", type="AUDIO", stopReason="END_TURN")

        assert stream.pcm() == pcm
        assert stream.texts("USER", "FINAL") == ["tell me"]


async def test_a_brain_that_cannot_begin_is_an_internal_error_of_its_stream_alone() -> None:
    def fail(_prompt: Prompt) -> Speaker:
        raise ZeroDivisionError

    async with NovaSonicLocal(Options(brain=fail)) as emulator, RawClient(emulator.h2c_endpoint) as client:
        stream, other = client.open(), client.open()
        await stream.send(*opening())
        ending = await stream.ending()
        await other.send(*opening()[:2])

        assert ending.exception is not None
        assert ending.exception[0] == "internalServerException"
        assert await other.head() == 200


async def test_a_client_that_never_takes_the_end_is_given_up() -> None:
    class Sink:
        """A connection that takes nothing."""

        def __init__(self) -> None:
            self.resets: list[ErrorCodes] = []

        def schedule(self, exchange: Exchange | None = None) -> None:
            return

        def send_headers(self, exchange: Exchange, headers: list[tuple[str, str]]) -> None:
            return

        def acknowledge(self, exchange: Exchange, size: int) -> None:
            return

        def reset(self, exchange: Exchange, code: ErrorCodes) -> None:
            self.resets.append(code)

        def go_away(self, code: ErrorCodes = ErrorCodes.NO_ERROR) -> None:
            return

        def drain(self) -> None:
            return

        def freeze(self) -> None:
            return

        def abort(self) -> None:
            return

    sink = Sink()
    exchange = Exchange(sink, 1, {})
    exchange.send_head(200, [])
    exchange.write(b"data")
    exchange.finish()
    await exchange.drained(0.001)

    assert sink.resets == [ErrorCodes.CANCEL]


async def test_data_after_a_reset_is_given_back() -> None:
    async with NovaSonicLocal(ECHO) as emulator, RawClient(emulator.h2c_endpoint) as client:
        for _ in range(3):
            stream = client.open(headers=[("x-nova-sonic-local-fault", "rst@0")])
            client.h2.send_data(stream.stream_id, bytes(16_000))
            client.flush()
            await stream.ending()
        other = client.open()
        await other.send(*opening())

        assert await other.head() == 200


async def test_the_addresses_suit_clients() -> None:
    idle = NovaSonicLocal()
    async with NovaSonicLocal(Options(host="0.0.0.0", brain="echo")) as emulator, RawClient(emulator.h2c_endpoint) as client:
        stream = client.open()
        await stream.send(*opening())

        assert await stream.head() == 200
        assert emulator.endpoint.startswith("https://127.0.0.1:")
    with pytest.raises(RuntimeError, match="not running"):
        _ = idle.ca_file
