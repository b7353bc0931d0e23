"""Finds out which HTTP a client speaks, and hands its connection over.

SDKs with streams in both directions speak HTTP/2: by ALPN over TLS, at once without TLS. Everything else, boto3 for one, speaks HTTP/1.1.
"""

import asyncio
import re
from collections.abc import Callable
from typing import Final, cast

_REQUEST: Final = re.compile(rb"(?!PRI )[A-Z]{3,16} /")
"""How a request of HTTP/1.1 begins; HTTP/2 begins with a method that nobody uses (RFC 9113 3.4)."""
_BEGINNING: Final = re.compile(rb"(?!PRI )[A-Z]{1,16} ?")
"""What may still become one."""


class FrontProtocol(asyncio.Protocol):
    """A connection of which it is not known yet how it goes on.

    Args:
        second: makes the protocol of HTTP/2.
        first: makes the protocol of HTTP/1.1.
        opened: called when the connection is made, and `closed` when it is known how it goes on, or it is gone.
        closed: see `opened`.
    """

    def __init__(
        self,
        second: Callable[[asyncio.Transport], asyncio.Protocol],
        first: Callable[[asyncio.Transport], asyncio.Protocol],
        opened: Callable[["FrontProtocol"], None],
        closed: Callable[["FrontProtocol"], None],
    ) -> None:
        self._second = second
        self._first = first
        self._opened = opened
        self._closed = closed
        self._transport: asyncio.Transport | None = None
        self._seen = b""
        self.gone = asyncio.Event()
        """Set when somebody else has the connection, or nobody."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the connection, and give it away at once if TLS told how it goes on."""
        self._transport = cast("asyncio.Transport", transport)  # asyncio's contract for stream protocols; uvloop's class is no subclass
        self._opened(self)
        tls = transport.get_extra_info("ssl_object")
        if tls is not None:
            self._become(self._second if tls.selected_alpn_protocol() == "h2" else self._first)

    def data_received(self, data: bytes) -> None:
        """Look at the first bytes."""
        self._seen += data
        if _REQUEST.match(self._seen):
            self._become(self._first)
        elif not _BEGINNING.fullmatch(self._seen):
            self._become(self._second)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 -- asyncio's signature
        """Take note that the client has gone."""
        self._transport = None
        self._leave()

    def go_away(self) -> None:
        """Close: there is nothing to say to a client that said nothing."""
        self.abort()

    def abort(self) -> None:
        """Drop the connection."""
        if self._transport is not None:
            self._transport.abort()

    def _become(self, make: Callable[[asyncio.Transport], asyncio.Protocol]) -> None:
        transport, self._transport = self._transport, None
        if transport is None:
            return
        protocol = make(transport)
        transport.set_protocol(protocol)
        protocol.connection_made(transport)
        self._leave()
        if self._seen and not transport.is_closing():
            protocol.data_received(self._seen)

    def _leave(self) -> None:
        self._closed(self)
        self.gone.set()
