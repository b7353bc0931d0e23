"""One connection on a real socket: every way in which streams go on and end."""

import asyncio
import socket
import struct
import time

import pytest
from hyperframe.frame import DataFrame, Frame, GoAwayFrame, HeadersFrame, PingFrame, RstStreamFrame, SettingsFrame

from s2s.bedrock.http2.frames import ErrorCode
from s2s.bedrock.http2.wire import HIGH_WATER_BYTES
from s2s.bedrock.interfaces import RECEIVE_WINDOW_BYTES, ROOM_BYTES, StreamBroken, StreamRefused
from tests.s2s.http2.peer import OK, window
from tests.s2s.http2.scripted import PATH, Caller, Scripted, Secure, until


async def test_a_request_and_a_response_pass_each_other(tls: Secure | None) -> None:
    async def echo(caller: Caller) -> None:
        await caller.greet()
        number = await caller.request()
        caller.respond(number)
        while True:
            frame = await caller.until(DataFrame)
            caller.send(DataFrame(number, frame.data, flags=frame.flags))

    async with Scripted(echo, tls) as server:
        exchanges = server.exchanges()
        exchange = await exchanges.open("POST", PATH, [("content-type", "x")])
        head = await exchange.head()
        pieces = []
        for number in range(25):
            await exchange.room()
            exchange.write(bytes([number]) * 2200)
            pieces.append(await exchange.read())
        exchange.end_input()
        end = await exchange.read()
        await exchanges.close()

    assert head == (200, [OK[1]])
    assert b"".join(piece or b"" for piece in pieces) == b"".join(bytes([number]) * 2200 for number in range(25))
    assert end is None
    assert exchange.is_over


async def test_what_came_before_the_end_is_read_before_the_end_is_told() -> None:
    async def answer(caller: Caller) -> None:
        await caller.greet()
        caller.respond(await caller.request(), b"one", b"two", end=True)
        await caller.hang_up()

    async with Scripted(answer) as server:
        exchanges = server.exchanges()
        exchange = await exchanges.open("POST", PATH, [])
        await exchange.head()
        await until(lambda: exchange.is_over)
        taken = exchange.take()
        again = exchange.take()
        end = [await exchange.read() for _ in range(2)]
        with pytest.raises(StreamBroken, match="the response has ended"):
            exchange.write(b"late")
        with pytest.raises(StreamBroken):
            await exchange.room()
        exchange.end_input()
        await exchanges.close()

    assert (taken, again, end) == (b"onetwo", b"", [None, None])


async def test_interim_heads_are_passed_over(tls: Secure | None) -> None:
    async def answer(caller: Caller) -> None:
        await caller.greet()
        number = await caller.request()
        for status in ("100", "102", "103"):
            caller.respond(number, fields=((":status", status),))
        caller.respond(number, b"body", fields=((":status", "400"), ("content-length", "4")), end=True)
        await caller.hang_up()

    async with Scripted(answer, tls) as server:
        exchanges = server.exchanges()
        exchange = await exchanges.open("POST", PATH, [])
        head = await exchange.head()
        body = await exchange.read()
        await exchanges.close()

    assert (head, body) == ((400, [("content-length", "4")]), b"body")


@pytest.mark.parametrize("code", [ErrorCode.NO_ERROR, ErrorCode.INTERNAL_ERROR, ErrorCode.CANCEL])
async def test_a_reset_breaks_every_wait_and_names_its_code(code: ErrorCode) -> None:
    async def answer(caller: Caller) -> None:
        await caller.greet({4: 0})
        number = await caller.request()
        caller.respond(number, b"before")
        await caller.until(PingFrame)
        caller.send(RstStreamFrame(number, code))
        await caller.hang_up()

    async with Scripted(answer) as server:
        exchanges = server.exchanges()
        exchange = await exchanges.open("POST", PATH, [])
        exchange.write(bytes(ROOM_BYTES + 1))
        before = await exchange.read()
        waits = [asyncio.create_task(wait()) for wait in (exchange.read, exchange.room)]
        await asyncio.sleep(0)
        (wire,) = exchanges._wires
        wire.connection.ping()
        wire.flush_soon()
        results = await asyncio.gather(*waits, return_exceptions=True)
        head = await exchange.head()
        await exchanges.close()

    assert before == b"before"
    assert [type(result) for result in results] == [StreamBroken, StreamBroken]
    assert {str(result) for result in results} == {f"the peer reset the stream: {code.name}"}
    assert head[0] == 200


