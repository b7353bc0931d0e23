"""A server put together as in production, whose DynamoDB, S3, SNS and AppSync can fail, and callers who talk to it meanwhile."""

import asyncio
import base64
import json
from collections import deque
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from typing import Any

import aiohttp
import boto3
import pytest

from bench.resumable_client import Message, ResumableClient
from bootstrap import Application, build, listen_on
from config import Settings
from nova_sonic_local.brains.interface import Prompt, Reply, UserTurn
from nova_sonic_local.options import Options
from nova_sonic_local.server import NovaSonicLocal
from parts import assistants
from s2s.bedrock.client import NovaSonicClient
from s2s.bedrock.credentials import StaticCredentials
from s2s.bedrock.stream import Timeouts
from s2s.models import DEFAULT_MODEL_ID
from storage.dynamodb import DynamoDatabase
from storage.object_s3 import Encryption, S3Store
from storage.tables import all_tables
from tests import ministack
from tests.auth.doubles import authenticator_of
from tests.auth.issuer import Issuer
from tests.e2e.servers import KEY
from tests.outages.fast_time import FastClock, hasten_threads
from tests.outages.faulty_aws import FaultyServices, faulty_services
from tests.publishing.service import EventApi, running_api

ANSWER = "Water boils at one hundred degrees."
ASSISTANT = """
name = "kind"
default_language = "en"
[memory]
turns = 4
[languages.en]
voice = "matthew"
prompt = "You are kind."
"""
PIECE_SECONDS = 0.1
PIECE = bytes((1, 0)) * 1_600
"""A tenth of a second of a microphone that hears next to nothing: nobody takes it for words."""
TURN_SECONDS = 60.0
PAUSE_SECONDS = 4.0
"""Between an answer and the next question: nobody shall be interrupted here."""
QUIET_SECONDS = 35.0
WRITTEN_SECONDS = 400.0
PATIENCE = Timeouts(connect=30.0, opening=30.0)
"""At this speed the model's answers seem slow, which is no fault of theirs."""
_numbers = count(1)


class Certain:
    """Says the same to everything."""

    def __init__(self, prompt: Prompt) -> None:
        del prompt

    def listen(self) -> None:
        return None

    async def answer(self, turn: UserTurn, reply: Reply) -> None:
        del turn
        await reply.say(ANSWER)

    async def close(self) -> None:
        return


@dataclass
class Account:
    """What is in the services, past the server and past their faults."""

    database: DynamoDatabase
    bucket: str
    objects: S3Store
    topic: str
    queue: str
    sqs: Any

    async def alerts(self, wanted: int) -> list[Message]:
        """Return the alerts that came to whoever follows the topic, once there are so many."""
        found: list[Message] = []
        async with asyncio.timeout(600):
            while len(found) < wanted:
                told = await asyncio.to_thread(lambda: self.sqs.receive_message(QueueUrl=self.queue, MaxNumberOfMessages=10))
                for one in told.get("Messages", ()):
                    found.append(json.loads(json.loads(one["Body"])["Message"]))
                    await asyncio.to_thread(self.sqs.delete_message, QueueUrl=self.queue, ReceiptHandle=one["ReceiptHandle"])
        return found


