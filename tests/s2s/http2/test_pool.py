"""Connections that are shared: how many there are, when they are made, kept and closed, and what happens when none can be had."""

import asyncio
import time
from pathlib import Path

import pytest
from hyperframe.frame import DataFrame, GoAwayFrame, HeadersFrame, PingFrame, RstStreamFrame, SettingsFrame

from nova_sonic_local.options import Options
from nova_sonic_local.server import NovaSonicLocal
from s2s.bedrock.http2.frames import MAX_STREAM_ID
from s2s.bedrock.http2.pool import Http2Exchanges
from s2s.bedrock.interfaces import CannotConnect, StreamBroken
from tests.emulator.wire import PATH as MODEL_PATH
from tests.emulator.wire import inner_message, opening
from tests.s2s.http2.peer import raw
from tests.s2s.http2.scripted import PATH, Caller, Scripted, Secure, until


async def accept_all(caller: Caller) -> None:
    """Answer each request with a head."""
    await caller.greet({3: 100})
    while True:
        frame = await caller.frame()
        if isinstance(frame, HeadersFrame):
            caller.respond(frame.stream_id)
        if isinstance(frame, PingFrame) and "ACK" not in frame.flags:
            caller.send(PingFrame(0, frame.opaque_data, flags=["ACK"]))


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


async def test_twenty_openings_at_once_make_two_connections(tls: Secure | None) -> None:
    async with Scripted(accept_all, tls) as server:
        exchanges = server.exchanges()
        streams = await asyncio.gather(*(exchanges.open("POST", PATH, []) for _ in range(20)))
        heads = await asyncio.gather(*(stream.head() for stream in streams))
        connections = exchanges.connections
        await exchanges.close()

    assert connections == len(server.callers) == 2
    assert {status for status, _ in heads} == {200}


async def test_no_more_streams_than_the_peer_takes() -> None:
    counts: dict[int, int] = {}

    async def take_five(caller: Caller) -> None:
        await caller.greet({3: 5})
        while True:
            caller.respond(await caller.request())
            counts[caller.number] = counts.get(caller.number, 0) + 1

    async with Scripted(take_five) as server:
        exchanges = server.exchanges()
        streams = await asyncio.gather(*(exchanges.open("POST", PATH, []) for _ in range(8)))
        await asyncio.gather(*(stream.head() for stream in streams))
        await exchanges.close()

    assert counts == {0: 5, 1: 3}


async def test_a_place_that_was_left_is_taken_again() -> None:
    async with Scripted(accept_all) as server:
        exchanges = server.exchanges(streams_per_connection=2)
        streams = [await exchanges.open("POST", PATH, []) for _ in range(2)]
        await streams[0].close()
        streams.append(await exchanges.open("POST", PATH, []))
        await streams[2].head()
        connections = exchanges.connections
        await exchanges.close()

    assert connections == 1


async def test_no_request_leaves_before_the_peers_settings() -> None:
    before: list[str] = []
    settle = asyncio.Event()

    async def be_late(caller: Caller) -> None:
        await caller.reader.readexactly(24)
        before.extend([type(await caller.frame()).__name__ for _ in range(2)])
        settle.set()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(caller.reader.read(1), 0.1)
        caller.send(SettingsFrame(0, {3: 1}))
        caller.respond(await caller.request())
        await caller.hang_up()

    async with Scripted(be_late) as server:
        exchanges = server.exchanges()
        exchange = await exchanges.open("POST", PATH, [])
        await exchange.head()
        await exchanges.close()

    assert before == ["SettingsFrame", "WindowUpdateFrame"]
    assert settle.is_set()


async def test_when_the_ids_run_out_another_connection_is_made() -> None:
    async with Scripted(accept_all) as server:
        exchanges = server.exchanges(first_stream_id=MAX_STREAM_ID - 2)
        streams = [await exchanges.open("POST", PATH, []) for _ in range(3)]
        heads = [await stream.head() for stream in streams]
        await exchanges.close()

    assert len(server.callers) == 2
    assert [status for status, _ in heads] == [200, 200, 200]


async def test_a_connection_without_streams_is_kept_for_the_next_one(tls: Secure | None) -> None:
    async with Scripted(accept_all, tls) as server:
        exchanges = server.exchanges()
        for _ in range(3):
            exchange = await exchanges.open("POST", PATH, [])
            await exchange.head()
            await exchange.close()
        await exchanges.close()

    assert len(server.callers) == 1


