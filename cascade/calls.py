"""Signed requests to one service of AWS, over our own HTTP/2."""

import asyncio
import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Final

import orjson
from smithy_aws_core.identity import AWSCredentialsIdentity

from cascade.faults import service_error, transport_error
from publishing.signing import signed_headers
from s2s import failures
from s2s.bedrock.credentials import Credentials
from s2s.bedrock.event_stream import InputEncoder
from s2s.bedrock.interfaces import CannotConnect, Exchange, Exchanges, Headers, StreamRefused
from s2s.errors import ModelError

EVENTS: Final = "STREAMING-AWS4-HMAC-SHA256-EVENTS"
"""Stands for the hash of a body that is a stream of signed events (AWS Signature Version 4)."""
ERROR_BYTES: Final = 64 * 1024
PING_SECONDS: Final = 15.0
"""How long an answer of `reach` holds."""


@dataclass(frozen=True, slots=True)
class Service:
    """A service in a region."""

    name: str
    """For the log."""
    signing_name: str
    region: str
    endpoint: str
    """https or http URI."""


@dataclass(slots=True)
class Call:
    """A request whose response has begun."""

    exchange: Exchange
    encoder: InputEncoder
    """Signs what is sent on it."""
    signed_until: datetime | None


class Calls:
    """Makes requests to one service. Belongs to one event loop.

    Args:
        service: which.
        exchanges: carry the requests; the caller's to close.
        credentials: whom to sign as.
        opening_seconds: from nothing to the head of a response.
    """

    def __init__(self, service: Service, exchanges: Exchanges, credentials: Credentials, opening_seconds: float) -> None:
        self.service = service
        self._exchanges = exchanges
        self._credentials = credentials
        self._opening_seconds = opening_seconds
        self._reached_until = 0.0
        self._one_at_a_time = asyncio.Lock()

    async def open(self, path: str, headers: Mapping[str, str], body: bytes | None = None) -> Call:
        """Send a POST request; return when the service has accepted it.

        Args:
            path: as on the wire.
            headers: to be sent and signed, by names in small letters.
            body: None for events that are written later.

        Raises:
            ModelError: it was refused, cannot be reached, or does not answer in time.
        """
        name = self.service.name
        try:
            async with asyncio.timeout(self._opening_seconds):
                identity = await self._credentials.identity()
                try:
                    return await self._open(path, headers, body, identity)
                except StreamRefused:  # the connection was about to go; another will do
                    return await self._open(path, headers, body, identity)
        except ModelError as error:
            if error.code == failures.CREDENTIALS.code:
                self._credentials.forget()
            raise
        except TimeoutError:
            raise failures.OPENING_TIMEOUT.error(f"{name}: no answer within {self._opening_seconds:g} s") from None
        except StreamRefused as error:
            raise failures.UNREACHABLE.error(f"{name}: {error}") from error
        except OSError as error:
            raise transport_error(name, error) from error

    async def reach(self) -> None:
        """Make sure that there are credentials, and a connection.

        Raises:
            ModelError: there are none.
        """
        async with self._one_at_a_time:
            if time.monotonic() < self._reached_until:
                return
            await self._credentials.identity()
            try:
                await self._exchanges.reach()
            except CannotConnect as error:
                raise transport_error(self.service.name, error) from error
            self._reached_until = time.monotonic() + PING_SECONDS

    async def _open(self, path: str, headers: Mapping[str, str], body: bytes | None, identity: AWSCredentialsIdentity) -> Call:
        service = self.service
        signed = signed_headers(
            identity,
            url=service.endpoint.rstrip("/") + path,
            headers={**headers, "x-amz-content-sha256": EVENTS} if body is None else headers,
            body=b"" if body is None else body,
            body_hash=EVENTS if body is None else None,
            region=service.region,
            service=service.signing_name,
            now=datetime.now(UTC),
        )
        exchange = await self._exchanges.open("POST", path, list(signed.items()))
        try:
            if body is not None:
                exchange.write(body)
                exchange.end_input()
            await self._accepted(exchange)
        except BaseException:
            await exchange.close()
            raise
        seed = signed["authorization"].rpartition("Signature=")[2]
        encoder = InputEncoder(identity.secret_access_key, service.region, service.signing_name, seed)
        return Call(exchange, encoder, identity.expiration)

    async def _accepted(self, exchange: Exchange) -> None:
        status, headers = await exchange.head()
        if status != HTTPStatus.OK:
            raise await self._refusal(exchange, status, headers)

    async def _refusal(self, exchange: Exchange, status: int, headers: Headers) -> ModelError:
        body = bytearray()
        with suppress(OSError):  # then the status alone says why
            while len(body) < ERROR_BYTES and (piece := await exchange.read()) is not None:
                body += piece
        found = _error_of(bytes(body))
        name = dict(headers).get("x-amzn-errortype", "") or found[0]
        return service_error(self.service.name, name.partition(":")[0].rpartition("#")[2], found[1], status)


async def pieces(call: Call, service: str, *, first_seconds: float, next_seconds: float) -> AsyncGenerator[bytes]:
    """Yield the body of a response as it comes; the exchange is closed at the end, and when the generator is.

    Args:
        call: accepted.
        service: for messages.
        first_seconds: how long the first piece may take.
        next_seconds: how long each of the others may.

    Raises:
        ModelError: it broke, or stalled.
    """
    seconds = first_seconds
    try:
        while True:
            async with asyncio.timeout(seconds):
                data = await call.exchange.read()
            if data is None:
                return
            yield data
            seconds = next_seconds
    except TimeoutError:
        raise failures.STALLED.error(f"{service}: nothing came for {seconds:g} s") from None
    except OSError as error:
        raise transport_error(service, error) from error
    finally:
        await call.exchange.close()


def _error_of(body: bytes) -> tuple[str, str]:
    """Return name and text of an error out of its JSON."""
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        return "", ""
    if not isinstance(document, dict):
        return "", ""
    name, text = document.get("__type") or document.get("code"), document.get("message") or document.get("Message")
    return name if isinstance(name, str) else "", text if isinstance(text, str) else ""
