"""The operation InvokeModelWithBidirectionalStream: which requests are taken, and by which stream they are served.

Those of the services that a cascade needs go to `cascade/calls.py`.
"""

import asyncio
import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final
from urllib.parse import unquote

from h2.errors import ErrorCodes

from nova_sonic_local.admission import open_envelope
from nova_sonic_local.cascade.calls import Calls, find_route
from nova_sonic_local.casting import HEADER as BRAIN_HEADER
from nova_sonic_local.casting import Cast, Casting, CastingError
from nova_sonic_local.ending import end_stream
from nova_sonic_local.exchange import Exchange
from nova_sonic_local.faults import HEADER as FAULT_HEADER
from nova_sonic_local.faults import FaultPlan, parse_faults
from nova_sonic_local.heads import VERSION
from nova_sonic_local.ids import Ids
from nova_sonic_local.journal import Card, Journal
from nova_sonic_local.models import Model, find_model
from nova_sonic_local.record import Recorder
from nova_sonic_local.refusals import HTTP_FORM, Refusal, Refused
from nova_sonic_local.responses import send_error
from nova_sonic_local.signing import SignatureError
from nova_sonic_local.stream import House, Request, Stream
from nova_sonic_local.upcoming import Upcoming

_log = logging.getLogger(__name__)

_PATH = re.compile(r"/model/(?P<model>.+)/invoke-with-bidirectional-stream/?")

TELLING_HEADERS: Final = ("user-agent", "x-amz-user-agent", "content-type", "amz-sdk-request", FAULT_HEADER, BRAIN_HEADER)
"""Headers that say something about the client; credentials, tokens and signatures are never written down."""
_LONGEST_HEADER = 1_000


