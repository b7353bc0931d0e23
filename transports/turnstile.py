"""How many are inside, and how fast they come: of one address, and of all.

What is known of addresses is bounded: those who are inside by their own limit, how fast they came by the number of addresses remembered.
"""

import math
from collections import Counter, OrderedDict
from dataclasses import dataclass
from typing import Final

from session.errors import AdmissionError, ServerBusy, TooMany
from session.interfaces import Clock
from telemetry.counters import Counters
from transports.flow import TokenBucket

BURST_SECONDS: Final = 5.0
"""So many seconds' worth may come at once: after a deployment all clients of a process come back in one moment."""
REMEMBERED_ADDRESSES: Final = 10_000
"""Of those that came last; 2 MB."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Capacity:
    """How many may be inside, and how many may come in a second; 0 is no limit."""

    inside: int = 0
    inside_per_address: int = 0
    per_second: int = 0
    """After a burst of BURST_SECONDS."""
    per_second_per_address: int = 0
    """The same."""


class Turnstile:
    """Counts who comes and goes.

    Args:
        name: of what is counted as `<name>_refused.*`.
        capacity: how many.
        counters: gets what is refused.
        clock: monotonic seconds.
    """

    def __init__(self, name: str, capacity: Capacity, counters: Counters, clock: Clock) -> None:
        self._name = name
        self._capacity = capacity
        self._counters = counters
        self._clock = clock
        self._inside: Counter[str] = Counter()
        self._knocks: OrderedDict[str, TokenBucket] = OrderedDict()
        self._all_knocks = TokenBucket(capacity.per_second, capacity.per_second * BURST_SECONDS, clock.now())
        self.inside = 0
        """How many there are now."""

    @property
    def remembered(self) -> int:
        """How many addresses are known by how fast they come."""
        return len(self._knocks)

    def knock(self, address: str) -> None:
        """See that one more of an address may come in.

        Raises:
            TooMany: not of this address, or too many come at once.
            ServerBusy: there are as many as there may be.
        """
        capacity, now = self._capacity, self._clock.now()
        if 0 < capacity.inside_per_address <= self._inside[address]:
            raise self._refusal("address_connections", TooMany("There are too many connections from your network."))
        if 0 < capacity.inside <= self.inside:
            raise self._refusal("connections", ServerBusy())
        if capacity.per_second_per_address and (wait := self._bucket(address, now).ask(1.0, now)):
            raise self._refusal("address_rate", TooMany(retry_after=math.ceil(wait)))
        if capacity.per_second and (wait := self._all_knocks.ask(1.0, now)):
            raise self._refusal("rate", TooMany("Too many clients connect at once. Please try again in a moment.", math.ceil(wait)))

    def enter(self, address: str) -> None:
        """Count one more of an address."""
        self._inside[address] += 1
        self.inside += 1

    def leave(self, address: str) -> None:
        """Count one less."""
        self.inside -= 1
        self._inside[address] -= 1
        if self._inside[address] <= 0:
            del self._inside[address]

    def _bucket(self, address: str, now: float) -> TokenBucket:
        rate = self._capacity.per_second_per_address
        bucket = self._knocks.pop(address, None) or TokenBucket(rate, rate * BURST_SECONDS, now)
        self._knocks[address] = bucket
        if len(self._knocks) > REMEMBERED_ADDRESSES:
            self._knocks.popitem(last=False)
        return bucket

    def _refusal(self, reason: str, error: AdmissionError) -> AdmissionError:
        self._counters.add(f"{self._name}_refused.{reason}")
        return error
