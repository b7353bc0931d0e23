"""Whom the facts are asked of: the emulator, or Bedrock."""

import os
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path
from typing import Protocol

import pytest
from botocore.session import Session

from nova_sonic_local.envelope import SignatureCheck
from nova_sonic_local.manner import Manner
from nova_sonic_local.options import Options
from nova_sonic_local.server import NovaSonicLocal
from nova_sonic_local.speech.voices import choose_voice
from s2s.bedrock.client import NovaSonicClient
from s2s.bedrock.credentials import StaticCredentials
from tests.emulator.conversation import WordVoice
from tests.emulator.signed_wire import Identity, SignedClient
from tests.emulator.wire import silence, speech

MODEL_ID = "amazon.nova-2-sonic-v1:0"
FIRST_MODEL_ID = "amazon.nova-sonic-v1:0"
NEWEST_MODEL_ID = "amazon.nova-2-5-sonic"
LOCAL = Identity("AKIDLOCAL", "a-secret-of-this-test")


class Brain(Enum):
    """Which script the emulator follows; Bedrock is asked for the same by its system prompt and by what is said."""

    TALK = """
[[turns]]
hear = "hello"
say = ["Hello there.", "How are you?"]
"""
    TOOL = """
[[turns]]
hear = "weather"
tools = [{ name = "lookup", arguments = { city = "Oslo" } }]
then = "It is {sky}."
[[turns]]
hear = "meanwhile"
say = "I am still here."
"""
    TWO_TOOLS = """
[[turns]]
hear = "weather"
tools = [{ name = "lookup", arguments = { city = "Oslo" } }, { name = "lookup", arguments = { city = "Rome" } }]
then = "It is {sky}."
"""
    STORY = f"""
[[turns]]
hear = "a story"
say = "{" ".join(["once upon a time there was a robot"] * 12)}"
[[turns]]
hear = "stop"
say = "All right."
"""


@dataclass(frozen=True)
class Setup:
    """How the emulator is set up for a fact; nothing of it can be asked of Bedrock."""

    brain: Brain = Brain.TALK
    fault: str = ""
    time_scale: float = 1.0
    idle_profile: int = 55
    max_streams: int = 20


PLAIN = Setup()


class Target(Protocol):
    """An endpoint with somebody to sign for it."""

    @property
    def identity(self) -> Identity:
        """Who signs."""

    @property
    def frame_seconds(self) -> float:
        """How long to wait between frames of 32 ms: the emulator takes speech at once."""

    @property
    def is_remote(self) -> bool:
        """Whether this is Bedrock."""

    def raw(self, setup: Setup = PLAIN, identity: Identity | None = None) -> AbstractAsyncContextManager[SignedClient]:
        """Return a connection on which anything can be sent, signed."""

    def secure(self) -> AbstractAsyncContextManager[SignedClient]:
        """Return such a connection that is certainly TLS."""

    def product(self, setup: Setup = PLAIN) -> AbstractAsyncContextManager[NovaSonicClient]:
        """Return the product's own client."""

    async def say(self, text: str) -> bytes:
        """Return a sentence of a user with the silence that ends it, 16 kHz."""


class LocalTarget:
    """The emulator, started anew for each connection, with every signature checked."""

    identity = LOCAL
    frame_seconds = 0.0
    is_remote = False

    @asynccontextmanager
    async def emulator(self, setup: Setup) -> AsyncIterator[NovaSonicLocal]:
        with tempfile.TemporaryDirectory() as folder:
            scenario = Path(folder) / "script.toml"
            scenario.write_text(setup.brain.value)
            options = Options(
                brain="script",
                scenario=scenario,
                voice=WordVoice(),
                manner=Manner(final_delay_seconds=0),
                signatures=SignatureCheck.STRICT,
                secrets={LOCAL.access_key: LOCAL.secret},
                fault=setup.fault,
                time_scale=setup.time_scale,
                idle_profile=setup.idle_profile,
                max_streams=setup.max_streams,
            )
            async with NovaSonicLocal(options) as running:
                yield running

    @asynccontextmanager
    async def raw(self, setup: Setup = PLAIN, identity: Identity | None = None) -> AsyncIterator[SignedClient]:
        async with self.emulator(setup) as running, SignedClient(running.h2c_endpoint, identity or LOCAL) as client:
            yield client

    @asynccontextmanager
    async def secure(self) -> AsyncIterator[SignedClient]:
        async with self.emulator(PLAIN) as running, SignedClient(running.endpoint, LOCAL, running.ca_file) as client:
            yield client

    @asynccontextmanager
    async def product(self, setup: Setup = PLAIN) -> AsyncIterator[NovaSonicClient]:
        async with self.emulator(setup) as running:
            credentials = StaticCredentials(LOCAL.access_key, LOCAL.secret)
            client = NovaSonicClient("us-east-1", MODEL_ID, running.endpoint, str(running.ca_file), credentials)
            try:
                yield client
            finally:
                await client.aclose()

    async def say(self, text: str) -> bytes:
        return silence(0.2) + speech(0.1 * max(3, len(text.split()))) + silence(0.7)


class BedrockTarget:
    """Bedrock itself, with the credentials and the region of the environment, and another endpoint if it names one."""

    frame_seconds = 0.032
    is_remote = True

    def __init__(self) -> None:
        session = Session()
        found = session.get_credentials()
        if found is None:
            pytest.exit("NOVA_SONIC_REMOTE=1 needs credentials for AWS in the environment", returncode=2)
        frozen = found.get_frozen_credentials()
        region = str(session.get_config_variable("region") or "us-east-1")
        self.identity = Identity(str(frozen.access_key), str(frozen.secret_key), frozen.token, region)
        self.endpoint = os.environ.get("AWS_ENDPOINT_URL_BEDROCK_RUNTIME") or f"https://bedrock-runtime.{region}.amazonaws.com"
        self.ca_file = Path(os.environ["AWS_CA_BUNDLE"]) if os.environ.get("AWS_CA_BUNDLE") else None

    @asynccontextmanager
    async def raw(self, setup: Setup = PLAIN, identity: Identity | None = None) -> AsyncIterator[SignedClient]:
        del setup
        who = replace(identity, region=self.identity.region) if identity else self.identity
        client = SignedClient(self.endpoint, who, self.ca_file)
        client.timeout_seconds = float(os.environ.get("NOVA_SONIC_REMOTE_PATIENCE", "40"))
        async with client:
            yield client

    def secure(self) -> AbstractAsyncContextManager[SignedClient]:
        return self.raw()

    @asynccontextmanager
    async def product(self, setup: Setup = PLAIN) -> AsyncIterator[NovaSonicClient]:
        del setup
        who = self.identity
        credentials = StaticCredentials(who.access_key, who.secret, who.token)
        client = NovaSonicClient(who.region, MODEL_ID, self.endpoint, str(self.ca_file) if self.ca_file else None, credentials)
        try:
            yield client
        finally:
            await client.aclose()

    async def say(self, text: str) -> bytes:
        if shutil.which("espeak-ng") is None:
            pytest.skip("the service hears real speech only: espeak-ng is missing")
        spoken = await choose_voice("espeak").speak(text, "matthew", 16_000)
        return silence(0.3) + spoken + silence(2.5)
