"""The SDK's part of a stream: endpoint, SigV4 of the request, the modelled errors, and the reading of whatever is no plain event.

Two public fields of its configuration let the rest be ours: `transport=` sends the request as an exchange of `interfaces.py`, and
`protocol=` hands out our own encoder and reader of events in place of the SDK's (docs/discussion/transport.md says why). This module is the
one that knows how the SDK's interface looks; it changes with each minor version.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from dataclasses import dataclass
from typing import Any, Final, cast

from aws_sdk_bedrock_runtime.client import AsyncBedrockRuntimeClient
from aws_sdk_bedrock_runtime.config import AsyncBedrockRuntimeConfig
from aws_sdk_bedrock_runtime.models import InvokeModelWithBidirectionalStreamOperationInput, InvokeModelWithBidirectionalStreamOutputChunk
from smithy_aws_core.aio.protocols import RestJsonClientProtocol
from smithy_aws_core.identity import AWSCredentialsIdentity, AWSIdentityProperties
from smithy_aws_event_stream.aio import AWSEventReceiver
from smithy_core.aio.interfaces import ProtocolSettings
from smithy_core.aio.interfaces.identity import IdentityResolver
from smithy_core.aio.types import AsyncBytesReader
from smithy_core.codecs import Codec
from smithy_core.exceptions import SmithyError
from smithy_core.interceptors import Interceptor, OutputContext
from smithy_http import Field, Fields
from smithy_http.aio.interfaces import HTTPRequest, HTTPResponse
from smithy_http.interfaces import HTTPRequestConfiguration

from s2s.bedrock.credentials import PinnedIdentity
from s2s.bedrock.event_stream import InputEncoder, OutputDecoder
from s2s.bedrock.interfaces import Exchange, Exchanges, Headers, StreamBroken, StreamRefused

_SETTINGS: Final = ProtocolSettings(namespace="com.amazonaws.bedrockruntime", service_target="AmazonBedrockFrontendService")

CLOSE_SECONDS: Final = 1.0
"""How long calls may take to end once their exchanges have."""
ERROR_BYTES: Final = 64 * 1024
"""How much of the body of a refusal is read: the service's have some hundred bytes."""


class OutputReader(OutputDecoder):
    """Reads all messages of the model.

    Args:
        codec: the SDK's, for payloads.
        deserializer: the SDK's, for the members of the output stream.
    """

    def __init__(self, codec: Codec, deserializer: Any) -> None:
        super().__init__()
        self._codec, self._deserializer = codec, deserializer

    async def other_event(self, message: bytes) -> bytes | None:
        """Return the JSON of an event that needs the SDK to be read, or None for a message that has none; never waits.

        Raises:
            Exception: what the SDK makes of an error in the stream, modelled or not.
        """
        reader: AWSEventReceiver[Any] = AWSEventReceiver(
            payload_codec=self._codec, source=AsyncBytesReader(message), deserializer=self._deserializer
        )
        shape = await reader.receive()
        if not isinstance(shape, InvokeModelWithBidirectionalStreamOutputChunk):
            return None
        self.learn(message)
        return shape.value.bytes_ or b""


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
        body = _Body()

        def of_this_call(config: AsyncBedrockRuntimeConfig) -> None:
            config.transport = ExchangeTransport(exchanges)
            config.protocol = SonicProtocol(body, identity)
            config.aws_credentials_identity_resolver = PinnedIdentity(identity)
            config.interceptors.append(_Outcome(body))

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


