"""What a stream needs of HTTP/2 (s2s.bedrock.interfaces), held by both transports: against a server that does what each test writes down.

Where the Common Runtime cannot know better, a test says so: its binding tells no error code of a reset, and resets no single stream.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
from hyperframe.frame import DataFrame, GoAwayFrame, HeadersFrame, RstStreamFrame, WindowUpdateFrame

from nova_sonic_local.certificates import server_context
from s2s.bedrock.http2.frames import ErrorCode
from s2s.bedrock.interfaces import ROOM_BYTES, CannotConnect, Exchange, Exchanges, StreamBroken, StreamRefused
from tests.s2s.http2.scripted import PATH, Caller, Script, Scripted, Secure
from tests.s2s.ways import Way

TOLD_SECONDS = 1.0
"""What a peer says is told at once."""
DEFAULT_WINDOW_BYTES = 65_535


@pytest.fixture(scope="session")
def secure(tmp_path_factory: pytest.TempPathFactory) -> Secure:
    """Return what a server with TLS needs, and its clients."""
    context, ca_file = server_context(tmp_path_factory.mktemp("authority"))
    return Secure(context, str(ca_file))


class Line:
    """Connects a client to scripted servers, one way."""

    def __init__(self, way: Way, secure: Secure) -> None:
        self.way, self._secure = way, secure

    @asynccontextmanager
    async def calling(self, script: Script) -> AsyncIterator[Exchanges]:
        """Run a server and what opens exchanges with it."""
        async with Scripted(script, self._secure if self.way is not Way.H2C else None) as server:
            exchanges = self.way.exchanges(server.uri, self._secure.ca_file)
            try:
                async with asyncio.timeout(10):
                    yield exchanges
            finally:
                await exchanges.close()

    @asynccontextmanager
    async def called(self, script: Script) -> AsyncIterator[Exchange]:
        """Run a server and open one exchange with it."""
        async with self.calling(script) as exchanges:
            exchange = await exchanges.open("POST", PATH, [("content-type", "application/vnd.amazon.eventstream")])
            yield exchange
            await exchange.close()


@pytest.fixture
def line(way: Way, secure: Secure) -> Line:
    """Run the test once for each way."""
    return Line(way, secure)


async def broken(waiting: asyncio.Future[object] | asyncio.Task[object]) -> StreamBroken:
    """Return what a wait ends with, in time."""
    with pytest.raises(StreamBroken) as told:
        async with asyncio.timeout(TOLD_SECONDS):
            await waiting
    return told.value


async def read_all(exchange: Exchange) -> bytes:
    data = bytearray()
    while (piece := await exchange.read()) is not None:
        data += piece
    return bytes(data)


async def test_a_request_and_a_response_pass_each_other(line: Line) -> None:
    heard = bytearray()

    async def script(caller: Caller) -> None:
        await caller.greet()
        number = await caller.request()
        caller.respond(number, b"first")
        while not (frame := await caller.until(DataFrame)).flags:
            heard.extend(frame.data)
            caller.send(DataFrame(number, frame.data.upper()))
        caller.send(DataFrame(number, b"last", flags=["END_STREAM"]))
        await caller.hang_up()

    async with line.called(script) as exchange:
        status, headers = await exchange.head()
        first = await exchange.read()
        exchange.write(b"one")
        second = await exchange.read()
        exchange.end_input()
        rest = await read_all(exchange)
        again = await exchange.read()

        assert (status, dict(headers)["content-type"]) == (200, "application/vnd.amazon.eventstream")
        assert (first, second, rest, again) == (b"first", b"ONE", b"last", None)
        assert exchange.is_over
        assert bytes(heard) == b"one"


async def test_interim_heads_are_passed_over(line: Line) -> None:
    async def script(caller: Caller) -> None:
        await caller.greet()
        number = await caller.request()
        for status in ("100", "103"):
            caller.send(HeadersFrame(number, caller.encoder.encode([(":status", status)]), flags=["END_HEADERS"]))
        caller.respond(number, b"data", end=True)
        await caller.hang_up()

    async with line.called(script) as exchange:
        status, _ = await exchange.head()

        assert (status, await read_all(exchange)) == (200, b"data")


def ending(code: ErrorCode, *, is_whole: bool) -> Script:
    async def script(caller: Caller) -> None:
        await caller.greet()
        number = await caller.request()
        caller.respond(number, b"some", end=is_whole)
        caller.send(RstStreamFrame(number, error_code=code))
        await caller.hang_up()

    return script


@pytest.mark.parametrize("code", [ErrorCode.NO_ERROR, ErrorCode.CANCEL, ErrorCode.INTERNAL_ERROR, ErrorCode.REFUSED_STREAM])
async def test_a_reset_in_the_middle_is_no_end_and_what_came_before_it_is_read(line: Line, code: ErrorCode) -> None:
    async with line.called(ending(code, is_whole=False)) as exchange:
        status, _ = await exchange.head()
        async with asyncio.timeout(TOLD_SECONDS):
            data = await exchange.read()
            error = await broken(asyncio.ensure_future(exchange.read()))
        again = await broken(asyncio.ensure_future(exchange.read()))

        assert (status, data) == (200, b"some")
        assert not isinstance(error, StreamRefused)  # its head says that it was looked at
        assert type(again) is type(error)
        assert exchange.is_over


async def test_a_reset_after_the_whole_response_is_no_failure(line: Line) -> None:
    async with line.called(ending(ErrorCode.NO_ERROR, is_whole=True)) as exchange:
        await exchange.head()

        assert await read_all(exchange) == b"some"
        assert await exchange.read() is None


async def test_a_reset_before_the_head_ends_the_wait_for_it(line: Line) -> None:
    async def script(caller: Caller) -> None:
        await caller.greet()
        caller.send(RstStreamFrame(await caller.request(), error_code=ErrorCode.INTERNAL_ERROR))
        await caller.hang_up()

    async with line.called(script) as exchange:
        error = await broken(asyncio.ensure_future(exchange.head()))

        assert not isinstance(error, StreamRefused)


async def test_a_stream_that_the_peer_refuses_is_told_apart(line: Line) -> None:
    async def script(caller: Caller) -> None:
        await caller.greet()
        caller.send(RstStreamFrame(await caller.request(), error_code=ErrorCode.REFUSED_STREAM))
        await caller.hang_up()

    async with line.called(script) as exchange:
        error = await broken(asyncio.ensure_future(exchange.head()))

        assert isinstance(error, StreamRefused) or line.way is Way.CRT  # which does not tell the code of a reset


async def test_a_goaway_that_leaves_our_stream_out_refuses_it(line: Line) -> None:
    async def script(caller: Caller) -> None:
        await caller.greet()
        await caller.request()
        caller.send(GoAwayFrame(0, last_stream_id=0))
        await caller.hang_up()

    async with line.called(script) as exchange:
        error = await broken(asyncio.ensure_future(exchange.head()))

        assert isinstance(error, StreamRefused)


async def test_a_goaway_that_keeps_our_stream_lets_it_end_and_new_ones_go_elsewhere(line: Line) -> None:
    async def script(caller: Caller) -> None:
        await caller.greet()
        number = await caller.request()
        caller.respond(number, b"before ")
        caller.send(GoAwayFrame(0, last_stream_id=number))
        while not (await caller.until(DataFrame)).data:
            pass
        caller.send(DataFrame(number, b"after", flags=["END_STREAM"]))
        await caller.hang_up()

    async with line.calling(script) as exchanges:
        first = await exchanges.open("POST", PATH, [])
        await first.head()
        before = await first.read()
        second = await exchanges.open("POST", PATH, [])
        await second.head()
        first.write(b"go on")
        after = await read_all(first)
        is_second_alive = not second.is_over
        await first.close()
        await second.close()

    assert ((before or b"") + after, is_second_alive) == (b"before after", True)


@pytest.mark.parametrize("how", ["TCP reset", "end of TCP", "goaway and end of TCP"])
@pytest.mark.parametrize("is_answered", [True, False], ids=["answered", "before the head"])
async def test_a_lost_connection_breaks_every_wait(line: Line, how: str, *, is_answered: bool) -> None:
    lose = asyncio.Event()

    async def script(caller: Caller) -> None:
        await caller.greet()
        number = await caller.request()
        if is_answered:
            caller.respond(number, b"some")
        await lose.wait()
        if how == "TCP reset":
            caller.writer.transport.abort()
            return
        if how.startswith("goaway"):
            caller.send(GoAwayFrame(0, last_stream_id=number, error_code=ErrorCode.INTERNAL_ERROR))
        caller.writer.close()

    async with line.called(script) as exchange:
        if is_answered:
            await exchange.head()
            assert await exchange.read() == b"some"
        waiting = [asyncio.ensure_future(exchange.read() if is_answered else exchange.head()) for _ in range(2)]
        await asyncio.sleep(0)
        lose.set()
        errors = [await broken(each) for each in waiting]

        assert not any(isinstance(error, StreamRefused) for error in errors)
        with pytest.raises(StreamBroken):
            exchange.write(b"more")
        with pytest.raises(StreamBroken):
            await exchange.room()
        exchange.end_input()


async def test_what_a_peer_does_not_take_waits_and_room_waits_with_it(line: Line) -> None:
    widen, taken = asyncio.Event(), bytearray()

    async def script(caller: Caller) -> None:
        await caller.greet()
        number = await caller.request()
        caller.respond(number)
        while len(taken) < DEFAULT_WINDOW_BYTES:
            taken.extend((await caller.until(DataFrame)).data)
        await widen.wait()
        caller.send(WindowUpdateFrame(0, window_increment=1 << 20), WindowUpdateFrame(number, window_increment=1 << 20))
        while len(taken) < len(written):
            taken.extend((await caller.until(DataFrame)).data)
        caller.send(DataFrame(number, b"enough", flags=["END_STREAM"]))
        await caller.hang_up()

    pieces = [bytes([number % 256]) * 1024 for number in range((DEFAULT_WINDOW_BYTES + 2 * ROOM_BYTES) // 1024)]
    written = b"".join(pieces)
    async with line.called(script) as exchange:
        await exchange.head()
        was_roomy = exchange.has_room
        for piece in pieces:
            exchange.write(piece)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):  # also: a wait that is cancelled does no harm
                await exchange.room()
        is_roomy = exchange.has_room
        waiting = [asyncio.ensure_future(exchange.room()) for _ in range(2)]
        widen.set()
        async with asyncio.timeout(TOLD_SECONDS):
            await asyncio.gather(*waiting)
        rest = await read_all(exchange)

        assert (was_roomy, is_roomy, rest) == (True, False, b"enough")
        assert bytes(taken) == written


async def test_a_wait_for_room_ends_with_the_stream(line: Line) -> None:
    full = asyncio.Event()

    async def script(caller: Caller) -> None:
        await caller.greet()
        number = await caller.request()
        caller.respond(number)
        await full.wait()
        caller.send(RstStreamFrame(number, error_code=ErrorCode.CANCEL))
        await caller.hang_up()

    async with line.called(script) as exchange:
        await exchange.head()
        while exchange.has_room:
            exchange.write(bytes(8192))
            await asyncio.sleep(0)

        async def fill() -> None:
            while True:  # the common runtime takes more in its own time
                await exchange.room()
                with suppress(StreamBroken):  # it may learn of the end a little before its task does
                    exchange.write(bytes(8192))
                await asyncio.sleep(0)

        waiting = asyncio.create_task(fill())
        await asyncio.sleep(0)
        full.set()
        await broken(waiting)

        assert not exchange.has_room


async def test_reads_that_are_cancelled_lose_nothing(line: Line) -> None:
    async def script(caller: Caller) -> None:
        await caller.greet()
        number = await caller.request()
        caller.respond(number)
        for index in range(50):
            await caller.until(DataFrame)
            caller.send(DataFrame(number, bytes([index])))
        caller.send(DataFrame(number, b"", flags=["END_STREAM"]))
        await caller.hang_up()

    async with line.called(script) as exchange:
        await exchange.head()
        data = bytearray()
        for _ in range(50):
            waiting = asyncio.ensure_future(exchange.read())
            await asyncio.sleep(0)
            exchange.write(b"next")
            await asyncio.sleep(0)
            waiting.cancel()
            await asyncio.wait({waiting})
            data += (waiting.result() if not waiting.cancelled() else None) or b""
        data += await read_all(exchange)

        assert bytes(data) == bytes(range(50))


async def test_take_returns_what_is_there_and_does_not_wait(line: Line) -> None:
    async def script(caller: Caller) -> None:
        await caller.greet()
        number = await caller.request()
        caller.respond(number)
        await caller.until(DataFrame)
        caller.send(DataFrame(number, b"some", flags=["END_STREAM"]))
        await caller.hang_up()

    async with line.called(script) as exchange:
        await exchange.head()
        nothing = exchange.take()
        exchange.write(b"now")
        async with asyncio.timeout(TOLD_SECONDS):
            while not exchange.is_over:  # noqa: ASYNC110 -- take tells nobody
                await asyncio.sleep(0.001)
        something, again = exchange.take(), exchange.take()

        assert (nothing, something, again) == (b"", b"some", b"")
        assert await exchange.read() is None


async def test_nothing_is_written_behind_the_end_of_a_request(line: Line) -> None:
    async def script(caller: Caller) -> None:
        await caller.greet()
        number = await caller.request()
        caller.respond(number)
        while "END_STREAM" not in (await caller.until(DataFrame)).flags:
            pass
        caller.send(DataFrame(number, b"heard", flags=["END_STREAM"]))
        await caller.hang_up()

    async with line.called(script) as exchange:
        await exchange.head()
        exchange.write(b"something")
        exchange.end_input()
        exchange.end_input()
        with pytest.raises(StreamBroken):
            exchange.write(b"more")

        assert await read_all(exchange) == b"heard"
        exchange.end_input()


async def test_letting_go_tells_the_peer_and_everybody_who_waits(line: Line) -> None:
    codes: list[int] = []

    async def script(caller: Caller) -> None:
        await caller.greet()
        caller.respond(await caller.request())
        frames = await caller.hang_up()
        codes.extend(frame.error_code for frame in frames if isinstance(frame, RstStreamFrame))

    async with line.calling(script) as exchanges:
        exchange = await exchanges.open("POST", PATH, [])
        await exchange.head()
        reading = asyncio.ensure_future(exchange.read())
        await asyncio.sleep(0)
        async with asyncio.timeout(TOLD_SECONDS):
            await asyncio.gather(exchange.close(), exchange.close())
        await broken(reading)
        with pytest.raises(StreamBroken):
            exchange.write(b"more")

        assert exchange.is_over
        assert exchange.take() == b""

    assert codes == ([] if line.way is Way.CRT else [ErrorCode.CANCEL])  # which cannot reset one stream, and closes the connection


async def test_closing_the_exchanges_ends_them_and_their_connections(line: Line) -> None:
    async def script(caller: Caller) -> None:
        await caller.greet()
        caller.respond(await caller.request())
        await caller.hang_up()

    async with line.calling(script) as exchanges:
        exchange = await exchanges.open("POST", PATH, [])
        await exchange.head()
        reading = asyncio.ensure_future(exchange.read())
        await asyncio.sleep(0)
        async with asyncio.timeout(2 * TOLD_SECONDS):
            await exchanges.close()
        await broken(reading)
        with pytest.raises(CannotConnect):
            await exchanges.open("POST", PATH, [])
        with pytest.raises(CannotConnect):
            await exchanges.reach()


async def test_reaching_makes_one_connection_and_keeps_no_stream(line: Line) -> None:
    callers: list[Caller] = []

    async def script(caller: Caller) -> None:
        callers.append(caller)
        await caller.greet()
        await caller.hang_up()

    async with line.calling(script) as exchanges:
        await exchanges.reach()

    assert len(callers) == 1
    assert not [frame for frame in callers[0].frames if isinstance(frame, HeadersFrame)]


async def test_an_opening_that_is_given_up_leaves_no_exchange(line: Line) -> None:
    requests: list[int] = []

    async def script(caller: Caller) -> None:
        await caller.greet()
        while True:
            requests.append(await caller.request())

    async with line.calling(script) as exchanges:
        for turns in (0, 1, 3):
            opening = asyncio.ensure_future(exchanges.open("POST", PATH, []))
            for _ in range(turns):
                await asyncio.sleep(0)
            opening.cancel()
            await asyncio.wait({opening})

    assert requests == []


def test_there_is_no_exchange_of_the_common_runtime_without_tls(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="must be an https URI"):
        Way.CRT.exchanges("http://localhost:8443", str(tmp_path))
