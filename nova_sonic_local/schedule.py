"""When the faults of one stream come. Pure: `now` is the emulator's time in seconds."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from random import Random

from nova_sonic_local.faults import FAULTS, Fault, FaultPlan, Moment, Unit

RANDOM_INPUTS = 1_900
"""Events from the client, a minute of them, among which a random moment lies."""
RANDOM_OUTPUTS = 200
_INPUT, _OUTPUT = "<", ">"
"""Counted like names of events, which never look like this."""


@dataclass(frozen=True, slots=True)
class _Waiting:
    plan: FaultPlan
    counter: str
    at: float


class Schedule:
    """The faults that are still to come.

    Args:
        now: when the stream was opened.
        scale: multiplies times.
        seed: of random choices.
    """

    def __init__(self, now: float, scale: float, seed: str) -> None:
        self._opened = now
        self._scale = scale
        self._random = Random(seed)  # noqa: S311 -- faults, no secrets
        self._counts: Counter[str] = Counter()
        self._waiting: list[_Waiting] = []
        self._timed: list[tuple[float, FaultPlan]] = []

    @property
    def is_counting(self) -> bool:
        """Whether a fault waits for an event."""
        return bool(self._waiting)

    def plan(self, plans: Sequence[FaultPlan]) -> None:
        """Plan faults for a stream that begins; moments count from its begin."""
        for plan in plans:
            self._add(plan, plan.moment or FAULTS[plan.fault].usual, self._opened)

    def inject(self, plans: Sequence[FaultPlan], now: float) -> list[FaultPlan]:
        """Plan faults with moments that count from now, and return those that are to come at once: the ones without a moment."""
        at_once = []
        for plan in plans:
            if plan.fault is Fault.RANDOM or (plan.moment is not None and plan.moment.count > 0):
                self._add(plan, plan.moment or FAULTS[plan.fault].usual, now)
            else:
                at_once.append(plan)
        return at_once

    def take_input(self, name: str) -> list[FaultPlan]:
        """Count an event from the client and return the faults that come after it; no name is the moment before the first."""
        return self._count(_INPUT, name) if self._waiting else []

    def take_output(self, name: str) -> list[FaultPlan]:
        """Count an event to the client and return the faults that come after it."""
        return self._count(_OUTPUT, name) if self._waiting else []

    def take_due(self, now: float) -> list[FaultPlan]:
        """Return the faults whose time has come."""
        due = [plan for when, plan in self._timed if when <= now]
        self._timed = [(when, plan) for when, plan in self._timed if when > now]
        return due

    def next_time(self) -> float | None:
        """Return when the next fault comes that waits for a time."""
        return min((when for when, _plan in self._timed), default=None)

    def _add(self, plan: FaultPlan, moment: Moment, start: float) -> None:
        if plan.fault is Fault.RANDOM:
            is_given = plan.moment is not None
            chosen = self._choose(plan)
            if chosen is None:
                return
            plan, moment = chosen, moment if is_given else self._some_moment(chosen)
        if moment.unit is Unit.SECONDS:
            self._timed.append((start + moment.count * self._scale, plan))
            return
        counter = {Unit.INPUT: _INPUT, Unit.OUTPUT: _OUTPUT}.get(moment.unit, moment.name)
        self._waiting.append(_Waiting(plan, counter, self._counts[counter] + moment.count))

    def _count(self, direction: str, name: str) -> list[FaultPlan]:
        if name:
            self._counts[direction] += 1
            self._counts[name] += 1
        due = [waiting for waiting in self._waiting if waiting.counter in (direction, name) and self._counts[waiting.counter] >= waiting.at]
        if due:
            self._waiting = [waiting for waiting in self._waiting if waiting not in due]
        return [waiting.plan for waiting in due]

    def _choose(self, plan: FaultPlan) -> FaultPlan | None:
        if self._random.random() >= plan.number:
            return None
        fault = self._random.choice([fault for fault, row in FAULTS.items() if row.is_fatal])
        return replace(plan, fault=fault, moment=None, word=FAULTS[fault].default)

    def _some_moment(self, plan: FaultPlan) -> Moment:
        if FAULTS[plan.fault].usual.count == 0:
            return FAULTS[plan.fault].usual
        if self._random.random() < 0.5:  # noqa: PLR2004 -- a coin
            return Moment(Unit.INPUT, self._random.randint(1, RANDOM_INPUTS))
        return Moment(Unit.OUTPUT, self._random.randint(1, RANDOM_OUTPUTS))
