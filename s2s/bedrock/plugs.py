"""What is plugged into the SDK for one call: protocol, transport, and the body that they pass to each other.

The SDK's own publisher and receiver of events, its queue and its HTTP/2 stay out of the way; the rest of its pipeline runs as it is.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Any, Final, cast

import orjson
from aws_sdk_bedrock_runtime.models import InvokeModelWithBidirectionalStreamOutputChunk
from smithy_aws_core.aio.protocols import RestJsonClientProtocol
from smithy_aws_core.identity import AWSCredentialsIdentity
from smithy_aws_event_stream.aio import AWSEventReceiver
from smithy_core.aio.interfaces import ProtocolSettings
from smithy_core.aio.types import AsyncBytesReader
from smithy_core.codecs import Codec
from smithy_core.exceptions import CallError
from smithy_core.interceptors import Interceptor, OutputContext
from smithy_http import Field, Fields
from smithy_http.aio.interfaces import HTTPRequest, HTTPResponse
from smithy_http.interfaces import HTTPRequestConfiguration

from s2s.bedrock.event_stream import InputEncoder, OutputDecoder
from s2s.bedrock.interfaces import Exchange, Exchanges, Headers, StreamBroken

_SETTINGS: Final = ProtocolSettings(namespace="com.amazonaws.bedrockruntime", service_target="AmazonBedrockFrontendService")

SAYS: Final = " - the service says: "
"""Before the service's own words, at the end of what the SDK says about an error that it has no class for."""
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


class RequestBody:
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

    def __deepcopy__(self, memo: dict[int, Any]) -> "RequestBody":
        """Return itself: the SDK signs a deep copy of the request."""
        return self


class SonicProtocol(RestJsonClientProtocol):
    """The SDK's protocol, with our encoder and reader in place of its publisher and receiver of events.

    Args:
        body: of the one request that this protocol will serialise.
        identity: signs the events.
    """

    def __init__(self, body: RequestBody, identity: AWSCredentialsIdentity) -> None:
        super().__init__(_SETTINGS)
        self._body, self._identity = body, identity

    def serialize_request(self, **arguments: Any) -> HTTPRequest:
        """Serialise the request without its events."""
        request = super().serialize_request(**arguments)
        request.body = self._body  # type: ignore[assignment]  # typed as readable; nobody but our own transport looks at it
        return request

    async def deserialize_response(self, **arguments: Any) -> Any:
        """Deserialise the response's head; an error that the SDK has no class for keeps what the service says about it.

        Raises:
            CallError: of the class that the service's error has, or of none.
        """
        try:
            return await super().deserialize_response(**arguments)
        except CallError as error:
            response = arguments["response"]
            if type(error) is CallError and isinstance(response, _Response):
                error.message = f"{error.message}{SAYS}{response.message()}"
            raise

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


class EarlyFailure(Interceptor[Any, Any, Any, Any]):
    """Tells of a call that fails before it has a request: the SDK lets its caller wait for one without end."""

    def __init__(self, body: RequestBody) -> None:
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
        body = cast(RequestBody, request.body)
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
        self._body = bytearray()
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
        """Return the pieces of the body, as far as an error's can be long."""
        return self._pieces()

    @property
    def reason(self) -> str | None:
        """Return None: HTTP/2 has no reason phrase."""
        return None

    def message(self) -> str:
        """Return the text of an error whose body has been read; empty when it has none."""
        try:
            document = orjson.loads(self._body)
        except orjson.JSONDecodeError:
            return ""
        text = document.get("message") or document.get("Message") if isinstance(document, dict) else None
        return text if isinstance(text, str) else ""

    async def _pieces(self) -> AsyncIterator[bytes]:
        while len(self._body) <= ERROR_BYTES and (piece := await self._exchange.read()) is not None:
            self._body += piece
            yield piece
