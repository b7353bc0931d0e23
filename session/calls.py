"""The tool calls of a session: which run, for which stream, and what of their results the model has not used yet.

A result belongs to the stream that called: another one does not know the id, and the service ends it ("Invalid input request"; pipecat
3122). So what a stream took with it when it died is told to the next one in words. A call is never run again for that.
"""

from dataclasses import dataclass, replace

from s2s.events import ToolUse
from session.effects import FIRST_GENERATION
from session.history import shortened
from session.snapshot import ParkedCall, SessionSnapshot

RESULT_CHARACTERS = 1_500
"""How much of a result is told in words; with the words around it a typed turn of 4,000 bytes holds at least one."""
NOTE_CHARACTERS = 3_000
"""How much of all results together; each has the same part of it."""
ANSWERED_LIMIT = 200
"""Calls that another process is told of; an older id is never called again."""


@dataclass(frozen=True, slots=True)
class Call:
    """A tool that runs."""

    use: ToolUse
    turn: int
    generation: int
    """The stream that wants the result."""
    is_wanted: bool = True
    """Whether another stream is to be told the result: the exchange that it is for is not over."""


class Calls:
    """The calls of one session, each answered once."""

    def __init__(self) -> None:
        self.running: dict[str, Call] = {}
        """By toolUseId."""
        self._answered: dict[str, None] = {}
        self._unused: list[tuple[str, str]] = []
        """Name and result of what the present stream was told and has not spoken about."""
        self._untold: list[tuple[str, str]] = []
        """The same of what no living stream was told."""

    def knows(self, tool_use_id: str) -> bool:
        """Tell whether this call was made before."""
        return tool_use_id in self.running or tool_use_id in self._answered

    def called(self, use: ToolUse, turn: int, generation: int) -> None:
        """Take note of a call."""
        self.running[use.tool_use_id] = Call(use, turn, generation)

    def done(self, tool_use_id: str, result: str, generation: int | None) -> Call:
        """Take note of a result and return its call.

        Args:
            tool_use_id: names a call that runs.
            result: JSON text.
            generation: the stream that lives, or None.
        """
        call = self.running.pop(tool_use_id)
        self._answered[tool_use_id] = None
        results = self._unused if call.generation == generation else self._untold
        if call.is_wanted:
            results.append((call.use.tool_name, result))
        return call

    def parked(self) -> tuple[tuple[str, ...], tuple[tuple[str, str], ...], tuple[ParkedCall, ...]]:
        """Return what another process needs to know: ids that were answered, results that were not spoken about, calls that run."""
        untold = tuple((name, shortened(result, RESULT_CHARACTERS)) for name, result in (*self._unused, *self._untold))
        running = tuple(ParkedCall(call.use.tool_use_id, call.use.tool_name, call.use.content, call.turn) for call in self.running.values())
        return tuple(self._answered)[-ANSWERED_LIMIT:], untold, running

    def restore(self, snapshot: SessionSnapshot) -> None:
        """Take over what `parked` returned there; the calls that ran count as calls of a stream that is gone."""
        self._answered = dict.fromkeys(snapshot.answered)
        self._untold = list(snapshot.untold)
        for call in snapshot.running:
            self.called(ToolUse("", "", "", "", call.name, call.tool_use_id, call.arguments), call.turn, FIRST_GENERATION)

    def spoken(self) -> None:
        """Take note that the model speaks: it has used what it was told."""
        self._unused.clear()

    def lost(self) -> None:
        """Take note that the stream died, with the results that it has not used."""
        self._untold = [*self._unused, *self._untold]
        self._unused.clear()

    def forget(self) -> None:
        """Take note that the exchange is over that the results, and the calls that still run, were for."""
        self.running = {tool_use_id: replace(call, is_wanted=False) for tool_use_id, call in self.running.items()}
        self._unused.clear()
        self._untold.clear()

    @property
    def has_untold(self) -> bool:
        """Whether something is to be told in words, and all calls of the exchange have ended."""
        return bool(self._untold) and not self.running

    def note(self) -> str:
        """Return in words what no living stream was told; from now on the present one was."""
        longest = min(RESULT_CHARACTERS, NOTE_CHARACTERS // max(1, len(self._untold)))
        results = " ".join(f"Tool {name} returned: {shortened(result, longest)}" for name, result in self._untold)
        self._unused += self._untold
        self._untold = []
        return (
            "Note of the system, not of the user: the connection was lost for a moment. The tools that the user's last request needed have "
            f"run already, so do not call them again for it. {results} Now answer the user."
        )
