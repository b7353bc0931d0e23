"""The turns of a conversation: hears the user, lets the brain answer, speaks, calls tools, and stops when interrupted.

One answer at a time has the floor. An answer that waits for its tools gives it up, so that the conversation can go on meanwhile (Amazon
Nova 2 user guide, "Asynchronous tool calling"). Speech that begins while the listener still hears the assistant is an interruption; speech
that begins earlier only makes the assistant wait until the user is silent.
"""

import asyncio
import logging
from collections import deque

from nova_sonic_local.answer import Answer
from nova_sonic_local.brains.interface import Listener, UserTurn
from nova_sonic_local.clock import Alarm
from nova_sonic_local.emission import INTERRUPTED_MARKER
from nova_sonic_local.equipment import Equipment
from nova_sonic_local.events import Endpointing
from nova_sonic_local.exchange import StreamLost
from nova_sonic_local.manner import Finals
from nova_sonic_local.models import PRIMING_SECONDS
from nova_sonic_local.order import Ready
from nova_sonic_local.playback import Playback, Sentence
from nova_sonic_local.refusals import Refusal, Refused
from nova_sonic_local.usage import Tokens, speech_tokens, text_tokens
from nova_sonic_local.vad import FRAME_MS, PAUSE_MS, Change, VoiceChange, VoiceDetector

_log = logging.getLogger(__name__)

PRE_ROLL_MS = 500
"""Audio before the detection that belongs to the turn: up to 200 ms of onset, and 300 ms for a soft first consonant."""
LONGEST_SPEECH_SECONDS = 120
"""More of one turn is heard, but not kept."""
MOST_ANSWERS = 8
"""Answers under way; the oldest gives way to a ninth."""
INAUDIBLE = "[inaudible]"


