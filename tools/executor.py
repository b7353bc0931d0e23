"""Runs tool calls for sessions: within a time, once per call, and with an answer whatever happens."""

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal

import orjson
import structlog

from s2s.events import ToolSpec
from storage.errors import StorageError, StorageUnavailable
from storage.models import Json
from tools.errors import ToolError
from tools.registry import Answer, ToolCall, ToolRegistry

log = structlog.get_logger(__name__)

MAX_SESSIONS = 1024
"""Sessions whose results are remembered; the oldest goes first. Far above what one process can carry, and a bound nevertheless."""
MAX_CALLS = 128
"""Results remembered per session; the oldest goes first."""
MAX_UNCERTAIN = 16
"""Calls without a certain end that are remembered per session; the oldest goes first."""


@dataclass(frozen=True, slots=True)
class ToolAnswer:
    """How a tool call ended."""

    content: str
    """JSON text of an object, for the model."""
    error_code: str | None = None
    """None when the tool did what it was asked."""


@dataclass(frozen=True, slots=True)
class ExecutorLimits:
    """Bounds of an executor."""

    timeout_seconds: float = 5.0
    """For one call, waiting for its turn included."""
    result_bytes: int = 8 * 1024
    """Longest result: a longer one would not be read aloud anyway, and each byte is paid for in tokens."""
    concurrent: int = 64
    """Calls that run at once, over all sessions."""
    waiting: int = 256
    """Calls that may wait for their turn; one more is told that the system is busy."""


@dataclass(slots=True)
class ExecutorStatistics:
    """Counters since the start."""

    started: int = 0
    succeeded: int = 0
    refused: int = 0
    """The tool said no: wrong identity, missing argument, slot taken, no such tool."""
    failed: int = 0
    """The store was away, or our own bug."""
    timed_out: int = 0
    turned_away: int = 0
    """There were too many calls at once."""
    repeated: int = 0
    """Calls answered with the result of an earlier one."""


@dataclass(slots=True)
class _Session:
    calls: OrderedDict[str, "asyncio.Future[ToolAnswer]"] = field(default_factory=OrderedDict)
    uncertain: OrderedDict[str, str] = field(default_factory=OrderedDict)
    """What was called, with which arguments, of calls that ended in a way that does not tell what they did; with their request ids."""


