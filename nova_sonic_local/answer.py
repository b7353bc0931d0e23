"""One answer of the assistant: what a brain can do in a turn, put on the wire."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Protocol

import orjson

from nova_sonic_local.brains.interface import Prompt
from nova_sonic_local.equipment import Equipment
from nova_sonic_local.playback import Playback, Sentence
from nova_sonic_local.usage import Tokens, speech_tokens, text_tokens

SMALLEST_PIECE_BYTES = 2_560
LARGEST_PIECE_BYTES = 6_400
"""Sizes of audioOutput seen on the service."""


class Conversation(Protocol):
    """What an answer needs of its engine."""

    prompt: Prompt
    equipment: Equipment
    playback: Playback
    floor: asyncio.Lock
    """Held by the one that speaks."""
    silence: asyncio.Event
    """Set while the user does not speak."""
    calls: dict[str, asyncio.Future[dict[str, object]]]
    """Tool calls without a result, by id."""

    def bill(self, tokens: Tokens) -> None:
        """Write a usageEvent."""

    def expect_finals(self) -> None:
        """Write the FINAL texts that are due."""

    def end_turn(self, last: Sentence | None) -> None:
        """Take note that an answer is complete."""


class Answer:
    """A reply under way.

    Args:
        engine: the conversation.
    """

    def __init__(self, engine: Conversation) -> None:
        self.task: asyncio.Task[None] | None = None
        self._engine = engine
        self._has_floor = False
        self._is_cancelled = False
        self._last: Sentence | None = None

    @property
    def is_over(self) -> bool:
        """Whether nothing more will come."""
        return self._is_cancelled or (self.task is not None and self.task.done())

    def cancel(self) -> None:
        """Stop: the user interrupted."""
        self._is_cancelled = True
        if self.task is not None:
            self.task.cancel()

    async def take_floor(self) -> None:
        """Wait until no other answer speaks."""
        await self._engine.floor.acquire()
        self._has_floor = True

    def leave_floor(self) -> None:
        """Let the next answer speak."""
        if self._has_floor:
            self._has_floor = False
            self._engine.floor.release()

    def complete(self) -> None:
        """End the assistant's turn."""
        if self._last is not None:
            self._last.is_last = True
        self._engine.equipment.emitter.close_audio("END_TURN")
        self._engine.end_turn(self._last)

    def inject(self, fault: str) -> None:
        """Let a fault happen to the stream, now or at a moment that counts from now.

        Raises:
            ValueError: there is no such fault.
        """
        self._engine.equipment.inject(fault)

    async def say(self, text: str) -> None:
        """Speak one sentence group: SPECULATIVE text, its audio, and later the FINAL text."""
        prompt = self._engine.prompt
        pcm = await self._engine.equipment.voice.speak(text, prompt.voice_id, prompt.output_hertz)
        await self.play(pcm, text)

    async def play(self, pcm: bytes, text: str = "") -> None:
        """Speak ready-made audio (16-bit mono at the prompt's output rate)."""
        await self._engine.silence.wait()
        self._check()
        self._close_sentence()
        emitter = self._engine.equipment.emitter
        if text:
            emitter.text("ASSISTANT", "SPECULATIVE", text, "PARTIAL_TURN")
        if pcm:
            emitter.open_audio(self._engine.prompt.output_hertz)
            self._last = self._engine.playback.begin(self._engine.equipment.clock.now(), text, self)
            await self._send(pcm, self._last)
        seconds = len(pcm) / 2 / self._engine.prompt.output_hertz
        self._engine.bill(Tokens(output_speech=speech_tokens(seconds) if pcm else 0, output_text=text_tokens(text)))

    async def call_tools(self, calls: Sequence[tuple[str, Mapping[str, object] | str]]) -> list[Mapping[str, object]]:
        """Call tools (name, arguments), all at once, and return their results in the same order; others may speak meanwhile."""
        self._check()
        self._close_sentence()
        engine = self._engine
        waiting: list[asyncio.Future[dict[str, object]]] = []
        for name, arguments in calls:
            content = arguments if isinstance(arguments, str) else orjson.dumps(dict(arguments)).decode()
            for _ in range(1, engine.equipment.manner.argument_encodings):
                content = orjson.dumps(content).decode()
            tool_use_id = engine.equipment.ids.new()
            engine.calls[tool_use_id] = asyncio.get_running_loop().create_future()
            waiting.append(engine.calls[tool_use_id])
            engine.equipment.emitter.tool_use(name, tool_use_id, content)
            engine.bill(Tokens(output_text=text_tokens(content)))
        self.leave_floor()
        results: list[Mapping[str, object]] = [await call for call in waiting]
        await self.take_floor()
        return results

    def _check(self) -> None:
        if self._is_cancelled:
            raise asyncio.CancelledError

    def _close_sentence(self) -> None:
        self._engine.equipment.emitter.close_audio("PARTIAL_TURN")
        self._engine.expect_finals()

    async def _send(self, pcm: bytes, sentence: Sentence) -> None:
        equipment = self._engine.equipment
        bytes_a_second = 2 * self._engine.prompt.output_hertz
        started, sent = equipment.clock.now(), 0
        while sent < len(pcm):
            await equipment.room()
            piece = pcm[sent : sent + equipment.ids.piece_bytes(SMALLEST_PIECE_BYTES, LARGEST_PIECE_BYTES)]
            sent += len(piece)
            equipment.emitter.audio(piece)
            self._engine.playback.add(equipment.clock.now(), sentence, len(piece) / bytes_a_second)
            if equipment.manner.speech_speed:
                await equipment.clock.sleep_until(started + sent / bytes_a_second / equipment.manner.speech_speed)