class _HttpRefusal(Exception):
    """The request does not become a stream.

    Args:
        status: of HTTP.
        kind: the error's name in x-amzn-errortype.
        message: its text.
    """

    def __init__(self, status: int, kind: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.kind = kind
        self.message = message


@dataclass(slots=True)
class _Live:
    """A stream being served."""

    stream: Stream
    exchange: Exchange
    task: asyncio.Task[None] | None


class Service:
    """Serves the requests of all connections, each in a task of its own.

    Args:
        house: what streams are answered with.
        casting: who answers them.
        journal: where they are written down.
        recorder: who records them, if somebody does.
    """

    def __init__(self, house: House, casting: Casting, journal: Journal, recorder: Recorder | None = None) -> None:
        self.journal = journal
        self.upcoming = Upcoming()
        self.casting = casting
        self._house = house
        self._recorder = recorder
        self._tasks: set[asyncio.Task[None]] = set()
        self._live: dict[int, _Live] = {}
        self._streams = 0
        self._calls = Calls(house, casting, self.upcoming, journal)

    @property
    def live_streams(self) -> int:
        """Streams being served now."""
        return len(self._live)

    @property
    def is_busy(self) -> bool:
        """Whether any request, of whatever operation, is being served."""
        return bool(self._tasks)

    def find(self, number: int) -> Stream | None:
        """Return a stream that is being served."""
        live = self._live.get(number)
        return live.stream if live is not None else None

    def accept(self, exchange: Exchange) -> None:
        """Serve a request; returns at once."""
        call = find_route(exchange.headers)
        task = asyncio.get_running_loop().create_task(self._serve(exchange) if call is None else self._calls.serve(exchange, *call))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def idle(self) -> None:
        """Wait until no request is served."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def reset(self) -> None:
        """End all streams with RST_STREAM(CANCEL), and forget transcripts, counters and plans."""
        streams = list(self._live.values())
        await self._cancel({live.task for live in streams if live.task is not None})
        for live in streams:
            live.exchange.reset(ErrorCodes.CANCEL)
        self._calls.reset()
        self.upcoming.forget()
        self.journal.forget()

    async def close(self) -> None:
        """End all streams and wait for them."""
        await self._cancel(self._tasks)

    async def _cancel(self, tasks: set[asyncio.Task[None]]) -> None:
        waiting = list(tasks)
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)

    async def _serve(self, exchange: Exchange) -> None:
        self._streams += 1
        number = self._streams
        ids = Ids(self._house.options.seed, number)
        request_id = ids.new()
        request: Request | None = None
        try:
            request = await self._check(exchange, number, request_id, ids)
            stream = Stream(request, self._house)
            self._live[number] = _Live(stream, exchange, asyncio.current_task())
            await stream.run()
        except _HttpRefusal as refusal:
            self.journal.refuse(refusal.kind)
            send_error(exchange, request_id, refusal.status, refusal.kind, refusal.message)
        except Exception:  # noqa: BLE001 -- the root of a stream's task: a fault of ours must not end the others
            _log.exception("the emulator failed")
            if request is not None:
                request.log.end({"how": "failed"})
            end_stream(exchange, request_id, Refused(Refusal.INTERNAL_ERROR))
        finally:
            self._live.pop(number, None)
            if request is not None:
                request.log.end({"how": "stopped"})  # unless it ended by itself

    async def _check(self, exchange: Exchange, number: int, request_id: str, ids: Ids) -> Request:
        """Return the request when it can be served.

        Raises:
            _HttpRefusal: it cannot.
        """
        path = _PATH.fullmatch(exchange.headers.get(":path", "").partition("?")[0])
        if path is None:
            raise _HttpRefusal(404, "UnknownOperationException", "There is no such operation here.")
        if exchange.headers.get(":method") != "POST":
            raise _HttpRefusal(405, "UnknownOperationException", "This operation takes POST.")
        if VERSION in exchange.headers:
            raise _HttpRefusal(505, "HTTPVersionNotSupportedException", "Streams in both directions need HTTP/2.")
        try:
            envelope = open_envelope(self._house.options, exchange.headers)
        except SignatureError as error:
            raise _HttpRefusal(403, error.code, str(error)) from error
        faults, cast = await self._plan(exchange.headers)
        model_id = unquote(path["model"])
        model = self._find_model(model_id)
        card = Card(number, request_id, model_id, cast.name, datetime.now(UTC), _telling(exchange.headers))
        observers = (self._recorder.open(card),) if self._recorder is not None else ()
        return Request(exchange, request_id, model_id, model, faults, envelope, ids, cast, self.journal.open(card, observers))

    async def _plan(self, headers: Mapping[str, str]) -> tuple[tuple[FaultPlan, ...], Cast]:
        """Return what the stream gets: its own headers come first, then what was planned for the next streams, then the usual."""
        following = self.upcoming.take()
        usual = self._house.options.fault
        try:
            faults = parse_faults(headers.get(FAULT_HEADER) or following.fault or (usual if isinstance(usual, str) else usual()))
        except ValueError as error:
            raise _HttpRefusal(400, "ValidationException", f"{FAULT_HEADER}: {error}") from error
        try:
            return faults, await self.casting.cast(headers.get(BRAIN_HEADER) or following.brain)
        except CastingError as error:
            raise _HttpRefusal(400, "ValidationException", f"{BRAIN_HEADER}: {error}") from error

    def _find_model(self, model_id: str) -> Model:
        model = find_model(model_id)
        refusal = Refusal.MODEL_ID if model is None else Refusal.TOO_MANY_STREAMS if self._is_full() else None
        if model is None or refusal is not None:
            words = (refusal or Refusal.MODEL_ID).value
            raise _HttpRefusal(*HTTP_FORM[words.member], words.text)
        return model

    def _is_full(self) -> bool:
        return len(self._live) >= self._house.options.max_streams


def _telling(headers: Mapping[str, str]) -> dict[str, str]:
    return {name: headers[name][:_LONGEST_HEADER] for name in TELLING_HEADERS if name in headers}
