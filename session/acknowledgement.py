"""When the assistant says that a tool takes its time. Pure: `now` is monotonic seconds.

While a tool runs the model mostly says nothing, and a caller who hears nothing for seconds believes that the line is dead. Models that can
go on talking meanwhile, and that take typed turns, are asked to say a sentence then. It is asked when it was silent for a while: what is
typed while the model speaks interrupts it, and what is typed while the user speaks is answered instead of the user. The result of the tool
is sent when it comes, whatever is being said: the model tells it after the sentence.
"""

from s2s.events import Role
from session.assistant import SessionPlan
from session.calls import Calls
from session.continuation import NEVER
from session.effects import Effect, Send
from session.hearing import Hearing
from session.opening import Wording
from session.presence import Presence
from session.queues import PlaybackQueue
from session.speaker import NOBODY_SPEAKS
from session.streams import Life, Streams
from session.turns import TurnTracker

NOTE = (
    "Note of the system, not of the user: the tool is still at work, and its result will come by itself. "
    'Call no tool now. Until the result comes, say this and nothing else: "{sentence}"'
)


class Acknowledgement:
    """Asks for the sentence, once for each thing that the user asked.

    Args:
        plan: the sentence, and after how much silence it is due.
        wording: makes the events.
        turns: who speaks.
        calls: the tools.
        streams: which stream carries the session.
        hearing: the user's audio.
        presence: whether the client is there.
        playback: what is still to be heard.
    """

    def __init__(
        self,
        plan: SessionPlan,
        wording: Wording,
        *,
        turns: TurnTracker,
        calls: Calls,
        streams: Streams,
        hearing: Hearing,
        presence: Presence,
        playback: PlaybackQueue,
    ) -> None:
        self.due_at = NEVER
        """When to call `step`."""
        self._after_seconds = plan.acknowledge_after_seconds
        self._note = NOTE.format(sentence=plan.acknowledgement.replace('"', "'")) if plan.acknowledgement else ""
        self._wording = wording
        self._turns = turns
        self._calls = calls
        self._streams = streams
        self._hearing = hearing
        self._presence = presence
        self._playback = playback
        self._asked_in = -1
        """The user's turn in which it was asked for last."""
        self._is_expected = False
        """Whether it was asked for and has not begun."""

    @property
    def is_given(self) -> bool:
        """Whether it was asked for since the user spoke last: what the model said then is no answer yet."""
        return self._asked_in == self._users_turn()

    def begins(self) -> bool:
        """Tell whether the speech that begins now is the sentence, and not what the model has to say about results."""
        is_expected, self._is_expected = self._is_expected, False
        return is_expected and bool(self._calls.running)

    def step(self, now: float) -> list[Effect]:
        """Ask for the sentence, if it is due."""
        if not self._calls.running or not self._note or self.is_given:
            self.due_at = NEVER
        elif not self._is_silent(now) or self.due_at == NEVER:
            self.due_at = now + self._after_seconds
        elif now >= self.due_at:
            return self._ask(now)
        return []

    def _ask(self, now: float) -> list[Effect]:
        if not self._hearing.is_still():  # somebody begins to speak
            self.due_at = now + self._after_seconds
            return []
        self.due_at = NEVER
        self._asked_in = self._users_turn()
        self._is_expected = True
        self._turns.hide(self._note)
        return [Send(self._wording.typed_turn(self._note))]

    def _users_turn(self) -> int:
        return next((record.number for record in reversed(self._turns.records) if record.role is Role.USER), 0)

    def _is_silent(self, now: float) -> bool:
        """Tell whether nobody speaks or is about to, nothing is to be heard, and the stream waits for its tools."""
        turns, streams = self._turns, self._streams
        is_heard = self._playback.is_playing(now) or self._presence.is_away
        is_theirs = streams.life is Life.CARRIED and all(call.generation == streams.current for call in self._calls.running.values())
        return is_theirs and not is_heard and turns.speaker in NOBODY_SPEAKS and not turns.awaits_answer(now)
