"""Whatever people say and whoever they are, at the most talkative level with everything written down: none of it is in the server's log."""

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession
from websockets.asyncio.client import connect
from websockets.typing import Subprotocol

from bench.resumable_client import ResumableClient
from tests import needs
from tests.auth.issuer import Issuer, running_issuer
from tests.e2e.servers import says
from tests.e2e.stack import Stack, running_stack
from tests.e2e.test_companion import Talk

USER = "wilhelmina.quartz@example.com"
SPOKEN = "My name is Wilhelmina Quartz, my order is 4711 and my telephone is 555-0188."
SETTINGS = {"RECORD_AUDIO": "all", "EVENTS": "local", "RECORD_CONVERSATIONS": "yes", "LOG_FORMAT": "json"}
PERSONAL = (
    "ilhelmina",
    "uartz",
    "4711",
    "0188",
    "example.com",
    "Sarah",
    "daughter",
    "John",
    "fallen",
    "asks for help",
    "tablet",
    "water the plants",
)
HAPPENED = ("session.started", "client.resumed", "session.closed", "tool.finished", "alert", "request.refused", "connection.closed")


@dataclass(frozen=True, slots=True)
class House:
    """The product, and somebody who may do everything in it."""

    stack: Stack
    token: str

    @property
    def headers(self) -> Mapping[str, str]:
        """Say who it is."""
        return {"Authorization": f"Bearer {self.token}"}

    async def ask(self, method: str, path: str, body: object = None) -> Any:
        """Ask over plain HTTP."""
        async with ClientSession(headers=self.headers) as http, http.request(method, f"{self.stack.page}{path}", json=body) as answer:
            return await answer.json(content_type=None)


async def talk_and_come_back(house: House) -> str:
    """Talk on a connection that breaks; return the token to come back with."""
    hello = {"output_hertz": 8_000, "language": "en"}
    async with ResumableClient(house.stack.socket, hello, headers=house.headers) as client:
        session_id = str((await client.start())["session_id"])
        await says(client, SPOKEN)
        await client.cut()
        await client.resume()
        await says(client, f"I would like to cancel my order 4711. {SPOKEN}")
        await client.send({"type": "text", "text": SPOKEN, "seq": "Wilhelmina"})
        await client.send({"type": "end"})
        await client.until_told("session.ended")
        for path in (
            f"voice-sessions/{session_id}",
            f"conversations/{session_id}",
            f"conversations?user={USER}",
            f"recordings/{session_id}",
        ):
            await house.ask("GET", path)
        return client.token


async def talk_as_a_patient(house: House) -> None:
    """Ask the companion, have something written down, and call for help."""
    async with connect(house.stack.socket, additional_headers=house.headers) as socket:
        john = Talk(socket)
        assert (await john.begin("pt-001"))["patientName"] == "John"
        for said in ("Who is Sarah?", "What do I do this morning?", "Remind me to water the plants at ten in the morning", "I have fallen"):
            await john.ask(said)
    await house.ask("GET", "patients/pt-001")
    await house.ask("GET", "alerts")


async def follow_and_err(house: House) -> None:
    """Follow events as a browser does, and send what is refused."""
    header = base64.urlsafe_b64encode(json.dumps({"Authorization": house.token}).encode()).decode().rstrip("=")
    offered = [Subprotocol("aws-appsync-event-ws"), Subprotocol(f"header-{header}")]
    async with connect(f"{house.stack.socket}event/realtime", subprotocols=offered) as socket:
        for message in ({"type": "connection_init"}, {"type": "subscribe", "id": "1", "channel": f"/events/Quartz/{USER}"}):
            await socket.send(json.dumps(message))
            await socket.recv()
    await house.ask("POST", "patients", {"id": "pt-2", "name": "Wilhelmina", "Quartz": SPOKEN})
    await house.ask("POST", "orders", {"customerName": "Wilhelmina Quartz", "customerEmail": USER, "items": "4711"})
    await house.ask("GET", "orders/4711-Quartz")
    await house.ask("POST", "speech", {"text": SPOKEN, "voiceId": "Wilhelmina"})


@pytest.mark.timeout(90)
@pytest.mark.req("S0-17", "S0-54", "S0-59")
async def test_the_log_has_what_happened_and_nobody_s_words_names_or_tokens(tmp_path: Path) -> None:
    needs.espeak()
    async with running_issuer() as issuer:
        token = token_of(issuer)
        async with running_stack(tmp_path, {**SETTINGS, **issuer.settings}, "--debug") as stack:
            house = House(stack, token)
            resume_token = await talk_and_come_back(house)
            await talk_as_a_patient(house)
            await follow_and_err(house)
        log = stack.log.read_text(encoding="utf-8")

    events = {json.loads(line)["event"] for line in log.splitlines() if line.startswith("{")}
    assert [event for event in HAPPENED if event not in events] == []
    assert [line for line in log.splitlines() if any(word in line for word in (*PERSONAL, resume_token, token, token.split(".")[2]))] == []


def token_of(issuer: Issuer) -> str:
    return issuer.token(USER, groups=["operators"])
