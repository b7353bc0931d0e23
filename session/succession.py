"""How a conversation passes from one stream to the next: what the next one is told, sent again, and what of the old one still counts.

`streams.py` knows which stream carries the session; here its moves are joined with the turns, the tools, and the user's audio. A change as
planned and one by necessity take the same path: open, told what was said; then the next one is sent what the user is saying, from the
beginning of the utterance; then it carries the session.
"""

from collections.abc import Sequence

from s2s.errors import Remedy
from s2s.events import (
    ContentStarted,
    ContentType,
    InputEvent,
    OutputEvent,
    Role,
    Stage,
    TextOutput,
    ToolUse,
    UserSpeechEnd,
    UserSpeechStart,
)
from session.assistant import SessionPlan
from session.calls import Calls
from session.continuation import NEVER, Moment
from session.effects import Effect, Emit, StreamFailed
from session.errors import ContentBlocked
from session.events import ExchangeRefused, TranscriptUpdated
from session.hearing import Hearing, Sign
from session.opening import Wording
from session.resumption import CURES
from session.retelling import retold, unanswered
from session.speaker import Speaker
from session.streams import Life, Streams
from session.turns import TurnTracker

TOO_LONG_CODE = "model_history_too_long"
"""Of a stream that does not take its opening because of the history: limits were seen that are lower than documented."""
INVALID_CODES = frozenset({TOO_LONG_CODE, "model_validation"})
"""The service does not always say what it is."""

TRIAL_SECONDS = 2.0
"""The service answers before it has read the whole opening, and may still refuse it."""


