"""The harness of the battery: one server for a whole file of hostile cases, a neighbour who talks all the while, and what must hold.

Each case runs inside `Ground.watched`: afterwards the server answers /health in time, the neighbour has been told of no trouble, and
nothing that the case was answered gives away how the server works inside. `Ground.unharmed` is the last test of a file: not a sample of the
neighbour's is lost or doubled, what the process holds is what it held before, and nothing of what the cases planted is in the log.
"""

import asyncio
import json
import os
import re
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from bench.positions import coded_speech
from bench.processes import weigh
from nova_sonic_local.server import NovaSonicLocal
from tests.e2e.clients import PIECE_BYTES, Client
from tests.e2e.desk import POLL_SECONDS, Model, Server, desk
from tests.security.neighbours import CountListener, EchoListener, Neighbour
from tests.security.tongues import HERTZ, PAGE, TONGUES, Frame, Json, Tongue, error_of

HEALTH_SECONDS = 1.0
"""On a machine that does nothing else; longer by as much as others keep it busy."""
ANSWER_SECONDS = 10.0
SETTLE_SECONDS = 20.0
GROWTH_KILOBYTES = 24 * 1_024
"""What the process may keep of a whole file of cases. Freed memory stays with the allocator in part: the largest messages, of which a
connection reads four ahead, leave holes."""
NEIGHBOUR_SECONDS = 280
"""The longest that a file of cases may take."""

CANARY = "canary-5e1f"
"""In whatever hostile cases send; never in the log."""
DNI = "12345678"
RECORDS = (DNI, "87654321", "Juan Pérez", "juan.perez", "María García", "maria.garcia", "Ana Martínez")
"""Of the example records."""
INTERNALS = re.compile(
    r'Traceback|File "|\.py\b|site-packages|/(?:usr|home|work|root|tmp)/|websockets|aiohttp|orjson|sqlite|uvloop|object at 0x'
)
"""What an answer never shows: how the server is made and where it lies."""


@dataclass(frozen=True, slots=True)
class Standing:
    """What the server's process holds."""

    kilobytes: int
    open_files: int
    """Without what is kept for the next one who needs it: connections to the model and to the database."""
    sessions: int
    streams: int
    """That the model serves."""


@dataclass(slots=True)
class Attacker:
    """A client that sends what it likes."""

    socket: ClientConnection
    tongue: Tongue
    answers: list[Frame] = field(default_factory=list)
    closed: asyncio.Event = field(default_factory=asyncio.Event)
    _arrived: asyncio.Event = field(default_factory=asyncio.Event)

    async def send(self, *frames: Frame) -> None:
        """Send frames; a connection that the server has closed meanwhile takes no more."""
        try:
            for frame in frames:
                await self.socket.send(frame)
        except ConnectionClosed:
            return

    async def begin(self) -> None:
        """Begin a conversation."""
        await self.send(*self.tongue.opening)

    async def listen(self) -> None:
        """Keep what comes until the connection is closed."""
        try:
            async for frame in self.socket:
                self.answers.append(frame)
                self._arrived.set()
        except ConnectionClosed:
            pass
        self.closed.set()
        self._arrived.set()

    async def until(self, condition: Callable[[], bool], seconds: float = ANSWER_SECONDS) -> None:
        """Wait until something that has come makes the condition true."""
        try:
            async with asyncio.timeout(seconds):
                while not condition():
                    assert not self.closed.is_set(), f"closed with {self.socket.close_code}: {self.answers[-3:]!r}"
                    self._arrived.clear()
                    await self._arrived.wait()
        except TimeoutError:
            raise AssertionError(f"{seconds} s are over: {self.answers[-3:]!r}") from None

    async def until_closed(self, seconds: float = ANSWER_SECONDS) -> int | None:
        """Wait until the server closes; return the close code."""
        async with asyncio.timeout(seconds):
            await self.closed.wait()
        return self.socket.close_code

    async def codes_until_probe(self, count: int) -> list[str]:
        """Send what is refused for certain, and return the codes of all errors until then.

        Args:
            count: how many errors are expected before.
        """
        await self.send(self.tongue.probe)
        await self.until(lambda: len(self.codes) > count)
        return self.codes

    @property
    def messages(self) -> list[Json]:
        """All text frames."""
        return [json.loads(frame) for frame in self.answers if isinstance(frame, str)]

    @property
    def errors(self) -> list[Json]:
        """All errors so far, in whatever shape."""
        return [error for message in self.messages if (error := error_of(message)) is not None]

    @property
    def codes(self) -> list[str]:
        """Their codes."""
        return [str(error["code"]) for error in self.errors]

    def named(self, kind: str) -> list[Json]:
        """Return the messages of a type."""
        return [message for message in self.messages if message.get("type") == kind]


