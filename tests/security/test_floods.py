"""Too much of everything: messages, sound, connections, conversations, and clients that do not read, or are not there any more."""

import asyncio
import resource
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
import pytest_asyncio
from websockets.exceptions import ConnectionClosed, InvalidStatus

from bench.positions import coded_speech
from bench.processes import weigh
from tests.e2e.clients import HEADER
from tests.security.battery import Attacker, Ground, battleground, healthy, knock
from tests.security.tongues import COMPANION, PAGE, RAW, REALTIME, VOICE, Frame, Tongue
from tests.transports import raw_client

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.req("S2-29", "S2-28", "S2-16")]

CONNECTIONS_OF_AN_ADDRESS = 60
PER_USER = 3
FLOOD_SECONDS = 1
SETTINGS = {
    "MAX_CONNECTIONS_PER_ADDRESS": str(CONNECTIONS_OF_AN_ADDRESS),
    "HANDSHAKES_PER_SECOND_PER_ADDRESS": "20",
    "MAX_SESSIONS_PER_USER": str(PER_USER),
    "FLOOD_SECONDS": str(FLOOD_SECONDS),
    "RESUME_GRACE_SECONDS": "0",
}
HANDSHAKE = (
    b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
BURST = 40
BURST_SECONDS = 0.02
"""Four times what the server reads of anybody, and little enough for this process, in which the model runs."""
KILOBYTES_OF_ONE = 12 * 1_024
"""What one client may cost while it misbehaves: what is read ahead, what waits for it, and what the allocator makes of it."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def ground(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Ground]:
    """A server with limits that can be reached."""
    async with battleground(tmp_path_factory.mktemp("battery"), SETTINGS) as running:
        yield running


def sound(tongue: Tongue, pcm: bytes) -> Frame:
    """Return a frame with sound."""
    return HEADER.pack(1, 0, 0, 0, 0, 0) + pcm if tongue is PAGE else raw_client.audio(pcm)


async def until_shown_out(attacker: Attacker, frame: Frame, seconds: float) -> int | None:
    """Send one frame again and again until the server closes; return the close code."""
    try:
        async with asyncio.timeout(seconds):
            while True:
                for _ in range(BURST):
                    await attacker.socket.send(frame)
                await asyncio.sleep(BURST_SECONDS)
    except ConnectionClosed:
        pass
    return await attacker.until_closed()


FLOODS: dict[str, tuple[Tongue, Frame]] = {
    "pings of a page": (PAGE, '{"type":"ping","t":1}'),
    "reports of playback": (PAGE, '{"type":"playback","turn":1,"heard_ms":1}'),
    "events that mean nothing": (RAW, raw_client.event("ping")),
    "pings of the voice dialect": (VOICE, '{"type":"ping"}'),
    "pings of the companion": (COMPANION, '{"action":"ping"}'),
    "buffers that are cleared": (REALTIME, '{"type":"input_audio_buffer.clear"}'),
    "sound of a page": (PAGE, sound(PAGE, coded_speech(512))),
    "sound of a raw client": (RAW, sound(RAW, coded_speech(512))),
}


@pytest.mark.parametrize("name", FLOODS)
async def test_a_flood_is_held_back_and_then_shown_out(ground: Ground, name: str) -> None:
    tongue, frame = FLOODS[name]
    async with ground.watched(), ground.attacker(tongue, max_queue=None) as attacker:
        await attacker.begin()
        before = weigh(ground.server.process.pid).memory_kilobytes

        assert await until_shown_out(attacker, frame, 60) == 4429
        assert weigh(ground.server.process.pid).memory_kilobytes - before < KILOBYTES_OF_ONE


NONSENSE: dict[str, Frame] = {
    "short": "not JSON",
    "long": "x" * 250_000,
    "bytes": bytes(250_000),
    "an event": raw_client.event("fly"),
}


@pytest.mark.parametrize("name", NONSENSE)
async def test_a_flood_of_nonsense_ends_after_twenty_answers_at_most(ground: Ground, name: str) -> None:
    async with ground.watched(), ground.attacker(RAW) as attacker:
        # Who goes on sending may be reset before the close code has arrived.
        assert await until_shown_out(attacker, NONSENSE[name], 20) in (1008, 4429, 1006)
        assert 0 < len(attacker.codes) <= 21


async def test_a_flood_of_answers_to_no_ping_costs_nobody_anything(ground: Ground) -> None:
    async with ground.watched(), ground.attacker() as attacker:
        for _ in range(50):
            attacker.socket.transport.write(b"\x8a\x80\0\0\0\0" * 500)
            await healthy(ground.port)

        assert await attacker.codes_until_probe(0) == [PAGE.probe_code]


async def test_who_does_not_read_is_bounded_and_nobody_waits_for_them(ground: Ground) -> None:
    async with ground.watched(), ground.attacker() as attacker:
        await attacker.begin()
        await attacker.until(lambda: bool(attacker.named("session.started")))
        before = weigh(ground.server.process.pid).memory_kilobytes
        attacker.socket.transport.pause_reading()
        speech = coded_speech(12 * 16_000)
        for number, start in enumerate(range(0, len(speech), 4_096)):  # at four times the pace of speech
            await attacker.send(HEADER.pack(1, 0, 0, number, 0, 0) + speech[start : start + 4_096])
            await asyncio.sleep(0.032)
            assert weigh(ground.server.process.pid).memory_kilobytes - before < KILOBYTES_OF_ONE
        attacker.socket.transport.resume_reading()


async def test_fifty_who_do_not_read_a_page_keep_nobody_from_it(ground: Ground) -> None:
    async with ground.watched():
        deaf = [await asyncio.open_connection("127.0.0.1", ground.port, limit=1) for _ in range(50)]
        for _, writer in deaf:
            writer.write(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        told = await knock(ground, [b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"])
        for _, writer in deaf:
            writer.close()

        assert told.statuses == [200]


async def test_of_a_thousand_requests_at_once_on_a_connection_one_is_answered(ground: Ground) -> None:
    async with ground.watched():
        told = await knock(ground, [b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n" * 1_000], seconds=5)

        assert told.is_closed
        assert told.statuses == [200]


def reset(attacker: Attacker) -> None:
    attacker.socket.transport.abort()


def half_close(attacker: Attacker) -> None:
    attacker.socket.transport.write_eof()


def break_off_a_frame(attacker: Attacker) -> None:
    attacker.socket.transport.write(b"\x82\xfe\xff\xff\0\0\0\0half")
    half_close(attacker)


def break_off_a_message(attacker: Attacker) -> None:
    attacker.socket.transport.write(b"\x01\x81\0\0\0\0a")
    half_close(attacker)


ENDS: dict[str, Callable[[Attacker], None]] = {
    "a reset": reset,
    "half of the connection": half_close,
    "the middle of a frame": break_off_a_frame,
    "the middle of a message": break_off_a_message,
}


@pytest.mark.parametrize("tongue", [PAGE, RAW, VOICE, COMPANION, REALTIME], ids=lambda tongue: tongue.name)
@pytest.mark.parametrize("name", ENDS)
async def test_who_is_gone_without_a_word_leaves_nothing(ground: Ground, tongue: Tongue, name: str) -> None:
    before = ground.before.sessions
    async with ground.watched(), ground.attacker(tongue) as attacker:
        await attacker.begin()
        ENDS[name](attacker)

        assert await ground.server.until(lambda: ground.server.sessions() == before)


async def test_two_hundred_who_come_and_go_at_once_disturb_nobody(ground: Ground) -> None:
    async with ground.watched():
        for _ in range(200):
            one = socket.create_connection(("127.0.0.1", ground.port))
            one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # closes with a reset
            one.send(b"GET / HTTP/1.1\r\nHost: loc")
            one.close()
        await asyncio.sleep(0)


async def fill(ground: Ground, stack: AsyncExitStack, count: int, query: str = "") -> Iterator[Attacker]:
    """Hold so many connections."""
    return iter([await stack.enter_async_context(ground.attacker(query=query)) for _ in range(count)])


async def refused(ground: Ground, **headers: str) -> tuple[int, str]:
    """Connect in vain; return the status and when to come again."""
    with pytest.raises(InvalidStatus) as refusal:
        async with ground.attacker(additional_headers={name.replace("_", "-"): value for name, value in headers.items()}):
            pass
    response = refusal.value.response
    return response.status_code, str(response.headers.get("Retry-After"))


async def test_an_address_that_hoards_connections_gets_no_more_whatever_it_says_of_itself(ground: Ground) -> None:
    async with ground.watched(), AsyncExitStack() as stack:
        held = list(await fill(ground, stack, CONNECTIONS_OF_AN_ADDRESS - 1))  # one is the neighbour's
        status, wait = await refused(ground)
        spoofed = [await refused(ground, X_Forwarded_For=address) for address in ("8.8.8.8", "1.1.1.1, 8.8.8.8", "::1", "nonsense")]
        await held[0].socket.close()
        async with ground.attacker() as another:
            told = await another.codes_until_probe(0)

        assert status == 429
        assert int(wait) > 0
        assert {each[0] for each in spoofed} == {429}
        assert told == [PAGE.probe_code]


async def test_a_user_who_hoards_conversations_gets_no_more(ground: Ground) -> None:
    async with ground.watched(), AsyncExitStack() as stack:
        hoard = list(await fill(ground, stack, PER_USER + 1, "?userId=ana"))
        for client in hoard[:PER_USER]:
            await client.begin()
            await client.until(lambda client=client: bool(client.named("session.started")))  # type: ignore[misc]
        await hoard[-1].begin()
        await hoard[-1].until(lambda: bool(hoard[-1].codes))
        async with ground.attacker(query="?userId=eva") as other:
            await other.begin()
            await other.until(lambda: bool(other.named("session.started")))

        assert hoard[-1].codes == ["too_many"]
        assert hoard[-1].errors[0]["retryable"] is True


async def test_a_herd_of_handshakes_is_served_in_part_and_told_when_to_come_again(ground: Ground) -> None:
    async def one() -> int:
        told = await knock(ground, [HANDSHAKE], seconds=0.2)
        assert told.statuses in ([], [101], [429])
        assert (b"Retry-After" in told.data) == (told.statuses == [429])
        return (told.statuses or [0])[0]

    async with ground.watched():
        told = [status for _ in range(12) for status in await asyncio.gather(*(one() for _ in range(20)))]

        assert {101, 429} <= set(told)
    async with asyncio.timeout(20):
        while await one() != 101:  # noqa: ASYNC110 - the server lets more in as time passes
            await asyncio.sleep(0.2)


async def test_without_descriptors_nobody_is_thrown_out_and_later_all_is_well(ground: Ground) -> None:
    pid = ground.server.process.pid
    usual = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    files = max(int(link.name) for link in Path(f"/proc/{pid}/fd").iterdir())
    async with ground.watched():
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (files + 10, usual[1]))
        try:
            many = [socket.create_connection(("127.0.0.1", ground.port)) for _ in range(60)]
            await asyncio.sleep(1.0)  # the server runs into its limit meanwhile; nothing tells of it
            heard = ground.neighbour.heard
            used = weigh(pid).cpu_seconds
            await asyncio.sleep(1.0)
            busy_seconds = weigh(pid).cpu_seconds - used
            for one in many:
                one.close()
        finally:
            resource.prlimit(pid, resource.RLIMIT_NOFILE, usual)

        assert ground.neighbour.heard > heard
        assert busy_seconds < 0.8
        assert await ground.server.until(lambda: len(list(Path(f"/proc/{pid}/fd").iterdir())) <= files + 10)


async def test_afterwards_everything_is_as_it_was(ground: Ground) -> None:
    await ground.unharmed()
