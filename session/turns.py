"""Who is speaking, what was said, and what of it was heard.

The tracker reads the model's events in the order in which they come and numbers the turns: one sequence for both sides. It knows these
facts about Nova Sonic (Amazon Nova user guide "Handling output events", and what clients of the service report):

- A completion covers many turns; the border of an assistant turn is the AUDIO contentEnd with END_TURN, or an interruption.
- The user's text comes after the end of the speech, the assistant's text SPECULATIVE before its speech and FINAL long after it, so a FINAL
  text is matched with the speculative text that it repeats.
- Speech is sent faster than it is played. A turn that is over for the service may still be heard, and can still be interrupted.
- After an interruption, speech of the old block may go on coming: it is dropped until the next AUDIO block begins. When the user wants
  quiet without saying anything, the service goes on to the end of its turn: all of it is dropped.
"""

import json
import re
from collections import deque
from collections.abc import Sequence
from typing import assert_never

from s2s.events import (
    AudioOutput,
    CompletionEnd,
    CompletionStart,
    ContentEnded,
    ContentStarted,
    ContentType,
    OutputEvent,
    Role,
    Stage,
    StopReason,
    TextOutput,
    ToolUse,
    UnknownEvent,
    UsageEvent,
    UserSpeechEnd,
    UserSpeechStart,
)
from session.effects import Effect, Emit, Flush
from session.events import (
    HistoryTurn,
    Interrupted,
    SessionEvent,
    SpeechChunk,
    SpeechEnded,
    SpeechStarted,
    ToolStarted,
    TranscriptUpdated,
    UserSpeechEnded,
    UserSpeechStarted,
)
from session.own_words import OwnWords
from session.queues import PlaybackQueue
from session.retelling import retold, unanswered
from session.speaker import NOBODY_SPEAKS, TRANSITIONS, Mute, Signal, Speaker
from session.turn_record import TurnRecord
from session.unconfirmed import Unconfirmed, normalised

RECORDS_LIMIT = 200
"""Turns that are remembered: five times what a stream takes as history."""
ANSWER_SECONDS = 6.0
"""How long an answer may be on its way before it is taken as not coming: what was heard was a cough, or the model hangs (first speech was
measured 0.6 to 2.3 s after the end of the user's)."""
HUNG_SECONDS = 6.0
"""A model that understood what the user said and says nothing at all for this long is stuck (clients of the service wait as long)."""
HUNG_AFTER_TEXT_SECONDS = 10.0
"""The same after a typed turn or the result of a tool: it reads, so that no write ever fails, and is stuck."""
MS_PER_CHARACTER = 65.0
"""Ordinary speech, to guess how much of a sentence has come when its stream died in the middle."""
BLOCKS_LIMIT = 16
"""Blocks of the model that are remembered at once: there is one at a time in practice, and a confused model must not fill memory."""


def is_interrupted_marker(text: str) -> bool:
    """Tell whether a text is the service's `{ "interrupted" : true }`, which is no speech."""
    if not text.lstrip().startswith("{"):
        return False
    try:
        return bool(json.loads(text) == {"interrupted": True})
    except ValueError:
        return False