async def test_a_connection_that_nobody_uses_is_closed_in_order(tls: Secure | None) -> None:
    frames = []

    async def watch(caller: Caller) -> None:
        await caller.greet()
        frames.extend(await caller.hang_up())

    async with Scripted(watch, tls) as server:
        exchanges = server.exchanges(keep_seconds=0.05)
        await exchanges.reach()
        await until(lambda: not exchanges.connections)
        await exchanges.close()

    assert isinstance(frames[-1], GoAwayFrame)
    assert frames[-1].error_code == 0


async def test_reaching_makes_one_connection_and_asks_it_later(monkeypatch: pytest.MonkeyPatch) -> None:
    async with Scripted(accept_all) as server:
        exchanges = server.exchanges()
        await asyncio.gather(*(exchanges.reach() for _ in range(5)))
        monkeypatch.setattr("s2s.bedrock.http2.pool.FRESH_SECONDS", 0.0)
        await exchanges.reach()
        await exchanges.close()
        pings = [frame for frame in await server.callers[0].hang_up() if isinstance(frame, PingFrame)]

    assert len(server.callers) == 1
    assert len(pings) == 1


async def test_reaching_replaces_a_connection_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    async def first_is_mute(caller: Caller) -> None:
        await caller.greet()
        await caller.hang_up()

    async with Scripted(first_is_mute) as server:
        exchanges = server.exchanges()
        await exchanges.reach()
        monkeypatch.setattr("s2s.bedrock.http2.pool.FRESH_SECONDS", 0.0)
        begun = time.monotonic()
        await exchanges.reach()
        seconds = time.monotonic() - begun
        connections = exchanges.connections
        await exchanges.close()

    assert len(server.callers) == 2
    assert connections == 1
    assert 1.0 < seconds < 2.5


async def test_a_stream_on_a_connection_that_died_while_idle_is_told_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    async def die(caller: Caller) -> None:
        await caller.greet()
        await caller.hang_up()

    monkeypatch.setattr("s2s.bedrock.http2.liveness.PING_IDLE_SECONDS", 0.05)
    async with Scripted(die) as server:
        exchanges = server.exchanges()
        await exchanges.reach()
        await asyncio.sleep(0.1)
        exchange = await exchanges.open("POST", PATH, [])
        begun = time.monotonic()
        with pytest.raises(StreamBroken, match="silent"):
            await exchange.head()
        seconds = time.monotonic() - begun
        await exchanges.close()

    assert seconds < 2.5


async def test_closing_tells_readers_and_the_peer(tls: Secure | None) -> None:
    frames = []

    async def watch(caller: Caller) -> None:
        await caller.greet()
        caller.respond(await caller.request())
        frames.extend(await caller.hang_up())

    async with Scripted(watch, tls) as server:
        exchanges = server.exchanges()
        exchange = await exchanges.open("POST", PATH, [])
        await exchange.head()
        reading = asyncio.create_task(exchange.read())
        await asyncio.sleep(0)
        await exchanges.close()
        with pytest.raises(StreamBroken, match="closed by this side"):
            await reading
        with pytest.raises(CannotConnect, match="closed by this side"):
            await exchanges.open("POST", PATH, [])

    assert isinstance(frames[-1], GoAwayFrame)


async def test_closing_does_not_wait_for_a_peer_that_reads_nothing(tls: Secure | None) -> None:
    done = asyncio.Event()

    async def sleep(caller: Caller) -> None:
        await caller.greet({4: 2**30})
        caller.send(raw(8, 0, 0, (2**30).to_bytes(4)))
        await caller.request()
        caller.writer.transport.pause_reading()  # type: ignore[attr-defined]  # a reading transport
        await done.wait()

    async with Scripted(sleep, tls) as server:
        exchanges = server.exchanges()
        exchange = await exchanges.open("POST", PATH, [])
        (wire,) = exchanges._wires
        while not wire.connection.is_held:
            exchange.write(bytes(65_536))
            await asyncio.sleep(0)
        begun = time.monotonic()
        await exchanges.close()
        seconds = time.monotonic() - begun
        connections = exchanges.connections
        done.set()

    assert seconds < 2.0
    assert connections == 0


