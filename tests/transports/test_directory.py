"""What is known and told of open connections, and how they are closed from outside."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from auth.principal import Principal
from tests.transports.doubles import Rig, running_server
from tests.web.cuttable import CuttableNetwork
from transports.dialects.binary import SUBPROTOCOL
from transports.directory import NO_CLOSE, Directory, LiveConnection

HELLO = '{"type":"hello","protocol":1}'
PING = '{"type":"ping","t":1}'


@dataclass
class Watcher:
    """Writes down what it is told."""

    told: list[tuple[object, ...]] = field(default_factory=list)
    is_stored: asyncio.Event = field(default_factory=asyncio.Event)
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    def opened(self, connection_id: str, principal: Principal, address: str, user_agent: str) -> asyncio.Event:
        self.told.append(("opened", connection_id, principal.user_id, address, user_agent))
        return self.is_stored

    def active(self, connection_id: str) -> None:
        self.told.append(("active", connection_id))

    def carries(self, connection_id: str, session_id: str) -> None:
        self.told.append(("carries", connection_id, session_id))

    def closed(self, connection_id: str, code: int) -> None:
        self.told.append(("closed", connection_id, code))

    def of_kind(self, kind: str) -> list[tuple[object, ...]]:
        return [each[1:] for each in self.told if each[0] == kind]


def quick() -> Watcher:
    watcher = Watcher()
    watcher.is_stored.set()
    return watcher


def page(rig: Rig, port: int | None = None, query: str = "") -> connect:
    address = f"ws://127.0.0.1:{port or rig.port}/ws{query}"
    return connect(address, subprotocols=[Subprotocol(SUBPROTOCOL)], compression=None, ping_interval=None, user_agent_header="Page/1.0")


async def started(client: ClientConnection) -> str:
    """Begin a session and return its id."""
    await client.send(HELLO)
    while (message := json.loads(await client.recv()))["type"] != "session.started":
        pass
    return str(message["session_id"])


async def until(is_so: Callable[[], bool]) -> None:
    while not is_so():  # noqa: ASYNC110 - what is waited for tells nobody
        await asyncio.sleep(0.01)


async def ended(rig: Rig, directory: Directory) -> None:
    """Wait until nothing is left."""
    await until(lambda: rig.registry.live == 0 and directory.open == 0)


async def closed(client: ClientConnection) -> None:
    """Read until the connection is closed."""
    while True:
        await client.recv()


@pytest.mark.req("S0-36", "S2-01", "S2-06")
async def test_the_life_of_a_connection_is_told() -> None:
    watcher = quick()
    directory = Directory(watcher)
    async with running_server(directory=directory) as rig:
        async with page(rig, query="?userId=eva") as client:
            session_id = await started(client)
            known = directory.of_user("eva")
            others = directory.of_user("ada")
        await ended(rig, directory)

    (connection_id, user, address, agent) = watcher.of_kind("opened")[0]
    assert (user, address, agent) == ("eva", "127.0.0.1", "Page/1.0")
    assert [live.id for live in known] == [connection_id]
    assert others == ()
    assert watcher.of_kind("carries") == [(connection_id, session_id)]
    assert watcher.of_kind("active") == [(connection_id,)]
    assert watcher.of_kind("closed") == [(connection_id, 1000)]


@pytest.mark.req("S2-06")
async def test_nothing_is_answered_before_the_connection_is_noted() -> None:
    watcher = Watcher()
    async with running_server(directory=Directory(watcher, stored_seconds=60)) as rig, page(rig) as client:
        await client.send(PING)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(client.recv(), 0.1)
        watcher.is_stored.set()

        assert json.loads(await client.recv()) == {"type": "pong", "t": 1}


@pytest.mark.req("S2-16")
async def test_a_note_that_takes_too_long_is_not_waited_for() -> None:
    async with running_server(directory=Directory(Watcher(), stored_seconds=0.01)) as rig, page(rig) as client:
        await client.send(PING)

        assert json.loads(await client.recv()) == {"type": "pong", "t": 1}


@pytest.mark.req("S2-07", "S2-19")
@pytest.mark.parametrize("resume_seconds", [0, 30])
async def test_a_connection_that_is_closed_from_outside_ends_its_session_for_good(resume_seconds: float) -> None:
    directory = Directory(quick())
    async with running_server(directory=directory, resume_seconds=resume_seconds) as rig, page(rig) as client, page(rig) as other:
        await started(client)
        await started(other)
        first = next(iter(directory._live))
        is_done = directory.disconnect(first, 4403, "disconnected by an operator")
        is_unknown = directory.disconnect("nobody", 4403, "disconnected by an operator")
        with pytest.raises(ConnectionClosed):
            await closed(client)
        await until(lambda: rig.registry.live == 1)
        await other.send(PING)
        while json.loads(await other.recv())["type"] != "pong":
            pass

        assert (is_done, is_unknown) == (True, False)
        assert (client.close_code, client.close_reason) == (4403, "disconnected by an operator")
        assert [stream.is_closed for stream in rig.model.streams] == [True, False]
        assert directory.find(first) is None


@pytest.mark.req("S2-07")
async def test_a_peer_that_does_not_answer_the_close_is_gone_all_the_same() -> None:
    watcher = quick()
    directory = Directory(watcher)
    async with running_server(directory=directory, resume_seconds=30) as rig, CuttableNetwork(rig.port) as network:
        client = await page(rig, network.port)
        await started(client)
        network.fall_silent()
        directory.disconnect(next(iter(directory._live)), 4403, "disconnected by an operator")
        await ended(rig, directory)
        network.cut()

        assert rig.model.streams[0].is_closed
        assert len(watcher.of_kind("closed")) == 1


@pytest.mark.req("S2-15")
async def test_a_peer_that_falls_silent_is_found_out_by_a_ping_and_all_it_held_is_freed() -> None:
    watcher = quick()
    directory = Directory(watcher)
    async with running_server(directory=directory, ping_seconds=0.2) as rig, CuttableNetwork(rig.port) as network:
        client = await page(rig, network.port)
        await started(client)
        silent = next(iter(directory._live))
        neighbour = await page(rig)
        await neighbour.send(PING)
        await neighbour.recv()
        network.fall_silent()
        await until(lambda: directory.find(silent) is None)
        await neighbour.send(PING)
        answer = json.loads(await neighbour.recv())
        await until(lambda: rig.registry.live == 0)
        await neighbour.close()
        network.cut()

        assert rig.model.streams[0].is_closed
        assert answer == {"type": "pong", "t": 1}
        assert watcher.of_kind("closed")[0] == (silent, NO_CLOSE)


@pytest.mark.req("S2-08")
def test_activity_is_told_once_in_fifteen_seconds() -> None:
    watcher = quick()
    live = LiveConnection("c1", Principal("eva"))
    live.watcher = watcher
    for hundredths in range(100 * 60 * 10):
        live.active(hundredths / 100)

    assert len(watcher.told) == 40


@pytest.mark.parametrize(
    ("said", "kept"), [("Mozilla/5.0", "Mozilla/5.0"), ("x" * 1000, "x" * 256), ("a\x07b\udcffc\xe9\n", "a?b?c??"), ("", "")]
)
def test_of_what_a_client_says_of_itself_a_line_of_ascii_is_kept(said: str, kept: str) -> None:
    assert LiveConnection("c1", Principal(""), "192.0.2.7", said).user_agent == kept


@pytest.mark.parametrize(
    ("principal", "address", "expected"),
    [
        (Principal("eva", expires_at=1.0), "192.0.2.7", "user:eva"),
        (Principal("eva"), "192.0.2.7", "address:192.0.2.7"),
        (Principal("eva"), "2001:db8::1:2:3:4", "address:2001:db8::/64"),
        (Principal(""), "", ""),
    ],
)
def test_attempts_are_counted_for_users_that_are_known_and_for_addresses_else(principal: Principal, address: str, expected: str) -> None:
    assert LiveConnection("c1", principal, address).caller == expected