class ToolExecutor:
    """Runs the tools of a registry; fits `session.interfaces.ToolRunner`.

    Args:
        registry: the tools.
        limits: bounds.
        on_forget: told the id of each session that has ended.
    """

    def __init__(
        self, registry: ToolRegistry, limits: ExecutorLimits | None = None, on_forget: Sequence[Callable[[str], None]] = ()
    ) -> None:
        self._registry = registry
        self._limits = limits or ExecutorLimits()
        self._on_forget = tuple(on_forget)
        self._sessions: OrderedDict[str, _Session] = OrderedDict()
        self._turns = asyncio.Semaphore(self._limits.concurrent)
        self._present = 0
        self.statistics = ExecutorStatistics()

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all tools."""
        return self._registry.names

    def specs(self, names: Sequence[str]) -> tuple[ToolSpec, ...]:
        """Return the specs of these tools, in this order.

        Raises:
            KeyError: there is no such tool.
        """
        return tuple(self._registry.spec(name) for name in names)

    async def run(
        self, *, session_id: str, tool_use_id: str, name: str, arguments: str, caller: str = "", patient_id: str = ""
    ) -> ToolAnswer:
        """Run one tool call and return its answer; the same call again gets the same answer without being run again.

        An answer that says "try again" (time-out, store away, too busy) is not kept, so that trying again can help. A call that ended
        without a certain end may have done its work, or do it yet: the same call under another id, with the same arguments, gets its
        request id, so that the store knows it again.
        """
        while True:
            session = self._session(session_id)
            if (known := session.calls.get(tool_use_id)) is None:
                call = ToolCall(session_id, tool_use_id, _request_id(session_id, tool_use_id), caller, patient_id)
                return await self._lead(session, call, name, arguments)
            await asyncio.wait([known])
            if not known.cancelled():
                self.statistics.repeated += 1
                return known.result()
            # The call that we waited for was cancelled, not we: it is our turn to run it.

    def forget(self, session_id: str) -> None:
        """Drop what is remembered for a session that has ended."""
        self._sessions.pop(session_id, None)
        for forget in self._on_forget:
            forget(session_id)

    async def _lead(self, session: _Session, call: ToolCall, name: str, arguments: str) -> ToolAnswer:
        future: asyncio.Future[ToolAnswer] = asyncio.get_running_loop().create_future()
        session.calls[call.tool_use_id] = future
        answer = None
        try:
            answer = await self._answer(session, call, name, arguments)
        finally:
            if answer is None:
                future.cancel()
            else:
                future.set_result(answer)
            if answer is None or answer.error_code in _PASSING:
                session.calls.pop(call.tool_use_id, None)
        return answer

    async def _answer(self, session: _Session, call: ToolCall, name: str, arguments: str) -> ToolAnswer:
        self.statistics.started += 1
        if self._present >= self._limits.concurrent + self._limits.waiting:
            self.statistics.turned_away += 1
            return _refusal("busy", "The system is very busy. Ask the user to wait a moment, then try once more.")
        self._present += 1
        try:
            async with asyncio.timeout(self._limits.timeout_seconds), self._turns:
                content = await self._run(session, call, name, arguments)
            self.statistics.succeeded += 1
            return ToolAnswer(content)
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            return self._failure(name, RuntimeError(str(error)))  # something in the tool was cancelled, and not the call
        except Exception as error:  # noqa: BLE001 - the root of every tool call: each must get an answer
            return self._failure(name, error)
        finally:
            self._present -= 1

    async def _run(self, session: _Session, call: ToolCall, name: str, text: str) -> str:
        arguments = self._registry.arguments(name, text)
        likeness = _likeness(name, arguments)
        request_id = session.uncertain.setdefault(likeness, call.request_id)
        if len(session.uncertain) > MAX_UNCERTAIN:
            session.uncertain.popitem(last=False)
        try:
            content = self._encode(await self._registry.run(name, replace(call, request_id=request_id), arguments))
        except ToolError:
            session.uncertain.pop(likeness, None)  # it was refused: nothing was done
            raise
        session.uncertain.pop(likeness, None)
        return content

    def _failure(self, name: str, error: Exception) -> ToolAnswer:
        """Turn an exception into an answer. Logs what failed and where, never a value: those are personal data."""
        match error:
            case ToolError():
                self.statistics.refused += 1
                return _refusal(error.code, error.message)
            case KeyError() if name not in self._registry.names:
                self.statistics.refused += 1
                return _refusal("unknown_tool", "There is no such tool. Tell the user that this cannot be done here.")
            case TimeoutError():
                self.statistics.timed_out += 1
                log.warning("tool.timed_out", tool=name)
                return _refusal("timeout", _UNCERTAIN_MESSAGE)
            case StorageUnavailable():
                self.statistics.failed += 1
                log.warning("tool.storage_unavailable", tool=name, error=type(error).__name__)
                return _refusal("storage_unavailable", "The records cannot be reached. Apologise and offer to try again in a moment.")
            case _:
                self.statistics.failed += 1
                place = _place(error)
                log.error("tool.failed", tool=name, error=type(error).__name__, at=place, storage=isinstance(error, StorageError))
                return _refusal("internal_error", "Something went wrong on our side. Apologise and offer to try again later.")

    def _encode(self, result: Answer) -> str:
        content = orjson.dumps({"success": True, **result}, default=_number)
        if len(content) > self._limits.result_bytes:
            # It was done all the same: say so, or the model does it again.
            short: Answer = {name: value for name, value in result.items() if isinstance(value, bool | int | float)}
            message = "It was done. The details are too long to repeat here."
            content = orjson.dumps({"success": True, **short, "message": message, "truncated": True})
        return content.decode()

    def _session(self, session_id: str) -> _Session:
        session = self._sessions.setdefault(session_id, _Session())
        self._sessions.move_to_end(session_id)
        while len(self._sessions) > MAX_SESSIONS:
            self._sessions.popitem(last=False)
        finished = [tool_use_id for tool_use_id, future in session.calls.items() if future.done()]
        for tool_use_id in finished[: max(0, len(session.calls) - MAX_CALLS)]:
            del session.calls[tool_use_id]
        return session


_UNCERTAIN_MESSAGE = (
    "This takes too long. It may have been done or not. Say so, and offer to try again: "
    "called again with the same arguments, it is not done twice."
)
_PASSING = frozenset({"timeout", "storage_unavailable", "busy"})


def _refusal(code: str, message: str) -> ToolAnswer:
    return ToolAnswer(orjson.dumps({"success": False, "error": code, "message": message}).decode(), code)


def _number(value: object) -> Json:
    if isinstance(value, Decimal):
        return float(value)
    raise TypeError


def _request_id(session_id: str, tool_use_id: str) -> str:
    return hashlib.sha256(f"{session_id}\0{tool_use_id}".encode(errors="surrogatepass")).hexdigest()[:32]


def _likeness(name: str, arguments: Mapping[str, object]) -> str:
    """Return what two calls have in common that want the same."""
    return hashlib.sha256(f"{name}\0{repr(sorted(arguments.items())).casefold()}".encode(errors="surrogatepass")).hexdigest()


def _place(error: Exception) -> str:
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return f"{trace.tb_frame.f_code.co_filename.rsplit('/', 1)[-1]}:{trace.tb_lineno}" if trace is not None else ""