@dataclass
class Caller:
    """Somebody who talks, and what they were told."""

    user: str
    client: ResumableClient
    session_id: str = ""
    took: list[float] = field(default_factory=list)
    """Seconds from each question to the end of its answer."""
    heard: list[bytes] = field(default_factory=list)
    """The speech of each answer."""
    _microphone: asyncio.Task[None] | None = None

    async def begin(self) -> float:
        """Begin a conversation; return how long that took."""
        began = asyncio.get_running_loop().time()
        self.session_id = str((await self.client.start())["session_id"])
        self._microphone = asyncio.create_task(self._speak())
        return asyncio.get_running_loop().time() - began

    async def ask(self, text: str) -> None:
        """Type something and hear the answer to its end."""
        received, began = self.client.received, asyncio.get_running_loop().time()
        ends, known = len(received.named("speech.ended")), len(received.pcm())
        await self.client.send_numbered({"type": "text", "text": text})
        await self.client.until(lambda: len(received.named("speech.ended")) > ends and self.answers > len(self.took), TURN_SECONDS)
        self.took.append(asyncio.get_running_loop().time() - began)
        self.heard.append(received.pcm()[known:])
        await asyncio.sleep(PAUSE_SECONDS)

    async def end(self) -> None:
        """End the conversation and the connection."""
        await self.client.send({"type": "end"})
        await self.client.until_told("session.ended")
        await self.leave()

    async def leave(self) -> None:
        """Close the connection."""
        if self._microphone is not None:
            self._microphone.cancel()
            await asyncio.wait({self._microphone})
        await self.client.close()

    @property
    def answers(self) -> int:
        """How many of the assistant's turns were told."""
        return sum(role == "ASSISTANT" for _, role, _ in self.told())

    def told(self) -> list[tuple[int, str, str]]:
        """Return the final turns that the client was told, in order: number, who, and what."""
        told = [one for one in self.client.received.named("transcript") if one["stage"] == "final"]
        return sorted((one["turn"], one["role"].upper(), one["text"]) for one in told)

    async def _speak(self) -> None:
        while True:
            await self.client.send_audio(PIECE)
            await asyncio.sleep(PIECE_SECONDS)


@dataclass
class House:
    """The server and what it writes to."""

    application: Application
    settings: Settings
    port: int
    issuer: Issuer
    services: FaultyServices
    account: Account
    events: EventApi
    model_faults: deque[str]
    """What the next streams of the model meet."""

    def caller(self, user: str) -> Caller:
        """Return somebody who has not connected yet."""
        headers = {"Authorization": f"Bearer {self.issuer.token(user)}"}
        return Caller(user, ResumableClient(f"ws://127.0.0.1:{self.port}/", {"output_hertz": 8_000, "assistant": "kind"}, headers=headers))

    async def counted(self) -> Mapping[str, int]:
        """Return what /health tells of the counters."""
        _, body = await self.application.health.alive()
        return dict(json.loads(body)["counters"])

    async def alerts(self, wanted: int) -> list[Message]:
        """Return what operators are told, once there is so much."""
        headers = {"Authorization": f"Bearer {self.issuer.token('olga', groups=['operators'])}"}
        async with asyncio.timeout(60), aiohttp.ClientSession(headers=headers) as http:
            while True:
                async with http.get(f"http://127.0.0.1:{self.port}/alerts") as answer:
                    told: list[Message] = (await answer.json())["data"]
                if len(told) >= wanted:
                    return told
                await asyncio.sleep(1)

    async def until_written(self) -> None:
        """Wait until nothing more has been written for longer than the pauses of whoever finds a service away."""
        before, since = await self._written(), asyncio.get_running_loop().time()
        async with asyncio.timeout(WRITTEN_SECONDS):
            while asyncio.get_running_loop().time() < since + QUIET_SECONDS:
                await asyncio.sleep(1)
                if (now := await self._written()) != before:
                    before, since = now, asyncio.get_running_loop().time()

    async def _written(self) -> dict[str, int]:
        """Return how much was written by now."""
        return {name: figure for name, figure in (await self.counted()).items() if name.endswith(("_written", "_completed"))}


