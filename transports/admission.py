"""Whether one more client may connect now: how many there are, and how fast they come, of one address and of all.

This is asked before anything that costs more, the token of a client included. What is known of addresses is bounded: open connections by
their own limit, and how fast an address knocked by the number of addresses that are remembered.
"""

import math
from collections import Counter, OrderedDict
from http import HTTPStatus
from typing import Final

import structlog
from websockets.asyncio.server import ServerConnection
from websockets.http11 import Request, Response

from session.errors import AdmissionError, ServerBusy, TooMany
from session.interfaces import Clock
from telemetry.counters import Counters
from transports.addresses import client_address, counted_as
from transports.flow import TokenBucket
from transports.limits import Limits
from transports.refusals import refuse

log = structlog.get_logger()

BURST_SECONDS: Final = 5.0
"""Handshakes of so many seconds may come at once: after a deployment all clients of a process come back in one moment."""
REMEMBERED_ADDRESSES: Final = 10_000
"""Of those that knocked last; 2 MB."""


class Admission:
    """Counts connections and handshakes.

    Args:
        limits: of all.
        counters: gets `handshake_refused.*`.
        clock: monotonic seconds.
    """

    def __init__(self, limits: Limits, counters: Counters, clock: Clock) -> None:
        self._limits = limits
        self._counters = counters
        self._clock = clock
        self._open: Counter[str] = Counter()
        self._count = 0
        self._knocks: OrderedDict[str, TokenBucket] = OrderedDict()
        self._all_knocks = TokenBucket(limits.handshakes_per_second, limits.handshakes_per_second * BURST_SECONDS, clock.now())
        self._is_header_unused = False

    @property
    def remembered(self) -> int:
        """How many addresses are known."""
        return len(self._knocks)

    @property
    def connections(self) -> int:
        """How many connections are open, with those that shake hands."""
        return self._count

    def address_of(self, connection: ServerConnection, request: Request) -> str:
        """Return the address of a client."""
        peer = connection.remote_address
        forwarded = request.headers.get_all("X-Forwarded-For")
        if forwarded and not self._limits.proxy_hops and not self._is_header_unused:
            self._is_header_unused = True
            log.warning(
                "address.of_proxy", reason="X-Forwarded-For is not believed: all clients of a proxy count as one; TRUSTED_PROXY_HOPS"
            )
        return client_address(str(peer[0]) if peer else "", forwarded, self._limits.proxy_hops)

    def admit(self, connection: ServerConnection, request: Request) -> Response | None:
        """Count a handshake, until its connection is gone; return its refusal, None when it may go on."""
        address = counted_as(self.address_of(connection, request))
        try:
            self.knock(address)
        except AdmissionError as error:
            status, wait = HTTPStatus(error.status), str(error.retry_after)
            return refuse(status, f"{error.code}: {error.text}", ("Retry-After", wait))
        self._open[address] += 1
        self._count += 1
        connection.connection_lost_waiter.add_done_callback(lambda _: self._leave(address))
        return None

    def knock(self, address: str) -> None:
        """See that one more client of an address may shake hands.

        Raises:
            TooMany: not of this address, or too many come at once.
            ServerBusy: there are as many connections as there may be.
        """
        limits, now = self._limits, self._clock.now()
        if 0 < limits.connections_per_address <= self._open[address]:
            raise self._refusal("address_connections", TooMany("There are too many connections from your network."))
        if 0 < limits.connections <= self.connections:
            raise self._refusal("connections", ServerBusy())
        if limits.handshakes_per_second_per_address and (wait := self._bucket(address, now).ask(1.0, now)):
            raise self._refusal("address_rate", TooMany(retry_after=math.ceil(wait)))
        if limits.handshakes_per_second and (wait := self._all_knocks.ask(1.0, now)):
            raise self._refusal("rate", TooMany("Too many clients connect at once. Please try again in a moment.", math.ceil(wait)))

    def _bucket(self, address: str, now: float) -> TokenBucket:
        rate = self._limits.handshakes_per_second_per_address
        bucket = self._knocks.pop(address, None) or TokenBucket(rate, rate * BURST_SECONDS, now)
        self._knocks[address] = bucket
        if len(self._knocks) > REMEMBERED_ADDRESSES:
            self._knocks.popitem(last=False)
        return bucket

    def _refusal(self, reason: str, error: AdmissionError) -> AdmissionError:
        self._counters.add(f"handshake_refused.{reason}")
        return error

    def _leave(self, address: str) -> None:
        self._count -= 1
        self._open[address] -= 1
        if self._open[address] <= 0:
            del self._open[address]
