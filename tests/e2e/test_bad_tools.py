"""Tool calls that make no sense and databases that are away: the model gets an error object, the audio and the conversation go on."""

import asyncio
import json
import sqlite3
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path

import pytest
import pytest_asyncio

from bench.positions import coded_speech, compare
from storage.sqlite import BUSY_SECONDS
from tests import ministack, needs
from tests.e2e.clients import Client, conversing
from tests.e2e.desk import Model, Server, desk
from tests.server.process import ROOT

pytestmark = pytest.mark.asyncio(loop_scope="module")

TOOL_SECONDS = 5.0
"""The longest that a tool may take."""
SLACK_SECONDS = 2.0
"""For a machine that is busy with other tests."""
TALK_SAMPLES = 3 * 16_000
GAP_SECONDS = BUSY_SECONDS / 2
"""A loop that waits for a locked file itself is silent for twice as long, and on a machine that is busy with other tests pieces of 100 ms
come half a second apart now and then: what is heard of that is measured by benches."""

ORDER = {"customerName": "Lucía Benítez", "customerEmail": "lucia@email.com", "items": [{"name": "Producto A", "quantity": 1, "price": 5}]}
LOOK_UP = ("consultarOrder", {"orderId": "1", "customerName": "Juan Pérez"})

type Call = tuple[str, object]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Server]:
    folder = tmp_path_factory.mktemp("tools")
    async with desk(folder, Model(), {"SQLITE_PATH": str(folder / "records.sqlite3")}, "--local") as (running, _):
        yield running


async def call(client: Client, *calls: Call) -> list[dict[str, object]]:
    """Let the model call tools; return what it was answered."""
    before = len(client.results())
    await client.type(f"call {json.dumps(calls)}")
    await client.until(lambda: len(client.results()) == before + len(calls), seconds=TOOL_SECONDS + SLACK_SECONDS)
    return client.results()[before:]


async def call_while_counting(client: Client, *calls: Call) -> tuple[list[dict[str, object]], float]:
    """Let the model speak and call tools at once; return the answers and the longest gap in the speech meanwhile."""
    loop = asyncio.get_running_loop()
    speech = coded_speech(TALK_SAMPLES)
    before = len(client.results())
    client.speech.clear()
    client.speech_at.clear()
    await client.type(f"count {TALK_SAMPLES / 16_000} {json.dumps(calls)}")
    started = loop.time()
    await client.until(
        lambda: len(client.speech) >= len(speech) and len(client.results()) == before + len(calls), seconds=TALK_SAMPLES / 16_000 + 10
    )
    assert loop.time() - started < TALK_SAMPLES / 16_000 + SLACK_SECONDS
    assert compare(speech, bytes(client.speech[: len(speech)])).is_exact
    return client.results()[before:], max(later - earlier for earlier, later in pairwise(client.speech_at))


@pytest.mark.parametrize("is_page", [True, False])
@pytest.mark.parametrize(
    ("calls", "errors"),
    [
        ([("fly", {})], ["unknown_tool"]),
        ([("consultarOrder", "this is no JSON {")], ["arguments_not_json"]),
        ([("consultarOrder", "[1, 2]")], ["arguments_not_json"]),
        ([("consultarOrder", "7"), ("fly", "null")], ["arguments_not_json", "unknown_tool"]),
        ([("consultarOrder", {"orderId": {"a": [1]}, "customerName": 7.5})], ["invalid_arguments"]),
        ([("crearOrder", {"customerName": ["x"], "items": "many"})], ["invalid_arguments"]),
        ([("consultarOrder", json.dumps(json.dumps(LOOK_UP[1])))], [None]),
    ],
    ids=["unknown", "not JSON", "a list", "two at once", "wrong types", "wrong types inside", "encoded twice"],
)
async def test_a_call_that_makes_no_sense_is_answered_and_the_conversation_goes_on(
    server: Server, calls: Sequence[Call], errors: Sequence[str | None], *, is_page: bool
) -> None:
    async with conversing(server.url, is_page=is_page) as client:
        results = await call(client, *calls)
        (after,) = await call(client, LOOK_UP)

    assert [result.get("error") for result in results] == list(errors)
    assert all(result["message"] for result in results)
    assert after["success"] is True
    assert client.codes == []


@asynccontextmanager
async def locked(path: Path) -> AsyncIterator[None]:
    """Let another process write the file and not finish."""
    program = (
        "import sqlite3, sys; held = sqlite3.connect(sys.argv[1], isolation_level=None); held.execute('BEGIN IMMEDIATE'); "
        "print('held', flush=True); sys.stdin.read()"
    )
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", program, str(path), stdin=pipe, stdout=pipe)
    assert process.stdout is not None
    assert await process.stdout.readline() == b"held\n"
    try:
        yield
    finally:
        await process.communicate()