@dataclass(slots=True)
class Ground:
    """A server under attack."""

    server: Server
    emulator: NovaSonicLocal
    model: Model
    neighbour: Neighbour
    before: Standing
    headers: Mapping[str, str] = field(default_factory=dict)
    """Of everybody's handshake, unless a case has its own."""
    answered: list[str] = field(default_factory=list)
    """What cases were told since the last look."""

    @property
    def port(self) -> int:
        """Of the server."""
        return int(self.server.url.rstrip("/").rsplit(":", 1)[1])

    @asynccontextmanager
    async def watched(self) -> AsyncIterator[None]:
        """Run one case; the server is well afterwards and has told nothing that it should not."""
        self.answered.clear()
        yield
        counters = await healthy(self.port)
        told = "\n".join(self.answered)

        assert counters.get("connection_crashed", 0) == 0
        assert INTERNALS.findall(told) == []
        assert self.server.process.returncode is None
        assert not self.neighbour.client.closed.is_set()
        assert self.neighbour.client.codes == []

    @asynccontextmanager
    async def attacker(self, tongue: Tongue = PAGE, *, path: str = "", query: str = "", **options: object) -> AsyncIterator[Attacker]:
        """Connect a client that listens for the length of the block."""
        protocols = [Subprotocol(name) for name in tongue.subprotocols] or None
        url = self.server.url.rstrip("/") + (path or tongue.path) + query
        chosen = {"subprotocols": protocols, "additional_headers": self.headers, **options}
        async with connect(url, compression=None, **chosen) as socket:  # type: ignore[arg-type]
            attacker = Attacker(socket, tongue)
            listening = asyncio.create_task(attacker.listen())
            try:
                yield attacker
            finally:
                await socket.close()
                await listening
                self.answered += [frame for frame in attacker.answers if isinstance(frame, str)]
                self.answered.append(socket.close_reason or "")

    async def unharmed(self, *, growth_kilobytes: int = GROWTH_KILOBYTES) -> None:
        """Check everything that a whole file of cases leaves as it was."""
        assert await self.neighbour.finish() == (0, 0, 0)
        assert self.neighbour.heard > 0
        await self._until_settled()
        after = await standing(self.server, self.emulator)
        log = self.server.log_file.read_text(encoding="utf-8", errors="replace")

        assert after.open_files <= self.before.open_files
        assert (after.sessions, after.streams) == (self.before.sessions, self.before.streams)
        assert after.kilobytes - self.before.kilobytes < growth_kilobytes
        assert [line for line in log.splitlines() if any(marker in line for marker in (CANARY, *RECORDS))] == []
        assert "Traceback" not in log
        assert self.server.log("connection.crashed") == []

    async def _until_settled(self) -> None:
        """Wait until nothing of the cases is left, or the time for that is over."""
        for _ in range(round(SETTLE_SECONDS / POLL_SECONDS)):
            now = await standing(self.server, self.emulator)
            is_settled = (now.sessions, now.streams) == (self.before.sessions, self.before.streams)
            if is_settled and now.open_files <= self.before.open_files:
                return
            await asyncio.sleep(POLL_SECONDS)


async def healthy(port: int) -> Mapping[str, int]:
    """Ask /health, which answers in time; return the counters."""
    seconds = HEALTH_SECONDS * max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))
    async with asyncio.timeout(seconds):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
        writer.close()
    assert head.startswith(b"HTTP/1.1 200 ")
    found: Mapping[str, int] = json.loads(body)["counters"]
    return found


def open_files(pid: int, model_port: int) -> int:
    """Count what a process has open beside its database and its connections to the model."""
    lines = Path(f"/proc/{pid}/net/tcp").read_text(encoding="ascii").splitlines()[1:]
    to_model = {f"socket:[{fields[9]}]" for line in lines if int((fields := line.split())[2].rsplit(":", 1)[1], 16) == model_port}
    targets = []
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed meanwhile
            targets.append(str(link.readlink()))
    return sum(".sqlite3" not in target and target not in to_model for target in targets)


async def standing(server: Server, emulator: NovaSonicLocal) -> Standing:
    """Weigh the server."""
    pid = server.process.pid
    sessions = int(str(await asyncio.to_thread(server.sessions)))
    files = open_files(pid, int(emulator.endpoint.rsplit(":", 1)[1]))
    return Standing(weigh(pid).memory_kilobytes, files, sessions, emulator.live_streams)


