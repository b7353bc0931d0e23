"""The stock SDK's client over the CRT, made to trust the emulator's authority."""

import json
from pathlib import Path
from typing import Any, Self, cast

from aws_sdk_bedrock_runtime.client import AsyncBedrockRuntimeClient, InvokeModelWithBidirectionalStreamOperationInput
from aws_sdk_bedrock_runtime.config import AsyncBedrockRuntimeConfig
from aws_sdk_bedrock_runtime.models import (
    BidirectionalInputPayloadPart,
    InvokeModelWithBidirectionalStreamInputChunk,
    InvokeModelWithBidirectionalStreamOutputChunk,
)

from bench.ways import TrustingTransport
from tests.emulator.conversation import ACCESS_KEY, SECRET_KEY
from tests.emulator.wire import Json

MODEL_ID = "amazon.nova-2-sonic-v1:0"


async def stock_client(endpoint: str, ca_file: Path, secret: str = SECRET_KEY) -> AsyncBedrockRuntimeClient:
    config = await AsyncBedrockRuntimeConfig.resolve(
        region="us-east-1",
        endpoint_uri=endpoint,
        transport=TrustingTransport(str(ca_file)),
        aws_access_key_id=ACCESS_KEY,
        aws_secret_access_key=secret,
    )
    return AsyncBedrockRuntimeClient(config=config)


class StockStream:
    """One stream of the stock client."""

    def __init__(self, stream: Any) -> None:
        self.stream = stream
        self.receiver: Any = None

    @classmethod
    async def open(cls, client: AsyncBedrockRuntimeClient, model_id: str = MODEL_ID) -> Self:
        return cls(await client.invoke_model_with_bidirectional_stream(InvokeModelWithBidirectionalStreamOperationInput(model_id=model_id)))

    async def send(self, *events: object) -> None:
        for event in events:
            part = BidirectionalInputPayloadPart(bytes_=json.dumps(event).encode())
            await self.stream.input_stream.send(InvokeModelWithBidirectionalStreamInputChunk(value=part))

    async def end(self) -> None:
        await self.stream.input_stream.close()

    async def receive(self) -> Json | None:
        """Return the next event, None at the end; must never be cancelled."""
        if self.receiver is None:
            _, self.receiver = await self.stream.await_output()
        result = await self.receiver.receive()
        if result is None:
            return None
        assert isinstance(result, InvokeModelWithBidirectionalStreamOutputChunk)
        return cast("Json", json.loads(result.value.bytes_ or b"")["event"])

    async def receive_until(self, name: str, **members: object) -> list[Json]:
        events = []
        while (event := await self.receive()) is not None:
            events.append(event)
            body = event.get(name)
            if body is not None and all(body.get(key) == value for key, value in members.items()):
                break
        return events
