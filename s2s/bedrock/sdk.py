"""Makes the bidirectional call by the SDK: its configuration, endpoint, SigV4 of the request and modelled errors.

Two public fields of its configuration, `transport=` and `protocol=`, let the rest be ours: see `plugs.py`, and docs/discussion/transport.md
for why. These two modules are the ones that know how the SDK's interface looks; it changes with each minor version.
"""

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Any, Final, cast

from aws_sdk_bedrock_runtime.client import AsyncBedrockRuntimeClient
from aws_sdk_bedrock_runtime.config import AsyncBedrockRuntimeConfig
from aws_sdk_bedrock_runtime.models import InvokeModelWithBidirectionalStreamOperationInput
from smithy_aws_core.identity import AWSCredentialsIdentity, AWSIdentityProperties
from smithy_core.aio.interfaces.identity import IdentityResolver
from smithy_core.exceptions import SmithyError

from s2s.bedrock.credentials import PinnedIdentity
from s2s.bedrock.event_stream import InputEncoder
from s2s.bedrock.interfaces import Exchange, Exchanges, StreamRefused
from s2s.bedrock.plugs import EarlyFailure, ExchangeTransport, OutputReader, RequestBody, SonicProtocol

CLOSE_SECONDS: Final = 1.0
"""How long calls may take to end once their exchanges have."""


@dataclass(slots=True)
class Call:
    """A bidirectional call under way, its request's head on the wire."""

    exchange: Exchange
    encoder: InputEncoder
    accepted: asyncio.Task[OutputReader]
    """Ends with the response's head; its error is what the SDK makes of a refusal."""


class Sdk:
    """Makes the bidirectional call by the SDK. Belongs to one event loop.

    Args:
        region: AWS region, also part of every signature.
        endpoint_uri: of the service.
    """

    def __init__(self, region: str, endpoint_uri: str) -> None:
        self._region, self._endpoint_uri = region, endpoint_uri
        self._making = asyncio.Lock()
        self._client: AsyncBedrockRuntimeClient | None = None
        self._calls: set[asyncio.Task[OutputReader]] = set()

    async def invoke(self, model_id: str, exchanges: Exchanges, identity: AWSCredentialsIdentity) -> Call:
        """Send the head of a call, signed by one identity, which also signs all its events.

        Args:
            model_id: Bedrock model id or ARN.
            exchanges: carry it.
            identity: whom to sign as: the SDK would ask for each event, and a change in mid-stream would break the chain of signatures.

        Raises:
            CannotConnect: there is no connection.
            Exception: what the SDK raises before there is a request.
        """
        body = RequestBody()

        def of_this_call(config: AsyncBedrockRuntimeConfig) -> None:
            config.transport = ExchangeTransport(exchanges)
            config.protocol = SonicProtocol(body, identity)
            config.aws_credentials_identity_resolver = PinnedIdentity(identity)
            config.interceptors.append(EarlyFailure(body))

        client = await self._made_client()
        operation = InvokeModelWithBidirectionalStreamOperationInput(model_id=model_id)
        # In a task of its own, which is never cancelled: the SDK's tasks hang or complain when the one that waits for them goes away.
        call = client.invoke_model_with_bidirectional_stream(operation, plugins=[of_this_call])
        accepted: asyncio.Task[OutputReader] = asyncio.create_task(_accepted(call), name="nova-sonic-call")
        self._calls.add(accepted)
        accepted.add_done_callback(self._forget)
        try:
            return Call(await asyncio.shield(body.exchange), await asyncio.shield(body.encoder), accepted)
        except BaseException:
            await body.abandon()
            if body.is_stuck:
                accepted.cancel()
            raise

    async def close(self) -> None:
        """Close the SDK's client. The exchanges must have been closed before, which ends the calls."""
        if self._calls:
            _, waiting = await asyncio.wait(self._calls, timeout=CLOSE_SECONDS)
            for call in waiting:
                call.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)
        if self._client is not None:
            await self._client.close()

    def _forget(self, call: "asyncio.Task[OutputReader]") -> None:
        self._calls.discard(call)
        if not call.cancelled():
            call.exception()  # counts as seen: a call that was given up has nobody who waits for it

    async def _made_client(self) -> AsyncBedrockRuntimeClient:
        async with self._making:
            if self._client is None:
                # Profile and files are botocore's business: a profile that the SDK cannot read must not stop a client that needs none.
                config = await AsyncBedrockRuntimeConfig.resolve(
                    profile="default", fs=_EmptyFiles(), region=self._region, endpoint_uri=self._endpoint_uri, transport=_NoTransport()
                )
                # Without one the SDK looks for credential plug-ins in all installed packages, on the loop: 15 to 170 ms (measured).
                config.aws_credentials_identity_resolver = _NoIdentity()
                self._client = AsyncBedrockRuntimeClient(config)
            return self._client


async def _accepted(call: Awaitable[Any]) -> OutputReader:
    try:
        _, reader = await (await call).await_output()
    except SmithyError as error:
        if isinstance(error.__cause__, StreamRefused):  # the SDK wraps whatever is not its own
            raise error.__cause__ from None
        raise
    return cast(OutputReader, reader)


class _EmptyFiles:
    async def read_file(self, path: str) -> str | None:
        """Return files in which the default profile sets nothing."""
        del path
        return "[default]\n"


class _NoIdentity(IdentityResolver[AWSCredentialsIdentity, AWSIdentityProperties]):
    async def get_identity(self, *, properties: AWSIdentityProperties) -> AWSCredentialsIdentity:
        """Refuse: each call brings its own identity."""
        raise NotImplementedError


class _NoTransport:
    SUPPORTS_DUPLEX_STREAMING = True
    TIMEOUT_EXCEPTIONS = ()

    async def send(self, request: object) -> object:
        """Refuse: each call brings its own transport."""
        raise NotImplementedError