@asynccontextmanager
async def battleground(
    folder: Path,
    settings: Mapping[str, str] | None = None,
    *flags: str,
    model: Model | None = None,
    headers: Mapping[str, str] | None = None,
) -> AsyncIterator[Ground]:
    """Run a server with a neighbour on it; the example records are there with `--local`.

    Args:
        folder: for everything that is written.
        settings: of the server.
        flags: of the server.
        model: one that does as it is told, instead of one that echoes.
        headers: of the handshakes of the neighbour and of those who attack.
    """
    own = {"SQLITE_PATH": str(folder / "records.sqlite3"), **(settings or {})}
    chosen = model or Model(brain="echo")
    shown = headers or {}
    async with desk(folder, chosen, own, *flags) as (server, emulator), _talking(server.url, shown) as client:
        speech = coded_speech(NEIGHBOUR_SECONDS * HERTZ // PIECE_BYTES * PIECE_BYTES)
        neighbour: Neighbour = EchoListener(client, speech) if model is None else CountListener(client)
        await _warm_up(server, shown)
        talking = asyncio.create_task(neighbour.talk())
        try:
            yield Ground(server, emulator, chosen, neighbour, await _settled(server, emulator, 1), shown)
        finally:
            talking.cancel()
            await asyncio.wait({talking})


@asynccontextmanager
async def _talking(url: str, headers: Mapping[str, str]) -> AsyncIterator[Client]:
    """Begin the neighbour's conversation."""
    async with connect(url, subprotocols=[Subprotocol("nova-sonic.v1")], compression=None, additional_headers=headers) as socket:
        client = Client(socket, is_page=True)
        listening = asyncio.create_task(client.listen())
        await client.begin()
        try:
            yield client
        finally:
            await socket.close()
            await listening


async def _warm_up(server: Server, headers: Mapping[str, str]) -> None:
    """Have the server do once what it does for the first time only once, and take the memory for it."""
    for tongue in TONGUES:
        protocols = [Subprotocol(name) for name in tongue.subprotocols] or None
        url = server.url.rstrip("/") + tongue.path
        async with connect(url, subprotocols=protocols, compression=None, additional_headers=headers) as socket:
            attacker = Attacker(socket, tongue)
            listening = asyncio.create_task(attacker.listen())
            await attacker.begin()
            await attacker.codes_until_probe(0)
            await socket.send("x" * 250_000)
            await attacker.codes_until_probe(2)
            await socket.close()
            await listening


async def _settled(server: Server, emulator: NovaSonicLocal, sessions: int) -> Standing:
    """Return what the server holds once the warm-up is over."""
    files = 0
    for _ in range(round(SETTLE_SECONDS / POLL_SECONDS)):
        now = await standing(server, emulator)
        if (now.sessions, now.streams) == (sessions, sessions) and now.open_files == files:
            break
        files = now.open_files
        await asyncio.sleep(POLL_SECONDS)
    return now


@dataclass(frozen=True, slots=True)
class Case:
    """What one client sends, and what it is told."""

    name: str
    frames: Sequence[Frame]
    expected: str | int | tuple[str, ...]
    """Code of the error, codes of several, or the close code; () where nothing is told."""
    tongue: Tongue = PAGE
    is_live: bool = True
    """Whether a conversation has begun."""

    def __str__(self) -> str:
        """Return the case's name in the list of tests."""
        return f"{self.tongue.name}, {self.name}"


async def endure(ground: Ground, case: Case) -> None:
    """Run a case and see that its client was told what it should be."""
    async with ground.watched(), ground.attacker(case.tongue) as attacker:
        if case.is_live:
            await attacker.begin()
        await attacker.send(*case.frames)
        if isinstance(case.expected, int):
            assert await attacker.until_closed() == case.expected
            return
        expected = [case.expected] if isinstance(case.expected, str) else list(case.expected)
        told = await attacker.codes_until_probe(len(expected))

        assert told == [*expected, case.tongue.probe_code]
        for error in attacker.errors:
            assert error["message"]
            assert isinstance(error["retryable"], bool)
            assert isinstance(error["ref"], str)  # empty where nothing was logged


@dataclass(frozen=True, slots=True)
class Answered:
    """What a plain socket was told."""

    data: bytes
    is_closed: bool
    """Whether the server closed it."""

    @property
    def statuses(self) -> list[int]:
        """The status of each response."""
        return [int(status) for status in re.findall(rb"HTTP/1\.[01] (\d{3}) ", self.data)]


async def knock(ground: Ground, pieces: Iterator[bytes] | Sequence[bytes], *, seconds: float = 2.0, every: float = 0.0) -> Answered:
    """Send bytes to the server's port and return what comes back until it closes, or the time is over.

    Args:
        ground: with the server.
        pieces: what is sent.
        seconds: to wait for the end.
        every: pause between pieces.
    """
    reader, writer = await asyncio.open_connection("127.0.0.1", ground.port)
    data = bytearray()
    is_closed = False

    async def send() -> None:
        try:
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(every)
        except ConnectionError:
            return

    sending = asyncio.create_task(send())
    try:
        async with asyncio.timeout(seconds):
            while chunk := await reader.read(65_536):
                data += chunk
            is_closed = True
    except TimeoutError:
        pass
    except ConnectionError:
        is_closed = True
    finally:
        sending.cancel()
        await asyncio.wait({sending})
        writer.close()
    ground.answered.append(data.decode(errors="replace"))
    return Answered(bytes(data), is_closed)