@asynccontextmanager
async def open_house(folder: Path, endpoint: str, patch: pytest.MonkeyPatch, **more: str) -> AsyncIterator[House]:
    """Run a server for the length of the block.

    Args:
        folder: for files.
        endpoint: of MiniStack.
        patch: of the environment and of the drivers' time-outs.
        **more: settings.
    """
    hasten_threads(patch)
    (folder / "assistants").mkdir()
    (folder / "assistants" / "kind.toml").write_text(ASSISTANT)
    patch.setattr(assistants, "ASSISTANTS", folder / "assistants")
    for name, value in ministack.CREDENTIALS.items():
        patch.setenv(name, value)
    faults: deque[str] = deque()
    async with AsyncExitStack() as stack:
        events = await stack.enter_async_context(running_api())
        services = await stack.enter_async_context(faulty_services(endpoint, events.url))
        account = await open_account(endpoint, f"outage-{next(_numbers)}", stack)
        issuer = Issuer()
        settings = settings_of(services, account, more)
        for definition in all_tables(settings):
            await account.database.table(definition).create()
        for name in ("DYNAMODB", "S3", "SNS"):
            patch.setenv(f"AWS_ENDPOINT_URL_{name}", services.url)
        options = Options(brain=Certain, ca_dir=folder / "ca", fault=lambda: faults.popleft() if faults else "")
        emulator = await stack.enter_async_context(NovaSonicLocal(options))
        key = StaticCredentials("a", "b")
        model = NovaSonicClient("us-east-1", DEFAULT_MODEL_ID, emulator.endpoint, str(emulator.ca_file), key, timeouts=PATIENCE)
        stack.push_async_callback(model.aclose)
        application = await build(settings, model=model, clock=FastClock(), authenticator=authenticator_of(issuer))
        stack.push_async_callback(application.stop)
        listening = listen_on(settings)
        await application.start(listening)
        yield House(application, settings, listening.port, issuer, services, account, events, faults)


def settings_of(services: FaultyServices, account: Account, more: Mapping[str, str]) -> Settings:
    """Return the settings of a server that writes everything to the services."""
    own = {"HOST": "127.0.0.1", "WS_PORT": "0", "HEALTH_PORT": "0", "MAX_LOOP_LAG_MS": "0", "SESSIONS_KEY": KEY}
    own |= {"AWS_DEFAULT_REGION": ministack.REGION, "STORAGE": "dynamodb", "AUDIO_STORAGE_BUCKET": account.bucket, "RECORD_AUDIO": "all"}
    own |= {"EVENTS": "appsync", "EVENTS_ENDPOINT": services.url, "EVENTS_API_KEY": base64.b64encode(b"made up").decode()}
    own |= {"ALERT_TOPIC_ARN": account.topic, "ALERT_AFTER_FAILURES": "1", "MAX_CONNECTIONS_PER_ADDRESS": "0"}
    tables = (
        "ORDERS_TABLE",
        "APPOINTMENTS_TABLE",
        "SESSIONS_TABLE",
        "CONNECTIONS_TABLE",
        "VOICE_SESSIONS_TABLE_NAME",
        "CONVERSATIONS_TABLE",
    )
    own |= {name: f"{account.bucket}-{name.lower()}" for name in tables}
    return replace(Settings.from_env({**own, **more}), assistant="kind")


async def open_account(endpoint: str, name: str, stack: AsyncExitStack) -> Account:
    """Make a bucket and a topic, and return what looks into the account."""
    session: Any = boto3.session.Session()
    keys = {"aws_access_key_id": "a", "aws_secret_access_key": "b", "region_name": ministack.REGION, "endpoint_url": endpoint}
    clients: dict[str, Any] = {kind: session.client(kind, **keys) for kind in ("dynamodb", "s3", "sns", "sqs")}

    def make() -> tuple[str, str]:
        clients["s3"].create_bucket(Bucket=name)
        topic = clients["sns"].create_topic(Name=name)["TopicArn"]
        queue = clients["sqs"].create_queue(QueueName=name)["QueueUrl"]
        arn = clients["sqs"].get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        clients["sns"].subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)
        return topic, queue

    topic, queue = await asyncio.to_thread(make)
    database, objects = DynamoDatabase(clients["dynamodb"]), S3Store(clients["s3"], name, Encryption())
    stack.push_async_callback(objects.aclose)
    stack.push_async_callback(database.aclose)
    return Account(database, name, objects, topic, queue, clients["sqs"])