class TurnEngine:
    """Answers one stream with a brain.

    Args:
        ready: the prompt.
        equipment: everything else.
    """

    def __init__(self, ready: Ready, equipment: Equipment) -> None:
        self.prompt = ready.prompt
        self.equipment = equipment
        self.playback = Playback()
        self.floor = asyncio.Lock()
        self.silence = asyncio.Event()
        self.silence.set()
        self.calls: dict[str, asyncio.Future[dict[str, object]]] = {}
        self._detector = VoiceDetector(PAUSE_MS[ready.endpointing or Endpointing.MEDIUM])
        self._frame_bytes = 2 * self.prompt.input_hertz * FRAME_MS // 1000
        self._partial = b""
        self._recent: deque[bytes] = deque(maxlen=PRE_ROLL_MS // FRAME_MS)
        self._speech = bytearray()
        self._listener: Listener | None = None
        self._unprimed_samples = int(PRIMING_SECONDS * self.prompt.input_hertz)
        self._typed_early = ready.typed
        self._turns = 0
        self._answers: list[Answer] = []
        self._alarm: Alarm | None = None
        self._unbilled = Tokens(input_text=sum(map(text_tokens, (self.prompt.system, *(text for _, text in self.prompt.history)))))

    # What the user does.

    async def hear(self, pcm: bytes) -> None:
        """Take the next piece of the user's audio."""
        self._unprimed_samples -= len(pcm) // 2
        if self._typed_early is not None and self._unprimed_samples <= 0:
            early, self._typed_early = self._typed_early, None
            self.read(early)
        data = self._partial + pcm
        whole = len(data) - len(data) % self._frame_bytes
        self._partial = data[whole:]
        heard = bytearray()
        for start in range(0, whole, self._frame_bytes):
            frame = data[start : start + self._frame_bytes]
            self._recent.append(frame)
            heard += frame
            change = self._detector.feed(frame)
            if change is None:
                continue
            if change.change is Change.STARTED:
                self._start_listening(change)
                heard = bytearray().join(self._recent)
            else:
                await self._listen(bytes(heard))
                heard.clear()
                self._stop_listening(change)
        if self._detector.is_speaking:
            await self._listen(bytes(heard))

    def read(self, text: str) -> None:
        """Answer a typed turn, if the model can and the audio block is primed; else its tokens are only billed."""
        self._unbilled.add(Tokens(input_text=text_tokens(text)))
        is_answered = self.equipment.model.second_generation and self._unprimed_samples <= 0
        self._unprimed_samples = int(PRIMING_SECONDS * self.prompt.input_hertz)
        if not is_answered:
            _log.info("typed turn is billed and not answered: the model has no text turns, or had less than 68 ms of audio before it")
            self.bill(Tokens())
            return
        if self.playback.is_playing(self.equipment.clock.now()):
            self._interrupt()
        self._start_turn(None, text, b"")

    def take_result(self, tool_use_id: str, result: dict[str, object]) -> None:
        """Give a tool's result to the answer that waits for it, or drop it when the answer was interrupted."""
        call = self.calls.pop(tool_use_id, None)
        if call is not None and not call.done():
            self._unbilled.add(Tokens(input_text=text_tokens(str(result))))
            call.set_result(result)

    def end_audio(self) -> None:
        """Take what was said so far as a turn."""
        change = self._detector.stop()
        if change is not None:
            self._stop_listening(change)

    def finish(self) -> None:
        """Stop all answers, write the texts that are due, and completionEnd."""
        for answer in self._answers:
            answer.cancel()
        self.equipment.emitter.close_audio("END_TURN")
        if self.equipment.manner.finals is not Finals.NEVER:
            self._write_finals(float("inf"))
        self.equipment.emitter.end()

    async def close(self) -> None:
        """Let go of the brain."""
        if self._alarm is not None:
            self._alarm.cancel()
        await self.equipment.brain.close()

    # Listening.

    def _start_listening(self, change: VoiceChange) -> None:
        self.silence.clear()
        if self.equipment.model.second_generation:
            self.equipment.emitter.user_speech_start(change.at_ms)
        self.equipment.emitter.begin()
        if self.playback.is_playing(self.equipment.clock.now()):
            self._interrupt()
        self._listener = self.equipment.brain.listen()

    async def _listen(self, pcm: bytes) -> None:
        if len(self._speech) < 2 * self.prompt.input_hertz * LONGEST_SPEECH_SECONDS:
            self._speech += pcm
            if self._listener is not None:
                await self._listener.feed(pcm)

    def _stop_listening(self, change: VoiceChange) -> None:
        self.silence.set()
        if self.equipment.model.second_generation:
            self.equipment.emitter.user_speech_end(change.at_ms, change.detected_ms)
        pcm, listener = bytes(self._speech), self._listener
        self._speech.clear()
        self._listener = None
        self._unbilled.add(Tokens(input_speech=speech_tokens(len(pcm) / 2 / self.prompt.input_hertz)))
        self._start_turn(listener, None, pcm)

    # Answering.

    def _start_turn(self, listener: Listener | None, text: str | None, pcm: bytes) -> None:
        self._turns += 1
        self._answers = [answer for answer in self._answers if not answer.is_over]
        if len(self._answers) >= MOST_ANSWERS:
            self._answers[0].cancel()
        answer = Answer(self)
        answer.task = self.equipment.tasks.create_task(self._answer(answer, self._turns, listener, text, pcm))
        self._answers.append(answer)

    async def _answer(self, answer: Answer, number: int, listener: Listener | None, text: str | None, pcm: bytes) -> None:
        try:
            await answer.take_floor()
            if listener is not None:
                text = await listener.finish()
            self._write_user_text(text)
            await self.equipment.brain.answer(UserTurn(number, text, pcm), answer)
            answer.complete()
        except (Refused, StreamLost):
            raise
        except Exception as error:
            _log.exception("the brain failed")
            raise Refused(Refusal.MODEL_ERROR) from error
        finally:
            answer.leave_floor()

    def _write_user_text(self, text: str | None) -> None:
        if self.equipment.manner.finals is Finals.WITH_NEXT_TURN:
            self._write_finals(float("inf"))
        self.equipment.emitter.text("USER", "FINAL", text or INAUDIBLE, "PARTIAL_TURN")
        self.bill(Tokens())

    def bill(self, tokens: Tokens) -> None:
        """Write a usageEvent for these tokens and what was not billed yet."""
        tokens.add(self._unbilled)
        self._unbilled = Tokens()
        self.equipment.emitter.usage(tokens)

    def _interrupt(self) -> None:
        """Stop what is heard now (Amazon Nova user guide, "Barge-in")."""
        now = self.equipment.clock.now()
        cut = self.playback.flush(now)
        for answer in self._answers:
            if any(sentence.answer is answer for sentence in cut):
                answer.cancel()
        emitter = self.equipment.emitter
        emitter.close_audio(self.equipment.manner.interrupted_audio_end)
        emitter.text("ASSISTANT", "FINAL", INTERRUPTED_MARKER, "INTERRUPTED")
        if self.equipment.manner.finals is not Finals.NEVER:
            for sentence in cut:
                if heard := sentence.heard(now):
                    emitter.text("ASSISTANT", "FINAL", heard, "END_TURN")
        emitter.end_turn("INTERRUPTED")
        self.expect_finals()

    # FINAL texts.

    def end_turn(self, last: Sentence | None) -> None:
        """Take note that an answer is complete; `last` is its last sentence, which may still be playing."""
        self.expect_finals()
        if last is None or not self.playback.holds(last) or self.equipment.manner.finals is Finals.NEVER:
            self.equipment.emitter.end_turn("END_TURN")

    def expect_finals(self) -> None:
        """Write the FINAL texts that are due, and come back when the next is."""
        manner = self.equipment.manner
        if manner.finals is not Finals.WHEN_PLAYED:
            return
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        if self.equipment.emitter.has_open_audio:
            return  # blocks do not overlap; whoever closes it calls again
        self._write_finals(self.equipment.clock.now() - manner.final_delay_seconds)
        next_end = self.playback.next_end()
        if next_end is not None:
            self._alarm = self.equipment.clock.call_at(next_end + manner.final_delay_seconds, self.expect_finals)

    def _write_finals(self, played_by: float) -> None:
        for sentence in self.playback.finished(played_by):
            if sentence.text:
                self.equipment.emitter.text("ASSISTANT", "FINAL", sentence.text, "END_TURN" if sentence.is_last else "PARTIAL_TURN")
            if sentence.is_last:
                self.equipment.emitter.end_turn("END_TURN")