async def test_closing_ends_an_attempt_to_connect() -> None:
    async def be_silent(caller: Caller) -> None:
        await caller.hang_up()

    async with Scripted(be_silent) as server:
        exchanges = server.exchanges()
        opening_one = asyncio.create_task(exchanges.open("POST", PATH, []))
        await until(lambda: server.callers)
        await exchanges.close()
        with pytest.raises(CannotConnect, match="closed by this side"):
            await opening_one


async def test_a_failed_attempt_is_told_to_all_who_wait_for_it() -> None:
    async def refuse(caller: Caller) -> None:
        caller.writer.close()

    async with Scripted(refuse) as server:
        exchanges = server.exchanges()
        results = await asyncio.gather(*(exchanges.open("POST", PATH, []) for _ in range(10)), return_exceptions=True)
        await exchanges.close()

    assert [type(result) for result in results] == [CannotConnect] * 10
    assert len(server.callers) == 1


async def test_whoever_gives_up_leaves_the_attempt_to_the_others() -> None:
    go_on = asyncio.Event()

    async def be_late(caller: Caller) -> None:
        await go_on.wait()
        await accept_all(caller)

    async with Scripted(be_late) as server:
        exchanges = server.exchanges()
        openings = [asyncio.create_task(exchanges.open("POST", PATH, [])) for _ in range(3)]
        await until(lambda: server.callers)
        openings[0].cancel()
        await asyncio.wait({openings[0]})
        go_on.set()
        heads = [await (await one).head() for one in openings[1:]]
        await exchanges.close()

    assert openings[0].cancelled()
    assert [status for status, _ in heads] == [200, 200]
    assert len(server.callers) == 1


@pytest.mark.parametrize(
    ("greeting", "words"),
    [
        (b"", "within 0.3 s: no SETTINGS of HTTP/2 came"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "the peer broke HTTP/2"),
        (raw(4, 0, 0, b"\0\x03\0\0\0\0"), "it takes no streams"),
        (raw(4, 0, 0) + raw(7, 0, 0, bytes(7) + b"\x0b"), "GOAWAY ENHANCE_YOUR_CALM"),
    ],
    ids=["silent", "HTTP/1.1", "no streams", "goaway"],
)
async def test_what_is_no_use_is_no_connection(tls: Secure | None, greeting: bytes, words: str) -> None:
    async def greet(caller: Caller) -> None:
        caller.writer.write(greeting)
        await caller.hang_up()

    async with Scripted(greet, tls) as server:
        exchanges = server.exchanges(connect_seconds=0.3)
        with pytest.raises(CannotConnect) as raised:
            await exchanges.open("POST", PATH, [])
        connections = exchanges.connections
        await exchanges.close()

    assert words in str(raised.value)
    assert "\n" not in str(raised.value)
    assert connections == 0


async def test_a_peer_that_hangs_up_is_no_connection(tls: Secure | None) -> None:
    async def hang_up(caller: Caller) -> None:
        caller.writer.close()

    async with Scripted(hang_up, tls) as server:
        exchanges = server.exchanges()
        with pytest.raises(CannotConnect, match="the peer closed the TCP connection"):
            await exchanges.reach()
        await exchanges.close()


async def test_nobody_there_is_told_at_once() -> None:
    async with Scripted(accept_all) as server:
        uri = server.uri
    exchanges = Http2Exchanges(uri)
    with pytest.raises(CannotConnect, match=r"^no connection to 127\.0\.0\.1:\d+: refused$"):
        await exchanges.open("POST", PATH, [])
    await exchanges.close()


async def test_an_unknown_host_is_told() -> None:
    exchanges = Http2Exchanges("https://no-such-host.invalid")
    with pytest.raises(CannotConnect, match=r"no connection to no-such-host\.invalid:443: no such host"):
        await exchanges.reach()
    await exchanges.close()


async def test_a_name_that_is_none_is_told() -> None:
    exchanges = Http2Exchanges(f"http://{'x' * 70}.example")
    with pytest.raises(CannotConnect, match="no connection to"):
        await exchanges.reach()
    await exchanges.close()


