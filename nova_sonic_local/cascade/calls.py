"""Which requests belong to a service of a cascade, and by whom each is served."""

import asyncio
import logging
import re
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Final

from h2.errors import ErrorCodes

from nova_sonic_local.cascade.call import Call
from nova_sonic_local.cascade.converse import serve_converse
from nova_sonic_local.cascade.endings import end_call
from nova_sonic_local.cascade.failures import BEDROCK, POLLY, TRANSCRIBE, Failures, ServiceError
from nova_sonic_local.cascade.polly import serve_polly
from nova_sonic_local.cascade.transcribe import serve_transcribe
from nova_sonic_local.casting import HEADER as BRAIN_HEADER
from nova_sonic_local.casting import Cast, Casting, CastingError
from nova_sonic_local.ending import Cut
from nova_sonic_local.exchange import Exchange, StreamLost
from nova_sonic_local.faults import HEADER as FAULT_HEADER
from nova_sonic_local.faults import FaultPlan, parse_faults
from nova_sonic_local.ids import Ids
from nova_sonic_local.journal import Journal
from nova_sonic_local.mishaps import Mishaps, Withheld
from nova_sonic_local.refusals import Refused
from nova_sonic_local.signing import SignatureError
from nova_sonic_local.stream import House
from nova_sonic_local.upcoming import Operation, Upcoming

_log = logging.getLogger(__name__)

MOST_AT_ONCE: Final = 50
"""Requests of one operation at the same time; one more is throttled."""
DRAIN_SECONDS: Final = 30.0
"""A client that has not taken its answer by then is given up."""
_TOO_MANY = "Too many requests, please wait before trying again."


@dataclass(frozen=True, slots=True)
class Route:
    """Who serves a path."""

    operation: Operation
    path: re.Pattern[str]
    serve: Callable[[Call, re.Match[str]], Awaitable[None]]
    failures: Failures
    seconds: float
    """Longest time of one request."""


ROUTES: Final = (
    Route(Operation.CONVERSE, re.compile(r"/model/(?P<model>.+)/converse(?P<stream>-stream)?/?"), serve_converse, BEDROCK, 300.0),
    Route(Operation.POLLY, re.compile(r"/v1/speech/?"), serve_polly, POLLY, 60.0),
    Route(Operation.TRANSCRIBE, re.compile(r"/stream-transcription/?"), serve_transcribe, TRANSCRIBE, 4 * 3_600.0),
)


def find_route(headers: Mapping[str, str]) -> tuple[Route, re.Match[str]] | None:
    """Return who serves a request, None when it belongs to no service of a cascade."""
    path = headers.get(":path", "").partition("?")[0]
    return next(((route, match) for route in ROUTES if (match := route.path.fullmatch(path))), None)


class Calls:
    """Serves the requests of all connections, each in a task of its own.

    Args:
        house: what they are answered with.
        casting: who answers them.
        upcoming: what was planned for the next ones.
        journal: where they are counted.
    """

    def __init__(self, house: House, casting: Casting, upcoming: Upcoming, journal: Journal) -> None:
        self._house = house
        self._casting = casting
        self._upcoming = upcoming
        self._journal = journal
        self._number = 0
        self._running: Counter[Operation] = Counter()
        self._exchanges: set[Exchange] = set()

    def reset(self) -> None:
        """End all requests with RST_STREAM(CANCEL)."""
        for exchange in list(self._exchanges):
            exchange.reset(ErrorCodes.CANCEL)

    async def serve(self, exchange: Exchange, route: Route, match: re.Match[str]) -> None:
        """Serve a request to its end."""
        self._number += 1
        ids = Ids(self._house.options.seed, -self._number)  # no stream has such a number
        options, request_id = self._house.options, ids.new()
        mishaps = Mishaps(exchange, self._house.clock, options.time_scale, request_id, options.manner)
        call = Call(exchange, request_id, ids, self._house, Cast("", None), mishaps, route.failures)
        self._running[route.operation] += 1
        self._exchanges.add(exchange)
        try:
            ending = await self._run(call, route, match)
            self._journal.call(route.operation.value, _name(ending))
            end_call(call, ending)
            await exchange.drained(DRAIN_SECONDS)
        except Exception:  # noqa: BLE001 -- the root of a request's task: a fault of ours must not end the others
            _log.exception("the emulator failed")
            self._journal.call(route.operation.value, route.failures.internal)
            end_call(call, ServiceError(500, route.failures.internal, "The emulator failed; its log says how."))
        finally:
            mishaps.close()
            self._exchanges.discard(exchange)
            self._running[route.operation] -= 1

    async def _run(self, call: Call, route: Route, match: re.Match[str]) -> BaseException | None:
        """Return how the request ended: None is in good order."""
        ending: BaseException | None = None
        try:
            async with asyncio.TaskGroup() as tasks:
                fate = tasks.create_task(call.mishaps.fate())
                async with asyncio.timeout(route.seconds):
                    await self._answer(call, route, match)
                fate.cancel()
        except* (ServiceError, Refused, SignatureError, StreamLost, Cut) as group:
            ending = _first(group)
        except* TimeoutError:
            ending = ServiceError(408 if route.failures is BEDROCK else 500, _timeout(route.failures), "The request took too long.")
        return ending

    async def _answer(self, call: Call, route: Route, match: re.Match[str]) -> None:
        headers = call.exchange.headers
        if headers.get(":method") != "POST":
            raise ServiceError(405, "UnknownOperationException", "This operation takes POST.")
        faults, call.cast = await self._plan(headers, route)
        call.mishaps.begin(faults)
        call.mishaps.check()
        if self._running[route.operation] > MOST_AT_ONCE:
            raise ServiceError(429, route.failures.throttled, _TOO_MANY)
        await route.serve(call, match)
        if call.mishaps.withheld is not Withheld.NOTHING:
            await call.exchange.lost()  # a client that is told nothing goes when its patience ends

    async def _plan(self, headers: Mapping[str, str], route: Route) -> tuple[tuple[FaultPlan, ...], Cast]:
        """Return what the request gets: its own headers come first, then what was planned for the next ones."""
        following = self._upcoming.take(route.operation)
        try:
            faults = parse_faults(headers.get(FAULT_HEADER) or following.fault)
        except ValueError as error:
            raise ServiceError(400, route.failures.invalid, f"{FAULT_HEADER}: {error}") from error
        try:
            return faults, await self._casting.cast(headers.get(BRAIN_HEADER) or following.brain)
        except CastingError as error:
            raise ServiceError(400, route.failures.invalid, f"{BRAIN_HEADER}: {error}") from error


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """Return what went wrong first; groups may hold groups, because a request may have tasks of its own."""
    error = group.exceptions[0]
    return _first(error) if isinstance(error, BaseExceptionGroup) else error


def _timeout(failures: Failures) -> str:
    return "ModelTimeoutException" if failures is BEDROCK else failures.internal


def _name(ending: BaseException | None) -> str:
    """Return how a request ended, for the counters."""
    match ending:
        case None:
            return "completed"
        case ServiceError():
            return ending.kind
        case SignatureError():
            return ending.code
        case Refused():
            return ending.member.value
        case Cut():
            return ending.fault.value
        case _:
            return "client_gone"
