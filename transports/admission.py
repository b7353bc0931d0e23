"""Whether one more client may connect now: how many there are, and how fast they come, of one address and of all.

This is asked before anything that costs more, the token of a client included. WebSockets, plain requests and connections that have not said
what they want are counted each for themselves: a client that has no WebSocket left can still be told why, and many requests of a page
take no place from a conversation.
"""

from collections.abc import Sequence
from http import HTTPStatus

import structlog
from websockets.asyncio.server import ServerConnection
from websockets.http11 import Request, Response

from session.errors import AdmissionError
from session.interfaces import Clock
from telemetry.counters import Counters
from transports.addresses import client_address, counted_as
from transports.limits import Limits
from transports.refusals import refuse
from transports.turnstile import Capacity, Turnstile

log = structlog.get_logger()


class Admission:
    """Counts connections and handshakes.

    Args:
        limits: of all.
        counters: gets `handshake_refused.*`, `plain_refused.*` and `first_request_refused.*`.
        clock: monotonic seconds.
    """

    def __init__(self, limits: Limits, counters: Counters, clock: Clock) -> None:
        self._hops = limits.proxy_hops
        self._is_header_unused = False
        of_address = limits.connections_per_address
        handshakes = Capacity(
            inside=limits.connections,
            inside_per_address=of_address,
            per_second=limits.handshakes_per_second,
            per_second_per_address=limits.handshakes_per_second_per_address,
        )
        requests = Capacity(
            inside=limits.plain_connections, inside_per_address=of_address, per_second_per_address=limits.plain_per_second_per_address
        )
        at_the_door = Capacity(inside_per_address=0 if self._hops else of_address)  # of a proxy are all clients that it serves
        self.websockets = Turnstile("handshake", handshakes, counters, clock)
        self.plain = Turnstile("plain", requests, counters, clock)
        self.door = Turnstile("first_request", at_the_door, counters, clock)
        """Of connections by their other end, whoever stands behind it."""

    def client_of(self, peer: str, forwarded: Sequence[str]) -> str:
        """Return the address that a client counts as.

        Args:
            peer: the address of the connection's other end.
            forwarded: all X-Forwarded-For headers, in their order.
        """
        return counted_as(client_address(peer, forwarded, self._hops))

    def address_of(self, connection: ServerConnection, request: Request) -> str:
        """Return the address of a client."""
        peer = connection.remote_address
        forwarded = request.headers.get_all("X-Forwarded-For")
        if forwarded and not self._hops and not self._is_header_unused:
            self._is_header_unused = True
            log.warning(
                "address.of_proxy", reason="X-Forwarded-For is not believed: all clients of a proxy count as one; TRUSTED_PROXY_HOPS"
            )
        return client_address(str(peer[0]) if peer else "", forwarded, self._hops)

    def admit(self, connection: ServerConnection, request: Request) -> Response | None:
        """Count a handshake, until its connection is gone; return its refusal, None when it may go on."""
        address = counted_as(self.address_of(connection, request))
        try:
            self.websockets.knock(address)
        except AdmissionError as error:
            status, wait = HTTPStatus(error.status), str(error.retry_after)
            return refuse(status, f"{error.code}: {error.text}", ("Retry-After", wait))
        self.websockets.enter(address)
        connection.connection_lost_waiter.add_done_callback(lambda _: self.websockets.leave(address))
        return None