async def test_a_locked_database_is_told_in_time_while_the_speech_goes_on(server: Server) -> None:
    database = server.log_file.parent / "records.sqlite3"
    async with conversing(server.url) as client:
        async with locked(database):
            (refused,), gap = await call_while_counting(client, ("crearOrder", ORDER))
            noticed = await server.until(lambda: server.get("ready")[0] == 503)
        ready = await server.until(lambda: server.get("ready")[0] == 200)
        (placed,) = await call(client, ("crearOrder", ORDER))

    assert refused["error"] == "storage_unavailable"
    assert gap < GAP_SECONDS
    assert placed["success"] is True
    assert noticed
    assert ready


def move_away(database: Path, aside: Path) -> Callable[[], object]:
    """Take the file away; return what brings it back."""
    database.rename(aside)
    return lambda: aside.rename(database)


def damage(database: Path, aside: Path) -> Callable[[], object]:
    """Put something else in the file's place; return what brings back a copy."""
    with sqlite3.connect(database) as source, sqlite3.connect(aside) as target:
        source.backup(target)
    for file in database.parent.glob(f"{database.name}*"):
        file.unlink()
    database.write_bytes(b"this is no database at all" * 1_000)
    return lambda: aside.replace(database)


@pytest.mark.parametrize("harm", [move_away, damage])
async def test_a_lost_database_is_told_and_readiness_says_so_until_it_is_back(
    server: Server, tmp_path: Path, harm: Callable[[Path, Path], Callable[[], object]]
) -> None:
    database = server.log_file.parent / "records.sqlite3"
    async with conversing(server.url) as client:
        bring_back = harm(database, tmp_path / "aside")
        (refused, also), gap = await call_while_counting(client, LOOK_UP, ("crearOrder", ORDER))
        noticed = await server.until(lambda: server.get("ready")[1]["dependencies"]["storage"] != "ok")  # type: ignore[index]  # JSON
        alive, _ = await asyncio.to_thread(server.get, "health")
        bring_back()
        (read,) = await call(client, LOOK_UP)
        ready = await server.until(lambda: server.get("ready")[0] == 200)

    assert (refused["error"], also["error"]) == ("storage_unavailable", "storage_unavailable")
    assert gap < GAP_SECONDS
    assert noticed
    assert alive == 200
    assert read["success"] is True
    assert ready


class Gate:
    """A way to DynamoDB that can be shut, with the connections on it, or be held up."""

    def __init__(self, endpoint: str) -> None:
        self._host, _, port = endpoint.removeprefix("http://").partition(":")
        self._to = int(port)
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()
        self.port = 0
        self.is_held = False

    async def open(self) -> None:
        """Let connections through."""
        self._server = await asyncio.start_server(self._carry, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def shut(self) -> None:
        """Refuse connections, and end those that are there."""
        if self._server is not None:
            self._server.close()
        for writer in list(self._open):
            writer.transport.abort()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection(self._host, self._to)
        self._open |= {writer, back}
        try:
            await asyncio.gather(self._copy(reader, back), self._copy(there, writer))
        except OSError:
            pass
        finally:
            self._open -= {writer, back}
            writer.close()
            back.close()

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65_536):
            if not self.is_held:
                writer.write(data)
                await writer.drain()
        writer.close()


@pytest.mark.dynamodb
async def test_a_dynamodb_that_is_away_is_told_in_time_and_used_again_when_it_is_back(tmp_path: Path) -> None:
    try:
        with ministack.started() as endpoint:
            await go_away_and_come_back(tmp_path, endpoint)
    except ministack.Unavailable as error:
        needs.missing(str(error))


async def go_away_and_come_back(folder: Path, endpoint: str) -> None:
    """Refuse DynamoDB's connections, then let them hang, in the middle of a conversation."""
    gate = Gate(endpoint)
    await gate.open()
    settings = {"STORAGE": "dynamodb", "AWS_ENDPOINT_URL_DYNAMODB": f"http://127.0.0.1:{gate.port}", **ministack.CREDENTIALS}
    seed = (sys.executable, "scripts/seed_data.py", "--create-tables")
    async with desk(folder, Model(), settings) as (server, _), conversing(server.url) as client:
        environment = {**settings, "AWS_DEFAULT_REGION": ministack.REGION, "DNI_SALT": "a-salt-that-is-only-for-tests"}
        seeding = await asyncio.create_subprocess_exec(*seed, cwd=ROOT, env=environment, stdout=asyncio.subprocess.DEVNULL)
        assert await seeding.wait() == 0
        (before,) = await call(client, LOOK_UP)
        await gate.shut()
        (refused,), gap = await call_while_counting(client, LOOK_UP)
        noticed = await server.until(lambda: server.get("ready")[0] == 503)
        await gate.open()
        (after,) = await call(client, LOOK_UP)
        gate.is_held = True
        (hung,) = await call(client, LOOK_UP)
        gate.is_held = False
        ready = await server.until(lambda: server.get("ready")[0] == 200)
    await gate.shut()

    assert before["success"] is True
    assert refused["error"] == "storage_unavailable"
    assert gap < GAP_SECONDS
    assert noticed
    assert after["success"] is True
    assert hung["error"] in {"storage_unavailable", "timeout"}
    assert ready
