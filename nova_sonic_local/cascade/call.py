"""One request to a service of a cascade: reads its body, writes its answer, and lets the faults happen that were planned for it."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import orjson

from nova_sonic_local.admission import check_body
from nova_sonic_local.cascade.failures import Failures, ServiceError
from nova_sonic_local.casting import Cast
from nova_sonic_local.exchange import Exchange
from nova_sonic_local.framing import encode_header, encode_with, text_header
from nova_sonic_local.ids import Ids
from nova_sonic_local.mishaps import Mishaps, Withheld
from nova_sonic_local.stream import House

BODY_SECONDS: Final = 30.0
"""Longest time in which the body of a request has to come."""
AHEAD_BYTES: Final = 64 * 1024
"""An answer waits while this much of it is not sent yet."""
STREAM_TYPE: Final = "application/vnd.amazon.eventstream"


@dataclass(slots=True)
class Call:
    """A request under way."""

    exchange: Exchange
    request_id: str
    ids: Ids
    house: House
    cast: Cast
    """Whose words they are: the brain of Converse, the phrases of Transcribe."""
    mishaps: Mishaps
    failures: Failures
    is_stream: bool = False
    """Whether the answer is a stream of events, which can say what went wrong."""

    def refuse(self, message: str) -> ServiceError:
        """Return the error of a request that is wrong."""
        return ServiceError(400, self.failures.invalid, message)

    async def read_body(self, most_bytes: int) -> bytes:
        """Return the body, after the check of its signature.

        Raises:
            ServiceError: it is too large, or does not come.
            SignatureError: the signature is missing or wrong.
            StreamLost: the client is gone.
        """
        body = bytearray()
        try:
            async with asyncio.timeout(BODY_SECONDS):
                while (data := await self.exchange.read()) is not None:
                    body += data
                    if len(body) > most_bytes:
                        raise ServiceError(413, "RequestEntityTooLargeException", f"The body may have {most_bytes} bytes.")
        except TimeoutError as error:
            raise ServiceError(408, "RequestTimeoutException", f"The body did not come within {BODY_SECONDS:g} seconds.") from error
        check_body(self.house.options, self.exchange.headers, bytes(body))
        self.took("request")
        return bytes(body)

    def took(self, name: str) -> None:
        """Take note of what came from the client, and let happen what was planned for this moment."""
        self.mishaps.took(name)
        self.mishaps.check()

    def open(self, content_type: str, headers: Sequence[tuple[str, str]] = ()) -> None:
        """Send the head of the answer."""
        if self.mishaps.withheld is Withheld.NOTHING:
            self.exchange.send_head(200, [("content-type", content_type), ("x-amzn-requestid", self.request_id), *headers])

    async def write(self, data: bytes, name: str) -> None:
        """Write a piece of the answer, and wait while the client does not take what was written before.

        Raises:
            StreamLost: the client is gone.
        """
        if self.mishaps.withheld is Withheld.NOTHING:
            self.exchange.write(data)
            self.mishaps.wrote(name)
            self.mishaps.check()
            await self.exchange.room(AHEAD_BYTES)

    async def send_json(self, value: object) -> None:
        """Answer with JSON."""
        body = orjson.dumps(value)
        self.open("application/json", [("content-length", str(len(body)))])
        await self.write(body, "answer")

    async def send_event(self, kind: str, value: object) -> None:
        """Write one event of a stream, which begins with the first."""
        self.open(STREAM_TYPE)
        names = ((":event-type", kind), (":content-type", "application/json"), (":message-type", "event"))
        headers = b"".join(encode_header(text_header(name, text)) for name, text in names)
        await self.write(encode_with(headers, orjson.dumps(value)), kind)