@pytest.mark.parametrize("uri", ["ftp://host", "host:443", "https://", ""])
def test_an_endpoint_is_an_http_uri(uri: str) -> None:
    with pytest.raises(ValueError, match="https or http"):
        Http2Exchanges(uri)


def test_a_connection_carries_at_least_one_stream() -> None:
    with pytest.raises(ValueError, match="at least one"):
        Http2Exchanges("https://host", streams_per_connection=0)


async def test_whoever_never_gets_a_place_is_told_in_time() -> None:
    async def be_slow(caller: Caller) -> None:
        await asyncio.sleep(0.3)
        await caller.greet({3: 1})
        await caller.hang_up()

    async with Scripted(be_slow) as server:
        exchanges = server.exchanges(connect_seconds=1.0)
        begun = time.monotonic()
        results = await asyncio.gather(*(exchanges.open("POST", PATH, []) for _ in range(8)), return_exceptions=True)
        seconds = time.monotonic() - begun
        await exchanges.close()
    refused = [str(result) for result in results if isinstance(result, CannotConnect)]

    assert len(refused) >= 4  # each connection takes 0.3 s and carries one stream
    assert all("no room for a stream" in text for text in refused)
    assert seconds < 2.5


async def test_five_hundred_streams_leave_nothing(tls: Secure | None) -> None:
    async with Scripted(accept_all, tls) as server:
        before = open_files()
        exchanges = server.exchanges()
        for turn in range(50):
            streams = await asyncio.gather(*(exchanges.open("POST", PATH, []) for _ in range(10)))
            for stream in streams:
                stream.write(bytes(2200))
                if turn % 2:
                    stream.end_input()
            await asyncio.gather(*(stream.head() for stream in streams))
            await asyncio.gather(*(stream.close() for stream in streams))
        live = [len(wire.connection.streams) for wire in exchanges._wires]
        await exchanges.close()
        await until(lambda: all(caller.reader.at_eof() for caller in server.callers))
        for caller in server.callers:
            caller.writer.close()
        await until(lambda: open_files() <= before)

    assert live == [0]
    assert len(server.callers) == 1


@pytest.mark.parametrize("secured", [False, True], ids=["h2c", "tls"])
async def test_the_emulator_is_served_by_the_same_connection_many_times(*, secured: bool, tmp_path: Path) -> None:
    async with NovaSonicLocal(Options(brain="echo", ca_dir=tmp_path, max_streams=100)) as emulator:
        uri, ca_file = (emulator.endpoint, str(emulator.ca_file)) if secured else (emulator.h2c_endpoint, None)
        exchanges = Http2Exchanges(uri, ca_file=ca_file)
        headers = [("content-type", "application/vnd.amazon.eventstream"), ("host", uri.partition("//")[2])]
        streams = await asyncio.gather(*(exchanges.open("POST", MODEL_PATH, headers) for _ in range(30)))
        for stream in streams:
            stream.write(b"".join(map(inner_message, opening())))
        heads = await asyncio.gather(*(stream.head() for stream in streams))
        connections = emulator.live_connections
        for stream in streams:
            await stream.close()
        await exchanges.close()
        await emulator.quiet()

    assert {status for status, _ in heads} == {200}
    assert connections == 2


async def test_streams_of_one_connection_do_not_mix(tls: Secure | None) -> None:
    async def echo(caller: Caller) -> None:
        await caller.greet({3: 100})
        while True:
            frame = await caller.frame()
            if isinstance(frame, HeadersFrame):
                caller.respond(frame.stream_id)
            elif isinstance(frame, DataFrame):
                caller.send(DataFrame(frame.stream_id, bytes(frame.data), flags=list(frame.flags)))
            elif isinstance(frame, RstStreamFrame):
                return

    async with Scripted(echo, tls) as server:
        exchanges = server.exchanges()
        streams = await asyncio.gather(*(exchanges.open("POST", PATH, []) for _ in range(16)))

        async def talk(number: int) -> bytes:
            got = b""
            for _ in range(10):
                streams[number].write(bytes([number]) * 300)
                got += await streams[number].read() or b""
            streams[number].end_input()
            while (piece := await streams[number].read()) is not None:
                got += piece
            return got

        said = await asyncio.gather(*(talk(number) for number in range(16)))
        await exchanges.close()

    assert list(said) == [bytes([number]) * 3000 for number in range(16)]
