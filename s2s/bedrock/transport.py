"""What the SDK sees of the network: a transport and a request body for one stream, over a guarded exchange.

Both are public places of the SDK's configuration (`transport=`, `protocol=`). The rest stays the SDK's: endpoint, SigV4 of the request and
of each event, the event-stream encoding, and the modelled errors.
"""

import asyncio
from collections.abc import AsyncIterable
from typing import Any, Final

from awscrt.http import HttpHeaders, HttpRequest
from smithy_aws_core.aio.protocols import RestJsonClientProtocol
from smithy_core.aio.interfaces import ProtocolSettings
from smithy_http import Field, Fields
from smithy_http.aio.interfaces import HTTPRequest, HTTPResponse
from smithy_http.interfaces import HTTPRequestConfiguration

from s2s.bedrock.connections import Connection
from s2s.bedrock.exchange import Exchange, Headers, StreamBroken

_SETTINGS: Final = ProtocolSettings(namespace="com.amazonaws.bedrockruntime", service_target="AmazonBedrockFrontendService")


class RequestBody:
    """The request's event stream: what the SDK has signed goes straight to the exchange."""

    def __init__(self) -> None:
        self._exchange: asyncio.Future[Exchange] = asyncio.get_running_loop().create_future()

    def connect(self, exchange: Exchange) -> None:
        """Let writing begin."""
        self._exchange.set_result(exchange)

    def fail(self, error: StreamBroken) -> None:
        """Let writing fail: there will be no exchange."""
        self._exchange.set_exception(error)
        self._exchange.exception()  # counts as seen, in case nobody writes any more

    async def write(self, data: bytes) -> None:
        """Write one encoded event.

        Raises:
            StreamBroken: the stream is over.
        """
        await (await asyncio.shield(self._exchange)).write(data)

    async def close(self) -> None:
        """End the request."""
        await (await asyncio.shield(self._exchange)).end_input()

    def __deepcopy__(self, memo: dict[int, Any]) -> "RequestBody":
        """Return itself: the SDK signs a deep copy of the request."""
        return self


class StreamProtocolOfSdk(RestJsonClientProtocol):
    """The SDK's protocol, with our body in place of its queue.

    Args:
        body: of the one request that this protocol will serialise.
    """

    def __init__(self, body: RequestBody) -> None:
        super().__init__(_SETTINGS)
        self._body = body

    def serialize_request(self, **arguments: Any) -> HTTPRequest:
        """Serialise the request without its events."""
        request = super().serialize_request(**arguments)
        request.body = self._body  # type: ignore[assignment]  # typed as readable; the SDK's publisher asks only for write()
        return request


class Response(HTTPResponse):
    """Head of a response, and the exchange as its body.

    Args:
        status: HTTP status.
        headers: as they came.
        body: pieces of the body.
    """

    def __init__(self, status: int, headers: Headers, body: AsyncIterable[bytes]) -> None:
        self._status = status
        self._body = body
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
    def body(self) -> AsyncIterable[bytes]:
        """Return the pieces of the body."""
        return self._body

    @property
    def reason(self) -> str | None:
        """Return None: HTTP/2 has no reason phrase."""
        return None


class StreamTransport:
    """Sends the one request of a stream.

    Args:
        connection: carries it.
        body: of the request.
    """

    SUPPORTS_DUPLEX_STREAMING = True
    TIMEOUT_EXCEPTIONS = ()

    def __init__(self, connection: Connection, body: RequestBody) -> None:
        self._connection = connection
        self._body = body
        self.exchange: Exchange | None = None

    async def send(self, request: HTTPRequest, *, request_config: HTTPRequestConfiguration | None = None) -> Response:
        """Start the request and return when the response's head is there.

        Raises:
            StreamBroken: there will be none.
        """
        del request_config  # the SDK passes none; our time-outs are the stream's
        try:
            self.exchange = Exchange(self._connection.http, _crt_request(request))
        except RuntimeError as error:  # the connection went away since it was handed out
            broken = StreamBroken(str(error))
            self._body.fail(broken)
            raise broken from error
        self._body.connect(self.exchange)
        status, headers = await self.exchange.head()
        return Response(status, headers, self.exchange)


def _crt_request(request: HTTPRequest) -> HttpRequest:
    headers = [("host", request.destination.netloc)] if "host" not in request.fields else []
    headers += [(field.name, value) for field in request.fields.entries.values() for value in field.values]
    if "accept" not in request.fields:
        headers.append(("accept", "*/*"))
    query = f"?{request.destination.query}" if request.destination.query is not None else ""
    return HttpRequest(method=request.method, path=f"{request.destination.path or '/'}{query}", headers=HttpHeaders(headers))