class TurnTracker:
    """Follows the turns of one session.

    Args:
        playback: the listener's queue, asked for what is being played and what was heard.
        output_hertz: rate of the assistant's speech.
        hidden_markers: texts that the assistant writes and nobody shall read.
    """

    def __init__(self, playback: PlaybackQueue, output_hertz: int, hidden_markers: Sequence[str] = ()) -> None:
        self.speaker = Speaker.LISTENING
        self.interruptions = 0
        self.texts = 0
        """How many were said or planned, as another stream would have to be told."""
        self.tool_turn = 0
        """The turn of the latest tool call."""
        self.records: deque[TurnRecord] = deque(maxlen=RECORDS_LIMIT)
        self._playback = playback
        self._output_hertz = output_hertz
        self._hidden = re.compile(rf"\s*(?:{'|'.join(map(re.escape, hidden_markers))})", re.IGNORECASE) if hidden_markers else None
        self._number = 0
        self._user: TurnRecord | None = None
        self._due_until = 0.0
        self._assistant: TurnRecord | None = None
        self._last_assistant: TurnRecord | None = None
        self._unconfirmed = Unconfirmed()
        self._left_at = 0
        """The latest turn when a stream was left: what that one tells late was said until then."""
        self._blocks: dict[str, ContentStarted] = {}
        self._mute = Mute.NOTHING
        self._own_words = OwnWords()
        self.hung_at: float | None = None
        """When a model that owes an answer and has begun none is stuck; None while it owes none."""

    @property
    def number(self) -> int:
        """The latest turn, 0 before the first."""
        return self._number

    @property
    def owes_the_rest(self) -> bool:
        """Whether the model is in the middle of an answer, wanted or not."""
        return self.speaker is Speaker.ASSISTANT_SPEAKING or self._mute is Mute.TURN

    def awaits_answer(self, now: float) -> bool:
        """Tell whether speech of the assistant may be on its way: the user said something, a text was planned, or tools were answered."""
        return now < max(self._due_until, self.hung_at or 0.0)

    def receive(self, event: OutputEvent, now: float, *, is_late: bool = False) -> list[Effect]:
        """Take an event of the model, a late one of the stream that was left, and return what follows from it."""
        match event:
            case AudioOutput():
                return self._speech(event)
            case ContentStarted():
                return self._block_started(event, now, is_late=is_late)
            case TextOutput():
                return self._text(event, now, is_late=is_late)
            case ContentEnded():
                return self._block_ended(event, now, is_late=is_late)
            case ToolUse():
                return self._tool_called(event)
            case UserSpeechStart():
                return self._user_started(now)
            case UserSpeechEnd():
                self._signal(Signal.USER_STOPPED)
                self._due_until = now + ANSWER_SECONDS
                if self._user and self._user.final:
                    self.hung_at = now + HUNG_SECONDS
                return [Emit(UserSpeechEnded(self._user.number))] if self._user else []
            case CompletionStart() | CompletionEnd() | UsageEvent() | UnknownEvent():
                return []
            case _:
                assert_never(event)

    def interrupt(self, now: float, mute: Mute = Mute.TURN) -> list[Effect]:
        """Stop the assistant's turn if any of it is still to be heard.

        Args:
            now: monotonic seconds.
            mute: what to do with speech of this turn that the model still sends.
        """
        turn = self._last_spoken()
        self.hung_at = None
        if turn is None or turn.heard_ms is not None:
            return []
        if not self._playback.is_playing(now) and (self._assistant is None or not self._assistant.has_begun):
            return []
        return self._interrupted(turn, now, mute)

    def listener_told(self, number: int, now: float) -> None:
        """Correct how much of an interrupted answer was heard: the client tells exactly once it has thrown the rest away."""
        turn = self._last_spoken()
        if turn is not None and turn.number == number and turn.heard_ms is not None:
            turn.heard_ms = self._playback.heard_ms(number, now)

    def tools_answered(self, now: float, *, is_told: bool = True, is_owed: bool = False) -> None:
        """Note that no tool runs any more.

        Args:
            now: monotonic seconds.
            is_told: whether the model was given the result, so that it answers.
            is_owed: whether what it has said since the user spoke is known to be no answer.
        """
        # Else the model may have said all that it wants to.
        if is_told and (is_owed or self.speaker is Speaker.TOOL_RUNNING or self.hung_at is not None):
            self.hung_at = now + HUNG_AFTER_TEXT_SECONDS
        if is_told:
            self._due_until = now + ANSWER_SECONDS
        self._signal(Signal.TOOLS_ANSWERED)

    def user_typed(self, text: str, now: float) -> list[Effect]:
        """Note a typed turn; the model may or may not repeat it as the user's text."""
        self._user = self._open(Role.USER)
        self.asked(now)
        self._user.typed = normalised(text)
        self._user.final.append(text)
        self.texts += 1
        self._signal(Signal.USER_STOPPED)
        return [Emit(TranscriptUpdated(self._user.number, Role.USER, Stage.FINAL, text))]

    def visible(self, event: TextOutput) -> TextOutput:
        """Return the event without what nobody shall read."""
        is_ours = self._own_words.holds(event.content, is_users=self._role(event) is Role.USER)
        text = "" if is_ours else self._clean(event.content)
        if text == event.content:
            return event
        return TextOutput(event.session_id, event.prompt_name, event.completion_id, event.content_id, event.role, text)

    def restore(self, history: Sequence[HistoryTurn], number: int) -> None:
        """Take over what was said and numbered in another process."""
        self._number = number
        self.records.extend(TurnRecord(number, turn.role, final=[turn.text]) for turn in history)

    def heard(self, now: float) -> tuple[HistoryTurn, ...]:
        """Return the history without what is still to be heard of the latest answer."""
        turn = self._last_assistant
        if turn is None or turn.heard_ms is not None or not self._playback.is_playing(now):
            return self.history()
        turn.heard_ms = self._playback.heard_ms(turn.number, now)
        history = self.history()
        turn.heard_ms = None
        return history

    def history(self) -> tuple[HistoryTurn, ...]:
        """Return the conversation as a new stream can be told it."""
        return retold(self.records)

    def asked(self, now: float) -> None:
        """Note that the model has been given something in words to answer."""
        self._due_until = now + ANSWER_SECONDS
        self.hung_at = now + HUNG_AFTER_TEXT_SECONDS

    def hide(self, text: str) -> None:
        """Take a text for ours, and not the user's, if the model repeats it."""
        self._own_words.hide(text)

    def sound_again(self) -> None:
        """Note that another stream is sent the sound of the question, which it writes again."""
        self._own_words.sound_again(" ".join(record.text() for record in unanswered(self.records)))

    def expects(self, now: float) -> None:
        """Note that what the user said may be on its way to another stream."""
        self._due_until = now + ANSWER_SECONDS

    def expects_nothing(self) -> None:
        """Note that the model was given nothing to answer yet."""
        self._due_until, self.hung_at = 0.0, None

    def remember_call(self, words: str) -> None:
        """Keep for later streams what a tool was asked and returned."""
        self.texts += 1
        answer = self.records.pop() if self.records and self.records[-1] is self._assistant and not self._assistant.has_begun else None
        self.records.append(TurnRecord(self._number, Role.TOOL, final=[words]))
        if answer is not None:  # which is said after the result, and was opened by the call
            self.records.append(answer)

    def refuse_exchange(self) -> None:
        """Forget, for any other stream, the last thing that the user said and what followed."""
        self._user = None  # what is said next is another turn, which is not refused
        for record in reversed(self.records):
            is_users = record.role is Role.USER and bool(record.text()) and not record.is_refused
            record.is_refused = True
            if is_users:
                return

    def _signal(self, signal: Signal) -> None:
        self.speaker = TRANSITIONS.get((self.speaker, signal), self.speaker)

    def _open(self, role: Role) -> TurnRecord:
        if role is Role.USER and self._assistant is not None and not self._assistant.has_begun:
            self._assistant = None  # it only called a tool: what the model says now answers this turn of the user
        self._number += 1
        record = TurnRecord(self._number, role)
        self.records.append(record)
        return record

    def _last_spoken(self) -> TurnRecord | None:
        """Return the latest turn in which the assistant says something: one that only called a tool is not what the listener hears."""
        return next((record for record in reversed(self.records) if record.role is Role.ASSISTANT and record.has_begun), None)

    def _user_turn(self) -> TurnRecord:
        if self._user is None:
            self._user = self._open(Role.USER)
        return self._user

    def _assistant_turn(self) -> TurnRecord:
        if self.speaker is not Speaker.USER_SPEAKING:  # else it is a remainder of the answer that the user has just interrupted
            self._user = None
        if self._assistant is None:
            self._assistant = self._last_assistant = self._open(Role.ASSISTANT)
        return self._assistant

    def _user_started(self, now: float) -> list[Effect]:
        effects = self.interrupt(now, Mute.BLOCK)
        self._signal(Signal.USER_STARTED)
        return [*effects, Emit(UserSpeechStarted(self._user_turn().number))]

    def _block_started(self, block: ContentStarted, now: float, *, is_late: bool) -> list[Effect]:
        if len(self._blocks) >= BLOCKS_LIMIT:
            self._blocks.pop(next(iter(self._blocks)))
        self._blocks[block.content_id] = block
        if block.role is not Role.USER and block.stage is not Stage.FINAL:  # a FINAL text is of an answer that was spoken before
            if not is_late and self._mute is not Mute.TURN:
                self.hung_at = None
                self._own_words.clear()  # what is repeated is repeated before the answer
            elif self.hung_at is not None:  # the rest of an answer is none to what was asked since
                self.hung_at = now + HUNG_AFTER_TEXT_SECONDS
        if block.type is not ContentType.AUDIO:
            return []
        if self._mute is Mute.BLOCK:
            self._mute = Mute.NOTHING
        if self._mute is Mute.TURN:
            return []
        self._signal(Signal.ASSISTANT_STARTED)
        self._due_until = 0.0
        turn = self._assistant_turn()
        if turn.is_speaking:
            return []
        turn.is_speaking = True
        return [Emit(SpeechStarted(turn.number, block.output_hertz or self._output_hertz))]

    def _speech(self, event: AudioOutput) -> list[Effect]:
        turn = self._assistant
        if self._mute is not Mute.NOTHING or turn is None or not event.pcm:
            return []
        if turn.spoken_ms:
            turn.spoken_ms[-1] += len(event.pcm) / 2 / self._output_hertz * 1_000
        return [Emit(SpeechChunk(turn.number, event.pcm, event.content_id))]

    def _text(self, event: TextOutput, now: float, *, is_late: bool) -> list[Effect]:
        block = self._blocks.get(event.content_id)
        role = self._role(event)
        if role is Role.ASSISTANT and is_interrupted_marker(event.content):
            return self._interrupted_by_model(now, is_late=is_late)
        text = self._clean(event.content).strip()
        if role is Role.USER:
            self._due_until = now + ANSWER_SECONDS
            return self._user_said(text, now)
        if role is not Role.ASSISTANT or not text:
            return []
        if block is not None and block.stage is Stage.SPECULATIVE:
            self._due_until = now + ANSWER_SECONDS
            return self._planned(text)
        turn = self._unconfirmed.turn_of(text, self.records, self._left_at if is_late else self._number)
        if turn is None and is_late:  # it was said after the stream had been left, and nobody heard it
            return []
        turn = turn or self._last_assistant or self._assistant_turn()
        turn.final.append(text)
        return [Emit(TranscriptUpdated(turn.number, Role.ASSISTANT, Stage.FINAL, text))]

    def _role(self, event: TextOutput) -> Role | None:
        block = self._blocks.get(event.content_id)
        return block.role if block else event.role

    def _planned(self, text: str) -> list[Effect]:
        muted = self._last_assistant if self._mute is Mute.TURN else None
        turn = muted or self._assistant_turn()
        turn.planned.append(text)
        self.texts += 1
        turn.spoken_ms.append(0.0)
        self._unconfirmed.planned(turn, text)
        return [] if muted else [Emit(TranscriptUpdated(turn.number, Role.ASSISTANT, Stage.SPECULATIVE, text))]

    def _user_said(self, text: str, now: float) -> list[Effect]:
        if self._mute is Mute.TURN:
            self._mute = Mute.NOTHING
        if not text or self._own_words.repeats(text) or self._is_echo(text):
            return []
        if self.speaker in NOBODY_SPEAKS and (self._assistant is None or not self._assistant.has_begun):
            self.hung_at = now + HUNG_SECONDS  # also beside a tool: the stream that called it may be gone
        if self._own_words.is_heard_again(text):
            return []
        turn = self._user_turn()
        turn.final.append(text)
        self.texts += 1
        return [Emit(TranscriptUpdated(turn.number, Role.USER, Stage.FINAL, text))]

    def _is_echo(self, text: str) -> bool:
        """Tell whether the text repeats one that the user typed and that was not answered yet; each repeats once."""
        said = normalised(text)
        for record in reversed(self.records):
            if record.role is not Role.USER:
                return False
            if record.typed and record.typed == said:
                record.typed = ""
                return True
        return False

    def _block_ended(self, event: ContentEnded, now: float, *, is_late: bool) -> list[Effect]:
        block = self._blocks.pop(event.content_id, None)
        if event.stop_reason is StopReason.INTERRUPTED and (block is None or block.role is Role.ASSISTANT):
            return self._interrupted_by_model(now, is_late=is_late)
        if event.type is ContentType.AUDIO and event.stop_reason is StopReason.END_TURN:
            self._mute = Mute.NOTHING
            return self._assistant_stopped()
        return []

    def _assistant_stopped(self) -> list[Effect]:
        turn, self._assistant = self._assistant, None
        self._signal(Signal.ASSISTANT_STOPPED)
        if turn is None or not turn.is_speaking:
            return []
        return [Emit(SpeechEnded(turn.number))]

    def stream_left(self, *, speaks: bool = False) -> list[Effect]:
        """Note that another stream goes on with the conversation: the old one's blocks end here, what came of them is still heard.

        Args:
            speaks: whether the old one goes on with its answer.
        """
        self._left_at = self._number
        return [] if speaks else self._cut_off()

    def left_silenced(self) -> list[Effect]:
        """Note that nothing more comes of the answer that the old stream went on with."""
        self._mute = Mute.NOTHING  # else the next stream's answer would not be heard
        self._blocks = {content_id: block for content_id, block in self._blocks.items() if block.type is not ContentType.AUDIO}
        return self._assistant_stopped() if self.speaker is Speaker.ASSISTANT_SPEAKING else []

    def stream_died(self) -> list[Effect]:
        """Note that the stream is gone, in the middle of whatever it was: of its speech, what came is still heard."""
        turn, self.hung_at, self._due_until = self._assistant, None, 0.0
        if turn is not None:
            turn.received_ms = sum(turn.spoken_ms)
            is_open = any(block.type is ContentType.AUDIO for block in self._blocks.values())
            if is_open and turn.planned and turn.spoken_ms[-1]:
                turn.spoken_ms[-1] = max(turn.spoken_ms[-1], MS_PER_CHARACTER * len(turn.planned[-1]))
        self._unconfirmed.clear()
        return self._cut_off()

    def _cut_off(self) -> list[Effect]:
        self._blocks.clear()
        self._mute = Mute.NOTHING
        return [*self._user_stopped(), *(self._assistant_stopped() if self._assistant is not None else [])]

    def _user_stopped(self) -> list[Effect]:
        if self.speaker is not Speaker.USER_SPEAKING:
            return []
        self._signal(Signal.USER_STOPPED)
        return [Emit(UserSpeechEnded(self._user.number))] if self._user else []

    def _tool_called(self, use: ToolUse) -> list[Effect]:
        """A tool ends the speech before it: a player must not take the time of the tool for a gap in the network."""
        self._mute = Mute.NOTHING
        self._due_until = 0.0
        self.hung_at = None
        turn = self._last_assistant
        is_next = turn is not None and turn.number == self.tool_turn == self._number and self.speaker is Speaker.TOOL_RUNNING
        if turn is None or not is_next:
            turn = self._assistant_turn()
        self.tool_turn = turn.number
        effects = self._assistant_stopped() if turn.is_speaking else []
        self._signal(Signal.TOOL_CALLED)
        return [*effects, Emit(ToolStarted(turn.number, use.tool_use_id, use.tool_name, use.content))]

    def _interrupted_by_model(self, now: float, *, is_late: bool) -> list[Effect]:
        """The service's word counts even if our clock believes that everything was heard: the listener may be behind it."""
        turn = self._last_spoken()
        if is_late and turn is not None and turn.number > self._left_at:  # the next stream's answer
            return []
        if turn is None or turn.heard_ms is not None:
            self._mute = Mute.NOTHING if self._mute is Mute.TURN else self._mute
            return []
        return self._interrupted(turn, now, Mute.BLOCK)

    def _interrupted(self, turn: TurnRecord, now: float, mute: Mute) -> list[Effect]:
        turn.heard_ms = self._playback.heard_ms(turn.number, now)
        is_audio_open = any(block.type is ContentType.AUDIO for block in self._blocks.values())
        if mute is Mute.TURN and self._assistant is not None and self._assistant.has_begun:
            self._mute = Mute.TURN
        elif is_audio_open:
            self._mute = Mute.BLOCK
        self._assistant = None
        self.interruptions += 1
        self._signal(Signal.INTERRUPTED)
        event: SessionEvent = Interrupted(turn.number, turn.heard_ms)
        return [Flush(turn.number), Emit(event)]

    def _clean(self, text: str) -> str:
        return self._hidden.sub("", text) if self._hidden else text