async def test_a_reset_after_the_whole_response_is_no_failure() -> None:
    async def answer(caller: Caller) -> None:
        await caller.greet()
        number = await caller.request()
        caller.respond(number, b"all", end=True)
        caller.send(RstStreamFrame(number, ErrorCode.NO_ERROR))
        await caller.hang_up()

    async with Scripted(answer) as server:
        exchanges = server.exchanges()
        exchange = await exchanges.open("POST", PATH, [])
        pieces = [await exchange.read(), await exchange.read()]
        await exchanges.close()

    assert pieces == [b"all", None]


async def test_a_refused_stream_is_told_apart() -> None:
    async def refuse(caller: Caller) -> None:
        await caller.greet()
        caller.send(RstStreamFrame(await caller.request(), ErrorCode.REFUSED_STREAM))
        await caller.hang_up()

    async with Scripted(refuse) as server:
        exchanges = server.exchanges()
        exchange = await exchanges.open("POST", PATH, [])
        with pytest.raises(StreamRefused):
            await exchange.head()
        with pytest.raises(StreamRefused):
            exchange.write(b"x")
        await exchanges.close()


@pytest.mark.parametrize("way", ["FIN", "RST"])
async def test_a_lost_connection_breaks_every_stream(tls: Secure | None, way: str) -> None:
    async def drop(caller: Caller) -> None:
        await caller.greet()
        numbers = [await caller.request() for _ in range(3)]
        caller.respond(numbers[0], b"begun")
        await caller.until(DataFrame)
        if way == "RST":
            plain = caller.writer.get_extra_info("socket")
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            caller.writer.transport.abort()
        else:
            caller.writer.close()

    async with Scripted(drop, tls) as server:
        exchanges = server.exchanges()
        streams = [await exchanges.open("POST", PATH, []) for _ in range(3)]
        begun = await streams[0].read()
        waits = [asyncio.create_task(wait()) for wait in (streams[0].read, streams[1].head, streams[2].read)]
        streams[0].write(b"now")
        results = await asyncio.gather(*waits, return_exceptions=True)
        await until(lambda: not exchanges.connections)
        await exchanges.close()

    assert begun == b"begun"
    assert [type(result) for result in results] == [StreamBroken] * 3
    assert all("TCP connection" in str(result) for result in results)


async def test_goaway_lets_earlier_streams_end_and_sends_new_ones_elsewhere(tls: Secure | None) -> None:
    async def serve(caller: Caller) -> None:
        await caller.greet()
        first = await caller.request()
        if caller.number == 0:
            await caller.request()
            caller.send(GoAwayFrame(0, first, ErrorCode.NO_ERROR))
            await caller.until(DataFrame)
        caller.respond(first, f"from {caller.number}".encode(), end=True)
        await caller.hang_up()

    async with Scripted(serve, tls) as server:
        exchanges = server.exchanges()
        first, second = [await exchanges.open("POST", PATH, []) for _ in range(2)]
        with pytest.raises(StreamRefused, match="GOAWAY NO_ERROR"):
            await second.head()
        third = await exchanges.open("POST", PATH, [])
        first.write(b"goes on")
        bodies = [await first.read(), await first.read(), await third.read(), await third.read()]
        connections = exchanges.connections
        await first.close()
        await until(lambda: exchanges.connections < connections)
        frames = [type(frame) for frame in await server.callers[0].hang_up()]
        await exchanges.close()

    assert bodies == [b"from 0", None, b"from 1", None]
    assert connections == 2
    assert frames.count(HeadersFrame) == 2


async def test_a_violation_is_answered_with_goaway(tls: Secure | None) -> None:
    frames = []

    async def offend(caller: Caller) -> None:
        await caller.greet()
        await caller.request()
        caller.send(DataFrame(99, b"of no stream"))
        frames.extend(await caller.hang_up())

    async with Scripted(offend, tls) as server:
        exchanges = server.exchanges()
        exchange = await exchanges.open("POST", PATH, [])
        with pytest.raises(StreamBroken, match="the peer broke HTTP/2: a frame for stream 99"):
            await exchange.read()
        await until(lambda: not exchanges.connections)
        await exchanges.close()
    goodbye = frames[-1]

    assert isinstance(goodbye, GoAwayFrame)
    assert goodbye.error_code == ErrorCode.PROTOCOL_ERROR


async def test_a_silent_peer_is_noticed_within_three_seconds(tls: Secure | None) -> None:
    heard = []

    async def fall_silent(caller: Caller) -> None:
        await caller.greet()
        caller.respond(await caller.request(), b"alive")
        heard.append(type(await caller.until(PingFrame)))
        await caller.hang_up()

    async with Scripted(fall_silent, tls) as server:
        exchanges = server.exchanges()
        exchange = await exchanges.open("POST", PATH, [])
        other = await exchanges.open("POST", PATH, [])
        await exchange.read()
        begun = time.monotonic()
        results = await asyncio.gather(exchange.read(), other.head(), return_exceptions=True)
        seconds = time.monotonic() - begun
        await exchanges.close()

    assert [str(result) for result in results] == ["the peer has fallen silent"] * 2
    assert [type(result) for result in results] == [StreamBroken, StreamRefused]
    assert heard == [PingFrame]
    assert 2.5 < seconds < 3.5  # 2.9 by the clock of test_liveness.py; a busy machine takes its time


