"""Who speaks when: takes what is heard, written and spoken, and decides what is asked, spoken and told. Pure: `now` is monotonic seconds.

The events are those of Nova Sonic, in its order: the user's text, then for each sentence its text as planned and its speech, calls of tools
after the speech before them, END_TURN at the end of the last sentence's speech, and the texts as spoken once they have been heard.

- A turn of the user is answered when it is over and no tool runs; what is said while one runs is told together with its result.
- What the user says while the assistant is heard interrupts it; of the answer, only what was heard stays in the conversation.
- What the user says before the answer is heard replaces it: the text model is asked again with both.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, assert_never

from cascade.dialogue import Dialogue
from cascade.emission import INTERRUPTED_MARKER, Emission
from cascade.hearing import Ear
from cascade.interfaces import Reply, ReplyEnd, Request, TextPiece, ToolCall, Transcript
from cascade.opening import Opening
from cascade.playback import Playback, Sentence
from cascade.sentences import SentenceSplitter, spoken_text
from cascade.steps import Ask, Hush, Speak, Step
from s2s.events import Role, Stage, StopReason

MOST_CHARACTERS: Final = 20_000
"""Of an answer: four times what the largest usual limit of tokens allows; what comes after is not spoken."""
MOST_CALLS: Final = 16
"""Of an answer."""


@dataclass(slots=True)
class _Answer:
    """An answer that is being written and spoken."""

    number: int
    splitter: SentenceSplitter = field(default_factory=SentenceSplitter)
    characters: int = 0
    waiting: deque[str] = field(default_factory=deque)
    """Sentences that are written and not spoken."""
    planned: str = ""
    """The sentence that is being spoken."""
    playing: Sentence | None = None
    """The same, once its speech has begun."""
    said: list[str] = field(default_factory=list)
    calls: list[ToolCall] = field(default_factory=list)
    is_written: bool = False


class TurnTaking:
    """The turns of one stream.

    Args:
        opening: what the stream is opened with.
        new_id: makes an id that was never used before.
    """

    def __init__(self, opening: Opening, new_id: Callable[[], str]) -> None:
        self._opening = opening
        self._emission = Emission(opening.prompt_name, new_id, opening.output_hertz)
        self._ear = Ear(opening.endpointing)
        self._playback = Playback()
        self._dialogue = Dialogue()
        for told in opening.history:
            self._dialogue.tell(told.role, told.text)
        self._seconds_per_byte = 0.5 / opening.output_hertz
        self._input_ms = 0.0
        self._number = 0
        self._answer: _Answer | None = None
        self._running: set[str] = set()
        """Calls that have no result yet."""
        self._owes = False
        """Whether something was said, or returned by a tool, that the text model was not asked about."""

    @property
    def deadline(self) -> float | None:
        """When to call `tick`; None for never."""
        next_end = None if self._emission.has_open_audio else self._playback.next_end
        return min((at for at in (self._ear.settles_at, next_end) if at is not None), default=None)

    def listened(self, ms: float) -> None:
        """Take note of so much audio of the user."""
        self._input_ms += ms

    def heard(self, transcript: Transcript, now: float) -> list[Step]:
        """Take what was heard of the user."""
        started_ms = self._ear.take(transcript, now)
        begun = [] if started_ms is None else [*self._emission.speech_start(started_ms), *self._stop(now)]
        return [*begun, *self.tick(now)]

    def typed(self, text: str, now: float) -> list[Step]:
        """Take a typed turn."""
        return [*self._stop(now), *self._user_said(text)]

    def tool_answered(self, tool_use_id: str, content: str) -> list[Step]:
        """Take the result of a call; nothing happens when it was not called here."""
        if tool_use_id not in self._running:
            return []
        self._running.discard(tool_use_id)
        self._dialogue.result(tool_use_id, content)
        self._owes = True
        return self._ask()

    def wrote(self, answer: int, reply: Reply, now: float) -> list[Step]:
        """Take what the text model has written."""
        current = self._answer
        if current is None or current.number != answer or current.is_written:
            return []
        told: list[Step] = []
        match reply:
            case TextPiece():
                if current.characters < MOST_CHARACTERS:
                    current.characters += len(reply.text)
                    current.waiting += current.splitter.feed(reply.text)
            case ToolCall():
                if len(current.calls) < MOST_CALLS:
                    current.calls.append(reply)
            case ReplyEnd():
                current.waiting += current.splitter.finish()
                current.is_written = True
                told += self._emission.usage(reply)
            case _:
                assert_never(reply)
        return [*told, *self._go_on(current, now)]

    def spoke(self, answer: int, pcm: bytes, now: float) -> list[Step]:
        """Take a piece of the speech of the sentence that is being spoken."""
        current = self._answer
        if current is None or current.number != answer or not current.planned or not pcm:
            return []
        told: list[Step] = []
        if current.playing is None:
            told += [*self._plan(current.planned, now), *self._emission.open_audio()]
            current.playing = self._playback.begin(current.number, current.planned, now)
        self._playback.add(current.playing, len(pcm) * self._seconds_per_byte, now)
        return [*told, *self._emission.audio(pcm)]

    def spoken(self, answer: int, now: float) -> list[Step]:
        """Take the end of that speech."""
        current = self._answer
        if current is None or current.number != answer or not current.planned:
            return []
        told: list[Step] = []
        if current.playing is None:  # a sentence without a sound
            told += self._plan(current.planned, now)
            self._playback.begin(current.number, current.planned, now)
        current.said.append(current.planned)
        current.planned, current.playing = "", None
        return [*told, *self._go_on(current, now)]

    def tick(self, now: float) -> list[Step]:
        """Do what is due: the user's turn is over, or a sentence has been heard."""
        steps = self._finals(now)
        said = self._ear.settle(now)
        if said is None:
            return steps
        steps += self._emission.speech_end(said.end_ms, round(self._input_ms))
        return [*steps, *(self._user_said(said.text) if said.text else self._ask())]

    def finish(self) -> list[Step]:
        """End the stream in order."""
        self._answer = None
        closed = self._emission.close_audio(StopReason.END_TURN)
        return [Hush(), *closed, *self._finals(float("inf")), *self._emission.end()]

    def _user_said(self, text: str) -> list[Step]:
        self._dialogue.user(text)
        self._owes = True
        return [*self._emission.text(Role.USER, Stage.FINAL, text), *self._ask()]

    def _ask(self) -> list[Step]:
        """Ask the text model if there is something to ask, and nobody who is to be waited for."""
        if not self._owes or self._running or self._ear.is_hearing:
            return []
        given_up: list[Step] = [Hush()] if self._answer is not None else []
        self._owes = False
        self._number += 1
        self._answer = _Answer(self._number)
        self._playback.forget_before(self._number)
        opening = self._opening
        request = Request(opening.system, self._dialogue.messages(), opening.tools, opening.tool_choice, opening.inference)
        return [*given_up, Ask(self._number, request)]

    def _go_on(self, answer: _Answer, now: float) -> list[Step]:
        """Speak the next sentence, or end the answer."""
        if answer.planned:
            return []
        while answer.waiting:
            answer.planned = answer.waiting.popleft()
            if sound := spoken_text(answer.planned):
                return [Speak(answer.number, sound)]
            answer.planned = ""
        return self._complete(answer, now) if answer.is_written else []

    def _plan(self, text: str, now: float) -> list[Step]:
        """Tell what is about to be said; it ends the sentence before it."""
        closed = self._emission.close_audio(StopReason.PARTIAL_TURN)
        return [*closed, *self._finals(now), *self._emission.text(Role.ASSISTANT, Stage.SPECULATIVE, text)]

    def _complete(self, answer: _Answer, now: float) -> list[Step]:
        self._answer = None
        self._dialogue.answer(answer.number, " ".join(answer.said), answer.calls)
        steps: list[Step] = []
        if answer.calls:
            steps += [*self._emission.close_audio(StopReason.PARTIAL_TURN), *self._finals(now)]
            for call in answer.calls:
                self._running.add(call.tool_use_id)
                steps += self._emission.tool_use(call)
            return steps
        if not self._emission.has_open_audio:  # a turn ends with the end of its speech, also when there is none
            steps += self._emission.open_audio()
        self._playback.end_turn(answer.number)
        return [*steps, *self._emission.close_audio(StopReason.END_TURN), *self._finals(now)]

    def _finals(self, now: float) -> list[Step]:
        """Tell what has been heard to its end, unless a block is open: blocks do not overlap."""
        if self._emission.has_open_audio:
            return []
        return [
            event
            for sentence in self._playback.finished(now)
            for event in self._emission.text(Role.ASSISTANT, Stage.FINAL, sentence.text, _stop_of(sentence))
        ]

    def _stop(self, now: float) -> list[Step]:
        """Stop what is heard of the assistant, and give up what is not written or spoken yet."""
        answer, self._answer = self._answer, None
        steps: list[Step] = []
        if answer is not None:
            steps.append(Hush())
            self._owes = not answer.said and answer.playing is None  # nothing of it was heard: what it answers is still to be answered
        is_open = self._emission.has_open_audio
        steps += self._emission.close_audio(StopReason.INTERRUPTED)
        steps += self._finals(now)
        cut = self._playback.flush(now)
        if answer is not None:
            self._dialogue.cut(answer.number, self._playback.heard_of(answer.number))
        if not cut and not is_open:
            return steps
        for number in {sentence.answer for sentence, _ in cut}:
            self._dialogue.cut(number, self._playback.heard_of(number))
        steps += self._emission.text(Role.ASSISTANT, Stage.FINAL, INTERRUPTED_MARKER, StopReason.INTERRUPTED)
        for _, heard in cut:
            steps += self._emission.text(Role.ASSISTANT, Stage.FINAL, heard, StopReason.END_TURN) if heard else []
        return steps


def _stop_of(sentence: Sentence) -> StopReason:
    return StopReason.END_TURN if sentence.is_last else StopReason.PARTIAL_TURN