class _Body:
    """Stands for the request's body: the SDK passes it from our protocol to our transport, which puts the exchange into it."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.exchange: asyncio.Future[Exchange] = loop.create_future()
        self.encoder: asyncio.Future[InputEncoder] = loop.create_future()
        self._is_abandoned = False

    @property
    def is_stuck(self) -> bool:
        """Whether the call failed before there was a request: the SDK then waits for one without end."""
        return self.exchange.done() and not self.encoder.done()

    def check(self) -> None:
        """Check that somebody still wants the exchange.

        Raises:
            StreamBroken: nobody does.
        """
        if self._is_abandoned:
            raise StreamBroken("the call was given up")

    async def attach(self, exchange: Exchange) -> None:
        """Hand the exchange to whoever waits for it.

        Raises:
            StreamBroken: nobody does any more; the exchange is closed.
        """
        if self._is_abandoned:
            await exchange.close()
        self.check()
        self.exchange.set_result(exchange)

    def fail(self, error: Exception) -> None:
        """Tell that there will be no exchange, unless there is one."""
        if not self.exchange.done():
            self.exchange.set_exception(error)
            self.exchange.exception()  # counts as seen: the caller may have given up

    async def abandon(self) -> None:
        """Close the exchange, now or when it comes."""
        self._is_abandoned = True
        if self.exchange.done() and self.exchange.exception() is None:
            await self.exchange.result().close()

    def __deepcopy__(self, memo: dict[int, Any]) -> "_Body":
        """Return itself: the SDK signs a deep copy of the request."""
        return self


class SonicProtocol(RestJsonClientProtocol):
    """The SDK's protocol, with our encoder and reader in place of its publisher and receiver of events.

    Args:
        body: of the one request that this protocol will serialise.
        identity: signs the events.
    """

    def __init__(self, body: _Body, identity: AWSCredentialsIdentity) -> None:
        super().__init__(_SETTINGS)
        self._body, self._identity = body, identity

    def serialize_request(self, **arguments: Any) -> HTTPRequest:
        """Serialise the request without its events."""
        request = super().serialize_request(**arguments)
        request.body = self._body  # type: ignore[assignment]  # typed as readable; nobody but our own transport looks at it
        return request

    def create_event_publisher(self, *, request: HTTPRequest, context: Any, auth_scheme: Any = None, **_: Any) -> Any:
        """Return an InputEncoder that goes on from the signature of the request."""
        if auth_scheme is None:
            raise TypeError("the SDK chose no signature for the request")
        properties = auth_scheme.signer_properties(context=context)
        seed = request.fields["authorization"].as_string().rpartition("Signature=")[2]
        encoder = InputEncoder(self._identity.secret_access_key, properties["region"], properties["service"], seed)
        self._body.encoder.set_result(encoder)
        return encoder

    def create_event_receiver(self, *, event_deserializer: Any, **_: Any) -> Any:
        """Return an OutputReader."""
        return OutputReader(self.payload_codec, event_deserializer)


class _Outcome(Interceptor[Any, Any, Any, Any]):
    """Tells of a call that fails before it has a request: the SDK lets its caller wait for one without end."""

    def __init__(self, body: _Body) -> None:
        self._body = body

    def modify_before_attempt_completion(self, context: OutputContext[Any, Any, Any, Any]) -> Any:
        """Take such a failure out of the hands of the SDK, which has nobody to give it to.

        Called before the completion of the execution too, in place of the method that is meant for it (smithy-core 0.9.0).
        """
        if isinstance(context.response, Exception) and not self._body.encoder.done():
            self._body.fail(context.response)
            return None
        return context.response


class ExchangeTransport:
    """The SDK's transport: sends its request as an exchange.

    Args:
        exchanges: carry it.
    """

    SUPPORTS_DUPLEX_STREAMING = True
    TIMEOUT_EXCEPTIONS = ()

    def __init__(self, exchanges: Exchanges) -> None:
        self._exchanges = exchanges

    async def send(self, request: HTTPRequest, *, request_config: HTTPRequestConfiguration | None = None) -> "_Response":
        """Start the request and return when the response's head is there.

        Raises:
            CannotConnect: there is no connection.
            StreamBroken: there will be no response.
        """
        del request_config  # the SDK passes none; our time-outs are the stream's
        body = cast(_Body, request.body)
        body.check()
        path = request.destination.path or "/"
        if request.destination.query is not None:
            path += f"?{request.destination.query}"
        try:
            exchange = await self._exchanges.open(request.method, path, _headers(request))
        except OSError as error:
            body.fail(error)
            raise
        await body.attach(exchange)
        status, headers = await exchange.head()
        return _Response(status, headers, exchange)


def _headers(request: HTTPRequest) -> Headers:
    """Return the request's headers in lower case, as HTTP/2 wants them (RFC 9113 8.2)."""
    headers = [(field.name.lower(), value) for field in request.fields.entries.values() for value in field.values]
    names = {name for name, _ in headers}
    if "host" not in names:
        headers.insert(0, ("host", request.destination.netloc))
    if "accept" not in names:
        headers.append(("accept", "*/*"))
    return headers


class _Response(HTTPResponse):
    """Head of a response; its body matters to the SDK only when it is an error."""

    def __init__(self, status: int, headers: Headers, exchange: Exchange) -> None:
        self._status, self._exchange = status, exchange
        self._fields = Fields()
        for name, value in headers:
            if name in self._fields:
                self._fields[name].add(value)
            else:
                self._fields.set_field(Field(name=name, values=[value]))

    @property
    def status(self) -> int:
        """Return the HTTP status."""
        return self._status

    @property
    def fields(self) -> Fields:
        """Return the headers."""
        return self._fields

    @property
    def body(self) -> AsyncIterator[bytes]:
        """Return the pieces of the body."""
        return _pieces(self._exchange)

    @property
    def reason(self) -> str | None:
        """Return None: HTTP/2 has no reason phrase."""
        return None


async def _pieces(exchange: Exchange) -> AsyncIterator[bytes]:
    size = 0
    while size <= ERROR_BYTES and (piece := await exchange.read()) is not None:
        size += len(piece)
        yield piece


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