async def test_a_quiet_peer_that_answers_is_left_alone() -> None:
    async def be_quiet(caller: Caller) -> None:
        await caller.greet()
        number = await caller.request()
        for _ in range(2):
            ping = await caller.until(PingFrame)
            caller.send(PingFrame(0, ping.opaque_data, flags=["ACK"]))
        caller.respond(number, b"after 3 s", end=True)
        await caller.hang_up()

    async with Scripted(be_quiet) as server:
        exchanges = server.exchanges()
        exchange = await exchanges.open("POST", PATH, [])
        body = await exchange.read()
        await exchanges.close()

    assert body == b"after 3 s"


async def test_letting_go_resets_the_stream_and_tells_everybody() -> None:
    frames = []

    async def serve(caller: Caller) -> None:
        await caller.greet()
        caller.respond(await caller.request())
        frames.append(await caller.until(RstStreamFrame))
        await caller.hang_up()

    async with Scripted(serve) as server:
        exchanges = server.exchanges()
        exchange = await exchanges.open("POST", PATH, [])
        await exchange.head()
        reading = asyncio.create_task(exchange.read())
        await asyncio.sleep(0)
        await exchange.close()
        await exchange.close()
        with pytest.raises(StreamBroken, match="closed by this side"):
            await reading
        await until(lambda: frames)
        await exchanges.close()

    assert (frames[0].stream_id, frames[0].error_code) == (1, ErrorCode.CANCEL)


async def test_nothing_is_written_behind_the_end_of_a_request() -> None:
    async def serve(caller: Caller) -> None:
        await caller.greet()
        await caller.hang_up()

    async with Scripted(serve) as server:
        exchanges = server.exchanges()
        exchange = await exchanges.open("POST", PATH, [])
        exchange.end_input()
        with pytest.raises(StreamBroken, match="ended before"):
            exchange.write(b"x")
        await exchanges.close()


async def test_room_waits_for_the_peers_window_and_keeps_what_was_written() -> None:
    got = bytearray()
    open_window = asyncio.Event()

    async def slow(caller: Caller) -> None:
        await caller.greet({4: 1000})
        number = await caller.request()
        await open_window.wait()
        while len(got) < 3 * ROOM_BYTES:
            got.extend((await caller.until(DataFrame)).data)
            caller.send(window(number, 1000), window(0, 1000))
        caller.respond(number, end=True)
        await caller.hang_up()

    async with Scripted(slow) as server:
        exchanges = server.exchanges()
        exchange = await exchanges.open("POST", PATH, [])
        exchange.write(b"a" * ROOM_BYTES)
        await exchange.room()
        exchange.write(b"b" * ROOM_BYTES)
        waiting = [asyncio.create_task(exchange.room()) for _ in range(3)]
        await asyncio.sleep(0.01)
        still = [task.done() for task in waiting]
        waiting[0].cancel()
        open_window.set()
        results = await asyncio.gather(*waiting, return_exceptions=True)
        exchange.write(b"c" * ROOM_BYTES)
        await exchange.read()
        await exchanges.close()

    assert still == [False] * 3
    assert [type(result) for result in results] == [asyncio.CancelledError, type(None), type(None)]
    assert bytes(got) == b"a" * ROOM_BYTES + b"b" * ROOM_BYTES + b"c" * ROOM_BYTES


async def test_room_waits_while_the_socket_takes_nothing(tls: Secure | None) -> None:
    go_on = asyncio.Event()
    got = 0

    async def sleep(caller: Caller) -> None:
        nonlocal got
        await caller.greet({4: 2**30})
        caller.send(window(0, 2**30))
        number = await caller.request()
        caller.writer.transport.pause_reading()  # type: ignore[attr-defined]  # a reading transport
        await go_on.wait()
        caller.writer.transport.resume_reading()  # type: ignore[attr-defined]  # a reading transport
        while got < total:
            got += len((await caller.until(DataFrame)).data)
        caller.respond(number, end=True)
        await caller.hang_up()

    async with Scripted(sleep, tls) as server:
        exchanges = server.exchanges()
        exchange = await exchanges.open("POST", PATH, [])
        total = 0
        try:
            async with asyncio.timeout(0.5):
                while True:
                    await exchange.room()
                    exchange.write(bytes(8192))
                    total += 8192
                    await asyncio.sleep(0)
        except TimeoutError:
            pass
        (wire,) = exchanges._wires
        transport = wire._transport
        assert transport is not None
        buffered = transport.get_write_buffer_size()
        go_on.set()
        await exchange.read()
        await exchanges.close()

    assert buffered < 4 * HIGH_WATER_BYTES
    assert got == total


