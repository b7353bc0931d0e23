"""The faults of one stream: lets them happen when their time comes, or when somebody asks for one."""

import asyncio
from collections.abc import Sequence
from enum import Enum
from math import isinf

import orjson

from nova_sonic_local.clock import Alarm, Clock
from nova_sonic_local.emission import Emitter
from nova_sonic_local.ending import Cut
from nova_sonic_local.exchange import Exchange
from nova_sonic_local.faults import Fault, FaultPlan, parse_faults
from nova_sonic_local.manner import Manner, behave
from nova_sonic_local.refusals import Refusal, Refused
from nova_sonic_local.schedule import Schedule
from nova_sonic_local.wreckage import GARBAGE, corrupt_message, huge_event, strange_event, strange_type

EARLY_HINTS = 103


class Withheld(Enum):
    """What a fault keeps from the client."""

    NOTHING = "nothing"
    HEAD = "head"
    EVERYTHING = "everything"


class Mishaps:
    """What goes wrong on a stream.

    A fault that ends the stream is raised by `check`, in the task that reads, and by `fate`, whichever is first; from that moment on
    nothing more is said.

    Args:
        exchange: the request and its response.
        clock: the emulator's time.
        scale: multiplies times.
        seed: of random faults.
        manner: how the assistant behaves without faults.
    """

    def __init__(self, exchange: Exchange, clock: Clock, scale: float, seed: str, manner: Manner) -> None:
        self.withheld = Withheld.NOTHING
        self._exchange = exchange
        self._clock = clock
        self._scale = scale
        self._schedule = Schedule(clock.now(), scale, seed)
        self._manner = manner
        self._emitter: Emitter | None = None
        self._alarm: Alarm | None = None
        self._doom: asyncio.Future[Exception] = asyncio.get_running_loop().create_future()

    def begin(self, plans: Sequence[FaultPlan]) -> None:
        """Plan the faults of a stream that begins, and let those happen that come before any event."""
        self._schedule.plan(plans)
        self._let_happen(self._schedule.take_input(""))

    def inject(self, text: str) -> None:
        """Let faults happen: now, or at moments that count from now.

        Raises:
            ValueError: there is no such fault, argument or moment.
        """
        self._let_happen(self._schedule.inject(parse_faults(text), self._clock.now()))

    def use(self, emitter: Emitter) -> None:
        """Let the writer of events behave as the faults want it."""
        self._emitter = emitter
        emitter.manner = self._manner

    def took(self, name: str) -> None:
        """Take note of an event from the client."""
        self._let_happen(self._schedule.take_input(name))

    def said(self, event: bytes, *, is_audio: bool) -> None:
        """Take note of an event to the client, given as JSON."""
        if self._schedule.is_counting:
            self.wrote("audioOutput" if is_audio else next(iter(orjson.loads(event)["event"])))

    def wrote(self, name: str) -> None:
        """Take note of something to the client that has this name."""
        self._let_happen(self._schedule.take_output(name))

    def check(self) -> None:
        """Raise what ends the stream, if something does."""
        if self._doom.done():
            raise self._doom.result()

    async def fate(self) -> None:
        """Wait for what ends the stream, and raise it."""
        raise await self._doom

    def close(self) -> None:
        """Let nothing more happen."""
        if self._alarm is not None:
            self._alarm.cancel()
        self._doom.cancel()

    def _let_happen(self, plans: Sequence[FaultPlan]) -> None:
        for plan in plans:
            self._happen(plan)
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        when = self._schedule.next_time()
        if when is not None and not self._doom.done():
            self._alarm = self._clock.call_at(when, self._on_time)

    def _on_time(self) -> None:
        self._let_happen(self._schedule.take_due(self._clock.now()))

    def _happen(self, plan: FaultPlan) -> None:
        exchange = self._exchange
        match plan.fault:
            case Fault.NO_200:
                self.withheld = Withheld.HEAD
            case Fault.STALL if isinf(plan.number):
                self.withheld = Withheld.EVERYTHING
            case Fault.STALL | Fault.LATE_HEAD:
                exchange.hold()
                self._clock.call_at(self._clock.now() + plan.number * self._scale, exchange.release)
            case Fault.INFORMATIONAL:
                exchange.send_informational(EARLY_HINTS)
            case Fault.SLOW_READER:
                exchange.stop_reading()
            case Fault.HALF_OPEN:
                exchange.connection.freeze()
            case Fault.GOAWAY if plan.word == "drain":
                exchange.connection.drain()
            case Fault.EXCEPTION:
                self._end(Refused(plan.refusal))
            case Fault.CONTENT_FILTER:
                self._end(Refused(Refusal.CONTENT_FILTER))
            case _:
                self._say_or_end(plan)

    def _say_or_end(self, plan: FaultPlan) -> None:
        message = _message(plan)
        manner = behave(self._manner, plan)
        if message:
            self._exchange.write(message)
        elif manner is not None:
            self._manner = manner
            if self._emitter is not None:
                self._emitter.manner = manner
        else:
            self._end(Cut(plan))

    def _end(self, error: Exception) -> None:
        if not self._doom.done():
            self.withheld = Withheld.EVERYTHING
            self._doom.set_result(error)


def _message(plan: FaultPlan) -> bytes:
    match plan.fault:
        case Fault.CORRUPT_FRAME:
            return corrupt_message()
        case Fault.GARBAGE:
            return GARBAGE
        case Fault.UNKNOWN_EVENT:
            return strange_type() if plan.word == "type" else strange_event()
        case Fault.HUGE_EVENT:
            return huge_event(plan.number)
        case _:
            return b""
