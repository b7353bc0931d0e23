"""A proxy in front of the services that are written to, in which all of them fail at once when they are told to."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from enum import StrEnum

import aiohttp
from aiohttp import web

LARGEST_BYTES = 64 * 1024 * 1024
PER_HOP = frozenset({"connection", "keep-alive", "transfer-encoding", "te", "upgrade", "expect", "content-length"})


class Outage(StrEnum):
    """What is wrong with the services."""

    NONE = "none"
    HANGING = "hanging"
    """They take requests and never answer."""
    THROTTLING = "throttling"
    """They refuse each as one too many."""
    DOWN = "down"
    """Whoever connects is cut off."""


class FaultyServices:
    """Passes requests on to where the services are, or fails in their place.

    Args:
        others: endpoint of DynamoDB, S3 and SNS.
        events: endpoint of AppSync.
    """

    def __init__(self, others: str, events: str) -> None:
        self.url = ""
        self.outage = Outage.NONE
        self.failed: Counter[str] = Counter()
        """Requests that met an outage, by service."""
        self._others = others
        self._events = events
        self._over = asyncio.Event()
        self._http: aiohttp.ClientSession | None = None

    def fail(self, outage: Outage) -> None:
        """Let all services fail from now on, or none any more."""
        self.outage = outage
        self._over.set()
        self._over = asyncio.Event()

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """Answer a request."""
        body, service = await request.read(), service_of(request)
        if self.outage is Outage.NONE:
            return await self._pass_on(request, body, self._events if service == "appsync" else self._others)
        self.failed[service] += 1
        if self.outage is Outage.THROTTLING:
            return throttled(service)
        if self.outage is Outage.HANGING:
            await self._over.wait()
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    async def _pass_on(self, request: web.Request, body: bytes, to: str) -> web.StreamResponse:
        if self._http is None:
            self._http = aiohttp.ClientSession(auto_decompress=False, timeout=aiohttp.ClientTimeout(total=None))
        headers = {name: value for name, value in request.headers.items() if name.lower() not in PER_HOP}
        async with self._http.request(request.method, to + request.raw_path, data=body, headers=headers) as answer:
            kept = {"content-length"} if request.method == "HEAD" else frozenset[str]()
            own = {name: value for name, value in answer.headers.items() if name.lower() not in PER_HOP - kept}
            return web.Response(status=answer.status, headers=own, body=await answer.read())

    async def aclose(self) -> None:
        """Let go of all connections."""
        self._over.set()
        if self._http is not None:
            await self._http.close()


def service_of(request: web.Request) -> str:
    """Return which service a request is for."""
    if request.headers.get("X-Amz-Target", "").startswith("DynamoDB"):
        return "dynamodb"
    if request.path == "/event":
        return "appsync"
    is_query = request.content_type == "application/x-www-form-urlencoded"
    return "sns" if request.method == "POST" and is_query else "s3"


def throttled(service: str) -> web.Response:
    """Return how a service says that it has too much to do."""
    match service:
        case "dynamodb":
            told = {"__type": "com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException", "message": "Slow down."}
            return web.json_response(told, status=400, content_type="application/x-amz-json-1.0")
        case "appsync":
            return web.json_response({"errors": [{"errorType": "TooManyRequestsException", "message": "Slow down."}]}, status=429)
        case "sns":
            told_xml = (
                "<ErrorResponse><Error><Type>Sender</Type><Code>Throttling</Code><Message>Slow down.</Message></Error></ErrorResponse>"
            )
            return web.Response(status=400, text=told_xml, content_type="text/xml")
        case _:
            return web.Response(
                status=503, text="<Error><Code>SlowDown</Code><Message>Slow down.</Message></Error>", content_type="application/xml"
            )


@asynccontextmanager
async def faulty_services(others: str, events: str) -> AsyncIterator[FaultyServices]:
    """Run the proxy on a free port."""
    services = FaultyServices(others, events)
    app = web.Application(client_max_size=LARGEST_BYTES)
    app.router.add_route("*", "/{path:.*}", services.serve)
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0][:2]
        services.url = f"http://{host}:{port}"
        yield services
    finally:
        await services.aclose()
        await runner.cleanup()