class Succession:
    """Goes on in the next stream.

    Args:
        plan: what the session is opened with.
        wording: makes the events.
        turns: who speaks, and what was said.
        calls: the tools.
        streams: which stream carries the session.
        hearing: the user's audio.
    """

    def __init__(
        self, plan: SessionPlan, wording: Wording, *, turns: TurnTracker, calls: Calls, streams: Streams, hearing: Hearing
    ) -> None:
        self._plan = plan
        self._wording = wording
        self._turns = turns
        self._calls = calls
        self._streams = streams
        self._hearing = hearing
        self._asks = False
        """Whether the stream that is being opened is given something to answer."""
        self._tried_until = NEVER
        """Until when the present stream may turn out not to have been accepted after all."""
        self._sound_from = 0
        """Number of the first piece of the user's sound that another stream would be sent."""
        self._soundless = 0
        """The latest turn when that changed: of what the user had said until then no sound is kept."""

    def follow(self, event: OutputEvent, effects: Sequence[Effect], now: float) -> None:
        """Take note of what the present stream said, and of what followed from it."""
        self._accept()
        match event:
            case UserSpeechStart():
                self._hearing.note(Sign.BEGAN, now)
            case UserSpeechEnd():
                self._hearing.note(Sign.ENDED, now)
            case TextOutput() if any(isinstance(effect, Emit) and _is_users_text(effect.event) for effect in effects):
                if self._plan.takes_text:  # else the words alone are of no use to the next stream
                    self._hearing.note(Sign.UNDERSTOOD, now)
            case ContentStarted(type=ContentType.AUDIO):
                self._hearing.note(Sign.ANSWERED, now)
            case ToolUse():
                self._hearing.note(Sign.UNDERSTOOD, now)
            case _:
                pass
        if isinstance(event, TextOutput | UserSpeechStart | UserSpeechEnd):
            self._streams.used(now)

    def hush_left(self, event: OutputEvent) -> list[Effect]:
        """Let the stream that was left say no more, if this event of the present one begins an answer."""
        is_answer = isinstance(event, ContentStarted) and event.role is Role.ASSISTANT and event.stage is not Stage.FINAL
        return self._silence_left() if is_answer else []

    def step(self, now: float) -> list[Effect]:
        """Change the stream, if one is due."""
        if self._hearing.first != self._sound_from:
            self._sound_from, self._soundless = self._hearing.first, self._turns.number
        # The user interrupts, or the answer is over.
        silenced = self._silence_left() if self._turns.speaker is not Speaker.ASSISTANT_SPEAKING else []
        if not self._streams.wants_next(now, lambda: self._moment(now, listens=True)):
            return silenced
        if self._turns.awaits_answer(now):
            self._calls.lost()  # by force, before the model used them
        return [*silenced, *self._streams.change(self._turns.texts, self._compose)]

    def opened(self, generation: int, signed_for_seconds: float | None, now: float) -> list[Effect]:
        """Let the stream that was accepted take over, unless nobody waits for it any more."""
        streams, turns, hearing = self._streams, self._turns, self._hearing
        moment = self._moment(now)
        if not streams.may_take_over(generation, turns.texts, now, moment):
            return streams.refuse(generation, now)
        is_resumed = streams.life is Life.RESUMING
        is_cut = is_resumed or moment is not Moment.QUIET
        speaks = not is_resumed and turns.speaker is Speaker.ASSISTANT_SPEAKING
        if not is_resumed and not streams.has_told(turns.texts):
            self._calls.lost()  # what was returned meanwhile, and told to the stream that goes
        again = hearing.kept if is_resumed or (is_cut and hearing.has_speech) else ()
        effects = [*self._silence_left(), *turns.stream_left(speaks=speaks)]
        effects += streams.take_over(signed_for_seconds, again, now, speaks=speaks)
        if again:
            hearing.note(Sign.CUT_OFF, now)
            hearing.sent_again(now)
            if hearing.has_speech and not self._plan.takes_text:
                turns.sound_again()
        if not is_resumed and self._calls.has_untold:
            turns.expects_nothing()
        if hearing.has_speech and is_cut:
            turns.expects(now)
        if self._asks or turns.hung_at is not None:
            turns.asked(now)
        self._asks, self._tried_until = False, now + TRIAL_SECONDS
        return effects

    def refused(self, failure: StreamFailed, now: float) -> list[Effect] | None:
        """Take note that the stream that was being opened is not to be had; None when the session is over by that."""
        was_alive = self._streams.is_alive
        is_shortened = self._shorten(failure)
        effects = self._streams.refused(failure, self._turns.number, now, is_shortened=is_shortened)
        if effects is None or was_alive:
            return effects
        self._calls.lost()
        told = self._forget_exchange(failure.ref) if CURES[failure.remedy].drops_exchange else []
        return [*told, *effects, *self.tick(now)]

    def lost(self, failure: StreamFailed, now: float) -> list[Effect] | None:
        """Go on without the stream that carried the session; None when its failure does not allow it."""
        turns = self._turns
        if now >= self._tried_until:
            self._accept()
        is_shortened = bool(self._tried_until) and self._shorten(failure)
        leaving = self._streams.lost(failure, turns.number, turns.texts, now, is_shortened=is_shortened)
        if leaving is None:
            return None
        self._streams.left.hush()
        told = turns.stream_died()
        self._calls.lost()
        self._hearing.note(Sign.CUT_OFF, now)
        if CURES[failure.remedy].drops_exchange:
            told += self._forget_exchange(failure.ref)
        return [*told, *leaving, *self.tick(now)]

    def left_ended(self) -> list[Effect]:
        """Take note that the stream that was left is over before its time."""
        return [*self._silence_left(), *self._streams.close_left()]

    def tick(self, now: float) -> list[Effect]:
        """Do what is due."""
        silenced = self._silence_left() if now >= self._streams.left.close_at else []
        return [*silenced, *self._streams.tick(now, self._compose)]

    def is_quiet(self, now: float) -> bool:
        """Tell whether nobody speaks or is about to, and no tool runs."""
        return self._moment(now) is Moment.QUIET

    def _moment(self, now: float, *, listens: bool = False) -> Moment:
        if self._calls.running:
            return Moment.TOOL
        if self._turns.speaker is not Speaker.LISTENING or self._turns.awaits_answer(now):
            return Moment.VOICES
        if self._hearing.has_speech and not self._plan.takes_text:  # such a model does not say that it hears somebody
            return Moment.VOICES
        return Moment.NOISE if listens and not self._hearing.is_still() else Moment.QUIET

    def _silence_left(self) -> list[Effect]:
        if not self._streams.left.speaks:
            return []
        self._streams.left.hush()
        return self._turns.left_silenced()

    def _compose(self) -> tuple[InputEvent, ...]:
        """Return the opening of a stream that goes on with the conversation: what was said, and what is still to be answered.

        While a tool runs the question stays in the history: its result, told in words, makes the model answer. A model that takes no text
        is sent the sound of a question instead, if all of it was kept; what it has called a tool for is history, its sound is gone.
        """
        turns, calls, takes_text = self._turns, self._calls, self._plan.takes_text
        may_ask = takes_text and not calls.running
        note = calls.note() if may_ask and calls.has_untold else ""
        is_asked = takes_text or (self._hearing.has_speech and self._hearing.is_whole)
        after = 0 if takes_text else self._soundless
        asked = unanswered(turns.records, after=after) if is_asked and not note and not calls.running else []
        past = retold(turns.records, without=asked, with_results=not takes_text)
        opening = self._wording.opening((*self._plan.history, *past))
        words = note or " ".join(record.text() for record in asked)
        self._asks = bool(words)
        if not words or not takes_text:
            return opening
        turns.hide(words)
        return (*opening, *self._wording.typed_turn(words))

    def _accept(self) -> None:
        if self._tried_until:
            self._tried_until = 0.0
            self._wording.accepted()

    def _shorten(self, failure: StreamFailed) -> bool:
        """Tell less of the past, if that may be why an opening was refused."""
        is_refusal = failure.code in INVALID_CODES and failure.remedy is Remedy.RESUME_ONCE
        return is_refusal and self._wording.shorten(is_known=failure.code == TOO_LONG_CODE)

    def _forget_exchange(self, ref: str) -> list[Effect]:
        self._turns.refuse_exchange()
        self._calls.forget()
        return [Emit(ExchangeRefused(ContentBlocked.code, ContentBlocked.message, ref=ref))]


def _is_users_text(event: object) -> bool:
    return isinstance(event, TranscriptUpdated) and event.role is Role.USER
