"""A server process that asks who its clients are: an issuer of tokens, the emulator, and people who should and should not be there."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
from aiohttp import ClientSession
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Subprotocol

from auth.claims import LEEWAY_SECONDS
from bench.resumable_client import ResumableClient, ResumeRefused
from nova_sonic_local.options import Options
from nova_sonic_local.server import NovaSonicLocal
from tests.auth.issuer import Issuer, running_issuer
from tests.browser import Chromium, PageOptions, until
from tests.e2e.remembering import Remembering
from tests.e2e.servers import KEY, READY_SECONDS, ServerProcess, Stopwatch, says, server
from tests.server.process import WITHOUT_AWS
from transports.dialects.binary import SUBPROTOCOL

GRACE_SECONDS = 4


@dataclass(frozen=True, slots=True)
class House:
    """A server process with all that it needs."""

    server: ServerProcess
    issuer: Issuer
    emulator: NovaSonicLocal

    def caller(self, user_id: str, expires_in: float = 600) -> ResumableClient:
        """Return a client with a token in its header."""
        return ResumableClient(
            self.server.address, headers={"Authorization": f"Bearer {self.issuer.token(user_id, expires_in=expires_in)}"}
        )

    @property
    def streams_opened(self) -> int:
        """How many streams the model was asked for."""
        return len(self.emulator.control.streams())


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    async with AsyncExitStack() as stack:
        emulator = await stack.enter_async_context(NovaSonicLocal(Options(brain=Remembering, ca_dir=tmp_path / "ca")))
        issuer = await stack.enter_async_context(running_issuer())
        settings = {
            **WITHOUT_AWS,
            **issuer.settings,
            "AWS_ENDPOINT_URL_BEDROCK_RUNTIME": emulator.endpoint,
            "BEDROCK_CA_FILE": str(emulator.ca_file),
            "SESSIONS_KEY": KEY,
            "TOKEN_GRACE_SECONDS": str(GRACE_SECONDS),
            "AUTH_SECONDS": "2",
        }
        yield House(await stack.enter_async_context(server(tmp_path, settings)), issuer, emulator)


async def closing(client: ClientConnection) -> int | None:
    """Read to the end, and return the close code."""
    try:
        while True:
            await client.recv()
    except ConnectionClosed:
        return client.close_code


@pytest.mark.req("S0-56", "S2-38")
async def test_who_has_a_token_has_a_conversation(house: House) -> None:
    async with house.caller("ana") as client:
        await client.start()
        answer = await says(client, "My name is Ada.")
        log = house.server.log.read_text(encoding="utf-8")
        token = client.headers["Authorization"].removeprefix("Bearer ")

    assert answer
    assert house.streams_opened == 1
    assert house.issuer.asked == 1
    assert not any(part in log for part in token.split("."))


@pytest.mark.req("S0-54", "S0-57")
async def test_another_user_cannot_take_a_conversation(house: House) -> None:
    client = house.caller("ana")
    started = await client.start()
    await says(client, "My name is Ada.")
    await client.cut()
    async with house.caller("eva") as thief:
        with pytest.raises(ResumeRefused, match="resume_refused"):
            await thief.resume(client.token, client.received.next)
    resumed = await client.resume()
    await says(client, "What is my name?")
    await client.close()

    assert resumed["session_id"] == started["session_id"]
    assert house.streams_opened == 1


@pytest.mark.req("S0-57")
async def test_a_token_that_expires_ends_the_conversation_politely(house: House) -> None:
    async with house.caller("ana", expires_in=3 - LEEWAY_SECONDS) as client:
        await client.start()
        await says(client, "My name is Ada.")
        await client.until(lambda: any(answer.get("code") == "token_expired" for answer in client.answers))
        watch = Stopwatch()
        ended = await client.until_told("session.ended")
        code = await client.until_closed()

    assert ended["reason"] == "token_expired"
    assert code == 4401
    assert watch.seconds < GRACE_SECONDS + 1


async def test_a_new_token_lets_the_conversation_go_on(house: House) -> None:
    async with house.caller("ana", expires_in=3 - LEEWAY_SECONDS) as client:
        await client.start()
        await says(client, "My name is Ada.")
        await client.until(lambda: any(answer.get("code") == "token_expired" for answer in client.answers))
        await client.send({"type": "auth", "token": house.issuer.token("ana")})
        await asyncio.sleep(GRACE_SECONDS)  # as long as it would have had without
        answer = await says(client, "What is my name?")

    assert answer
    assert house.streams_opened == 1


async def say_hello(client: ClientConnection) -> None:
    await client.send('{"type":"hello","protocol":1}')


async def say_garbage(client: ClientConnection) -> None:
    await client.send('{"type":"auth","token":"e30.e30.e30"}')


async def say_nothing(_client: ClientConnection) -> None:
    """Let the time pass."""


@pytest.mark.req("S0-57", "S2-27")
@pytest.mark.parametrize("beginning", [say_hello, say_garbage, say_nothing])
async def test_before_that_no_stream_of_the_model_is_opened_and_no_session_begins(
    house: House, beginning: Callable[[ClientConnection], Awaitable[None]]
) -> None:
    async with connect(house.server.address, subprotocols=[Subprotocol(SUBPROTOCOL)]) as client:
        await beginning(client)
        async with asyncio.timeout(READY_SECONDS):
            code = await closing(client)
    async with ClientSession() as http, http.get(f"http://127.0.0.1:{house.server.port}/health") as response:
        health = await response.json()

    assert code == 4401
    assert house.streams_opened == 0
    assert health["sessions"] == 0


async def test_a_forged_token_comes_no_further_than_the_handshake(house: House) -> None:
    token = house.issuer.token("ana", groups=["operators"], iss="https://cognito-idp.us-east-1.amazonaws.com/us-east-1_other")
    with pytest.raises(InvalidStatus) as refused:
        async with connect(house.server.address, additional_headers={"Authorization": f"Bearer {token}"}):
            pass

    assert refused.value.response.status_code == 401
    assert house.streams_opened == 0


@pytest.mark.browser
async def test_the_page_signs_in_with_a_token(house: House, chromium: Chromium) -> None:
    async with chromium.open(f"http://localhost:{house.server.port}/", PageOptions(grant=False, locale="en-US")) as page:
        await page.wait_for_selector("html[data-ready]")
        await page.get_by_label("Access token").fill(house.issuer.token("ana"))
        await page.fill("#text", "My name is Ada.")
        await page.press("#text", "Enter")
        await until(page, "window.novaSonicState.transcript.some((entry) => entry.kind !== 'note' && entry.role === 'assistant')")
        messages = json.loads(await page.evaluate("JSON.stringify(window.novaSonicState.messages)"))

    assert "auth.accepted" in {entry["message"]["type"] for entry in messages}
    assert house.streams_opened == 1
