"""Publishes to AppSync Events over HTTP (AppSync Events developer guide, "Publish events via HTTP", read 2026-11-22).

A request carries up to five events of one channel, each as a string of JSON, together up to 240 KB. Its answer names those that failed:
they alone are sent again. What the service never takes is left out, so that it does not stop what comes after it.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import urlsplit

import aiohttp
import orjson

from publishing.errors import Away, Denied, PublishingError, Refused, Throttled
from publishing.routes import Message
from publishing.signing import Credentials, signed_headers

BATCH_EVENTS: Final = 5
BATCH_BYTES: Final = 240_000
"""Of the events of one request, as they are encoded in it; the service counts 240 KB."""
REQUEST_SECONDS: Final = 4.0
CONNECTIONS: Final = 8
"""Requests at once: each for another channel."""
ITEM_TRIES: Final = 5
"""After so many requests in which an event failed while others of it did not, it counts as one that is never taken."""
MAX_ANSWER_BYTES: Final = 64 * 1024
SERVICE: Final = "appsync"


@dataclass(slots=True, eq=False)
class Outgoing:
    """A message on its way."""

    message: Message
    is_delivered: bool = False
    failures: int = 0
    """How often the service took the request and not this event of it."""

    @property
    def size_bytes(self) -> int:
        """Return what it takes in a request."""
        return len(orjson.dumps(self.message.text))


class AppSyncEvents:
    """The HTTP endpoint of one Event API. Belongs to one event loop.

    Args:
        endpoint: like https://example.appsync-api.us-east-1.amazonaws.com, with or without /event.
        api_key: instead of a signature; empty for a signature.
        credentials: to sign with, where there is no key.
        region: of the API.
        proxy: on the way, like http://host:port.
        proxy_headers: for the proxy.
        seconds: for one request.
        now: UTC wall time.
    """

    def __init__(
        self,
        endpoint: str,
        *,
        api_key: str = "",
        credentials: Credentials | None = None,
        region: str = "",
        proxy: str | None = None,
        proxy_headers: dict[str, str] | None = None,
        seconds: float = REQUEST_SECONDS,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._url = f"{endpoint.removesuffix('/event')}/event"
        self._api_key = api_key
        self._credentials = credentials
        self._region = region
        self._proxy = proxy
        self._proxy_headers = proxy_headers
        self._timeout = aiohttp.ClientTimeout(total=seconds)
        self._now = now
        self._session: aiohttp.ClientSession | None = None

    async def aclose(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()

    async def write(self, waiting: Sequence[Outgoing]) -> None:
        """Send messages, those of a channel in order; may be called again with the same, of which those that were taken are not sent again.

        Raises:
            Refused: one of them is never taken.
            PublishingError: some of them were not taken now.
        """
        channels: dict[str, list[Outgoing]] = {}
        for one in waiting:
            if not one.is_delivered:
                channels.setdefault(one.message.channel, []).append(one)
        outcomes = await asyncio.gather(*(self._send_all(channel, found) for channel, found in channels.items()), return_exceptions=True)
        failed = [outcome for outcome in outcomes if outcome is not None]
        if failed:
            raise min(failed, key=lambda error: isinstance(error, Refused))  # what is only late comes first: the rest is seen then

    async def _send_all(self, channel: str, found: Sequence[Outgoing]) -> None:
        for group in batches(found):
            await self._send(channel, group)

    async def _send(self, channel: str, group: Sequence[Outgoing]) -> None:
        """Send one request."""
        if sum(one.size_bytes for one in group) > BATCH_BYTES:
            raise Refused("the event is too large")
        body = orjson.dumps({"channel": f"/{channel}", "events": [one.message.text for one in group]})
        status, answer = await self._post(body)
        if status != HTTPStatus.OK:
            raise self._error_of(status, answer)
        failed = _failed(answer)
        for index, one in enumerate(group):
            one.is_delivered = index not in failed
            one.failures += index in failed
        if any(one.failures >= ITEM_TRIES and not one.is_delivered for one in group):
            raise Refused("the event failed again and again")
        if failed:
            raise Away(f"{len(failed)} of {len(group)} events were not taken")

    async def _post(self, body: bytes) -> tuple[int, object]:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=CONNECTIONS), timeout=self._timeout, auto_decompress=False
            )
        headers = await self._headers(body)
        try:
            async with self._session.post(
                self._url, data=body, headers=headers, proxy=self._proxy, proxy_headers=self._proxy_headers, allow_redirects=False
            ) as response:
                return response.status, _parsed(await response.content.read(MAX_ANSWER_BYTES))
        except TimeoutError:
            raise Away(f"no answer within {self._timeout.total} s") from None
        except (aiohttp.ClientError, OSError) as error:
            raise Away(type(error).__name__) from error

    async def _headers(self, body: bytes) -> dict[str, str]:
        headers = {"content-type": "application/json"}
        if self._api_key or self._credentials is None:
            return {**headers, "x-api-key": self._api_key}
        try:
            identity = await self._credentials.identity()
        except Exception as error:
            raise Denied(f"no credentials: {type(error).__name__}") from error
        signed = signed_headers(identity, url=self._url, headers=headers, body=body, region=self._region, service=SERVICE, now=self._now())
        return {name: value for name, value in signed.items() if name != "host"} | {"Host": urlsplit(self._url).netloc}

    def _error_of(self, status: int, answer: object) -> PublishingError:
        kind = _error_type(answer)
        detail = f"{status} {kind}".strip()
        if status == HTTPStatus.TOO_MANY_REQUESTS or "Throttl" in kind or "TooManyRequests" in kind or "LimitExceeded" in kind:
            return Throttled(detail)
        if status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
            if self._credentials is not None:
                self._credentials.forget()
            return Denied(detail)
        if status in {HTTPStatus.BAD_REQUEST, HTTPStatus.REQUEST_ENTITY_TOO_LARGE, HTTPStatus.UNPROCESSABLE_ENTITY}:
            return Refused(detail)
        return Away(detail)


def batches(found: Sequence[Outgoing]) -> list[list[Outgoing]]:
    """Return messages of one channel as requests carry them, in order; one that is too large is alone."""
    made: list[list[Outgoing]] = []
    size = 0
    for one in found:
        if not made or len(made[-1]) == BATCH_EVENTS or size + one.size_bytes > BATCH_BYTES:
            made.append([])
            size = 0
        made[-1].append(one)
        size += one.size_bytes
    return made


def _parsed(body: bytes) -> object:
    try:
        return orjson.loads(body)
    except ValueError:
        return None


def _failed(answer: object) -> set[int]:
    """Return which events of a request were not taken, by their places in it.

    Raises:
        Away: this is no answer of the service, but for instance of a proxy.
    """
    match answer:
        case {"failed": list(failed)}:
            return {index for item in failed if (index := _index_of(item)) is not None}
        case {"successful": list()}:
            return set()
        case _:
            raise Away("an answer that cannot be read")


def _index_of(item: Any) -> int | None:
    match item:
        case {"index": int(index)}:
            return index
        case _:
            return None


def _error_type(answer: object) -> str:
    """Return the stable name of an error; its message may show what was sent, and is left alone."""
    match answer:
        case {"errors": [{"errorType": str(kind)}, *_]} | {"__type": str(kind)} | {"errorType": str(kind)}:
            return kind.rpartition("#")[2][:80]
        case _:
            return ""