async def test_a_reader_that_stands_still_bounds_what_waits(tls: Secure | None) -> None:
    sent = 0

    async def pour(caller: Caller) -> None:
        nonlocal sent
        await caller.greet()
        number, other = await caller.request(), await caller.request()
        caller.respond(number)
        room = RECEIVE_WINDOW_BYTES
        while room >= 8192:
            caller.send(DataFrame(number, bytes(8192)))
            room -= 8192
            sent += 8192
        caller.respond(other, b"not held up", end=True)
        await caller.hang_up()
        assert not [frame for frame in caller.frames if frame.stream_id == number and type(frame).__name__ == "WindowUpdateFrame"]

    async with Scripted(pour, tls) as server:
        exchanges = server.exchanges()
        unread, other = [await exchanges.open("POST", PATH, []) for _ in range(2)]
        body = await other.read()
        waiting = len(unread._stream.unread)
        await exchanges.close()

    assert body == b"not held up"
    assert waiting == sent == RECEIVE_WINDOW_BYTES


async def test_cancelled_reads_lose_nothing() -> None:
    async def dribble(caller: Caller) -> None:
        await caller.greet()
        number = await caller.request()
        caller.respond(number)
        for turn in range(300):
            caller.send(DataFrame(number, turn.to_bytes(2)))
            await caller.writer.drain()
            await asyncio.sleep(0.001)
        caller.send(DataFrame(number, b"", flags=["END_STREAM"]))
        await caller.hang_up()

    async with Scripted(dribble) as server:
        exchanges = server.exchanges()
        exchange = await exchanges.open("POST", PATH, [])
        got, cancelled = b"", 0
        while True:
            try:
                async with asyncio.timeout(0.0004):
                    piece = await exchange.read()
            except TimeoutError:
                cancelled += 1
                continue
            if piece is None:
                break
            got += piece
        await exchanges.close()

    assert got == b"".join(turn.to_bytes(2) for turn in range(300))
    assert cancelled > 100


async def test_a_cancelled_wait_for_the_head_leaves_the_others(tls: Secure | None) -> None:
    asked = asyncio.Event()

    async def late(caller: Caller) -> None:
        await caller.greet()
        number = await caller.request()
        await asked.wait()
        caller.respond(number, b"x", end=True)
        await caller.hang_up()

    async with Scripted(late, tls) as server:
        exchanges = server.exchanges()
        exchange = await exchanges.open("POST", PATH, [])
        waits = [asyncio.create_task(exchange.head()) for _ in range(2)]
        reading = asyncio.create_task(exchange.read())
        await asyncio.sleep(0)
        waits[0].cancel()
        await asyncio.wait({waits[0]})
        asked.set()
        head, body = await waits[1], await reading
        await exchanges.close()

    assert (head[0], body) == (200, b"x")


async def test_when_several_tasks_read_each_piece_goes_to_one_of_them() -> None:
    async def feed(caller: Caller) -> None:
        await caller.greet()
        number = await caller.request()
        caller.respond(number)
        for turn in range(4):
            caller.send(DataFrame(number, bytes([turn])))
            await caller.until(DataFrame)
        caller.send(DataFrame(number, b"", flags=["END_STREAM"]))
        await caller.hang_up()

    async with Scripted(feed) as server:
        exchanges = server.exchanges()
        exchange = await exchanges.open("POST", PATH, [])
        got: list[bytes] = []

        async def read() -> None:
            while (piece := await exchange.read()) is not None:
                got.append(piece)
                exchange.write(b"next")

        await asyncio.gather(*(read() for _ in range(3)))
        await exchanges.close()

    assert got == [b"\0", b"\1", b"\2", b"\3"]


async def test_settings_that_change_are_acknowledged() -> None:
    acknowledged: list[Frame] = []

    async def change(caller: Caller) -> None:
        await caller.greet()
        await caller.request()
        caller.send(SettingsFrame(0, {4: 5}))
        frames = await caller.hang_up()
        acknowledged.extend(frame for frame in frames if isinstance(frame, SettingsFrame) and "ACK" in frame.flags)

    async with Scripted(change) as server:
        exchanges = server.exchanges()
        exchange = await exchanges.open("POST", PATH, [])
        await until(lambda: exchange._stream.window == 5)
        await asyncio.sleep(0)
        await exchanges.close()

    assert len(acknowledged) == 2
