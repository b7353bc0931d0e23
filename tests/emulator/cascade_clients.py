"""The stock clients of the services that a cascade needs, made to use an emulator."""

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import boto3
from aws_sdk_bedrock_runtime.client import AsyncBedrockRuntimeClient
from botocore.config import Config
from botocore.exceptions import ClientError

from nova_sonic_local.server import NovaSonicLocal
from tests.emulator.conversation import ACCESS_KEY, SECRET_KEY
from tests.emulator.stock_sdk import stock_client
from tests.emulator.wire import Json

TEXT_MODEL = "us.amazon.nova-lite-v1:0"
_SESSION = boto3.Session()
"""One for all tests: it reads the descriptions of the services once, which takes a second."""


@contextlib.contextmanager
def boto(service: str, emulator: NovaSonicLocal, *, has_tls: bool = True, read_seconds: float = 10.0) -> Iterator[Any]:
    """Give a client of boto3, which speaks HTTP/1.1; to be used in another thread than the emulator's."""
    client: Any = _SESSION.client(  # type: ignore[call-overload]  # the name of the service is not a literal
        service,
        endpoint_url=emulator.endpoint if has_tls else emulator.h2c_endpoint,
        region_name="us-east-1",
        aws_access_key_id=ACCESS_KEY,
        aws_secret_access_key=SECRET_KEY,
        verify=str(emulator.ca_file) if has_tls else None,
        config=Config(retries={"max_attempts": 0}, read_timeout=read_seconds),
    )
    with contextlib.closing(client):
        yield client


async def with_boto[T](
    service: str, emulator: NovaSonicLocal, use: Callable[[Any], T], *, has_tls: bool = True, read_seconds: float = 10.0
) -> T:
    """Use a client of boto3 in a thread, and return what came of it."""

    def run() -> T:
        with boto(service, emulator, has_tls=has_tls, read_seconds=read_seconds) as client:
            return use(client)

    return await asyncio.to_thread(run)


async def sdk_client(emulator: NovaSonicLocal) -> AsyncBedrockRuntimeClient:
    """Return a client of AWS's asynchronous SDK, which speaks HTTP/2."""
    return await stock_client(emulator.endpoint, emulator.ca_file)


async def refused(service: str, emulator: NovaSonicLocal, use: Callable[[Any], object]) -> tuple[int, str, str]:
    """Use a client of boto3 for what is refused, and return the status, code and message."""

    def run(client: Any) -> tuple[int, str, str]:
        try:
            use(client)
        except ClientError as error:  # caught here: as long as it is held, the client's connection stays open
            response: Any = error.response
            return response["ResponseMetadata"]["HTTPStatusCode"], response["Error"]["Code"], response["Error"]["Message"]
        raise AssertionError("it was taken")

    return await with_boto(service, emulator, run)


def user(text: str) -> Json:
    return {"role": "user", "content": [{"text": text}]}


def tool(name: str, **properties: str) -> Json:
    """Return a tool whose arguments are all required; each property is given with its type."""
    schema = {"type": "object", "properties": {key: {"type": kind} for key, kind in properties.items()}, "required": list(properties)}
    return {"toolSpec": {"name": name, "description": name, "inputSchema": {"json": schema}}}


def tool_results(message: Json, result: Json) -> Json:
    """Return the message that answers every tool call of a message with the same result."""
    uses = [block["toolUse"] for block in message["content"] if "toolUse" in block]
    return {"role": "user", "content": [{"toolResult": {"toolUseId": use["toolUseId"], "content": [{"json": result}]}} for use in uses]}
