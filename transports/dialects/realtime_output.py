"""Session events as a Realtime client is told of them.

A turn of the user is an item, a turn of the assistant a message in a response, and a call an item of its own. That the model's stream was
changed, or died and was resumed, is not told: nothing of it concerns these clients.
"""

from collections import deque
from typing import Final, assert_never

from s2s.events import Role, Stage, TokenCounts
from s2s.limits import clean_text
from s2s.wire import Json
from session.events import (
    AudioDropped,
    EndReason,
    ExchangeRefused,
    GoingAway,
    Interrupted,
    ModelOutput,
    SessionContinued,
    SessionEnded,
    SessionEvent,
    SessionFailed,
    SessionStalled,
    SessionStarted,
    SpeechChunk,
    SpeechEnded,
    SpeechStarted,
    ToolAnswered,
    ToolFinished,
    ToolStarted,
    TranscriptUpdated,
    UsageReported,
    UserSpeechEnded,
    UserSpeechStarted,
)
from transports.dialects.realtime_items import Content, Item, Items
from transports.dialects.realtime_responses import Response, Responses
from transports.dialects.realtime_wire import Generation, Ids, Writer

TYPED_LIMIT: Final = 16
"""Typed turns that may wait for the session to take note of them."""


class RealtimeOutput:
    """The way down of one connection.

    Args:
        ids: makes ids.
        writer: writes the events.
        items: the conversation.
        responses: the assistant's answers.
    """

    def __init__(self, ids: Ids, writer: Writer, items: Items, responses: Responses) -> None:
        self.client_tools: frozenset[str] = frozenset()
        """Names of the tools that the client runs."""
        self.heard_ms = 0.0
        """How much audio came from the client."""
        self.cancels = False
        """Whether the client asked for quiet, and an interruption is its doing."""
        self._writer = writer
        self._items = items
        self._responses = responses
        self._ids = ids
        self._typed: deque[str] = deque(maxlen=TYPED_LIMIT)
        self._open: Item | None = None
        """The user's turn that is being spoken, or that the client has committed and nobody has heard yet."""
        self._is_committed = False
        self._speech_ms = 0.0
        """When it began."""
        self._calls: dict[str, tuple[Response, Item]] = {}
        """Tools that the server runs."""

    def typed(self, text: str) -> None:
        """Take note of a text that comes back as the user's turn, which the client knows as the items that it made."""
        self._typed.append(clean_text(text).strip())

    def commit(self) -> list[str]:
        """Make an item of what the user says, because the client says that the turn is over."""
        frames = [] if self._open is not None else self._begin_turn(0)
        return [*frames, *self._commit()]

    def encode(self, event: SessionEvent) -> list[str]:
        """Return the frames of an event."""
        match event:
            case UserSpeechStarted() | UserSpeechEnded() | TranscriptUpdated():
                return self._words(event)
            case SpeechStarted() | SpeechChunk() | SpeechEnded() | Interrupted():
                return self._speech(event)
            case ToolStarted():
                return self._tool_started(event)
            case ToolFinished():
                return self._tool_finished(event)
            case UsageReported():
                counts = TokenCounts(event.input_speech, event.input_text, event.output_speech, event.output_text)
                self._responses.usage = counts
                return []
            case ExchangeRefused() | SessionFailed():
                return self.failed(event)
            case SessionEnded(reason):
                if reason is EndReason.FAILED:
                    return []
                return self._responses.finish("cancelled", {"type": "cancelled", "reason": "client_cancelled"})
            case SessionStarted() | SessionContinued() | SessionStalled() | AudioDropped() | GoingAway() | ModelOutput() | ToolAnswered():
                return []
            case _:
                assert_never(event)

    def _words(self, event: UserSpeechStarted | UserSpeechEnded | TranscriptUpdated) -> list[str]:
        match event:
            case UserSpeechStarted(turn):
                return self._user_started(turn)
            case UserSpeechEnded(turn):
                return self._user_stopped(turn)
            case TranscriptUpdated(turn, Role.USER, _, text):
                return self._user_said(turn, text)
            case TranscriptUpdated(turn, _, stage, text):
                return self._responses.say(turn, text) if stage is Stage.SPECULATIVE else []

    def _speech(self, event: SpeechStarted | SpeechChunk | SpeechEnded | Interrupted) -> list[str]:
        match event:
            case SpeechStarted(turn):
                self.cancels = False
                return self._responses.speak(turn)
            case SpeechChunk(turn, pcm):
                return self._responses.sound(turn, pcm)
            case SpeechEnded(turn):
                return self._responses.end_speech(turn)
            case Interrupted(turn):
                return self._interrupted(turn)

    def failed(self, event: ExchangeRefused | SessionFailed) -> list[str]:
        """Tell of an error of the session, and end the response that it concerns."""
        frames = self._writer.failure(event)
        if isinstance(event, ExchangeRefused):
            return [*frames, *self._responses.finish("incomplete", {"type": "incomplete", "reason": "content_filter"})]
        error: Json = {"type": "server_error", "code": event.code, "message": event.message}
        return [*frames, *self._responses.finish("failed", {"type": "failed", "error": error})]

    def _begin_turn(self, turn: int) -> list[str]:
        self._open = Item(self._items.new_id(), role="user", content=Content.INPUT_AUDIO, turn=turn)
        self._is_committed = False
        self._speech_ms = self.heard_ms
        return []

    def _user_started(self, turn: int) -> list[str]:
        if self._open is None or self._open.turn not in (0, turn):
            self._begin_turn(turn)
        item = self._open
        if item is None:
            return []
        item.turn = turn
        told: dict[str, Json] = {"item_id": item.item_id, "audio_start_ms": round(self._speech_ms)}
        return self._writer.event("input_audio_buffer.speech_started", told)

    def _user_stopped(self, turn: int) -> list[str]:
        item = self._open
        if item is None or item.turn != turn:
            return []
        told: dict[str, Json] = {"item_id": item.item_id, "audio_end_ms": round(self.heard_ms)}
        frames = self._writer.event("input_audio_buffer.speech_stopped", told) + self._commit()
        self._open = None
        return frames

    def _commit(self) -> list[str]:
        item = self._open
        if item is None or self._is_committed:
            return []
        self._is_committed = True
        told: dict[str, Json] = {"previous_item_id": self._items.last_id, "item_id": item.item_id}
        return [*self._writer.event("input_audio_buffer.committed", told), *self._items.add(item), *self._items.done(item)]

    def _user_said(self, turn: int, text: str) -> list[str]:
        if text in self._typed:
            self._typed.remove(text)
            return []
        frames: list[str] = []
        item = self._items.of_turn(turn, Content.INPUT_AUDIO)
        if item is None:  # a model that does not tell when the user speaks, or the text is there before the end
            frames = [*(self._begin_turn(turn) if self._open is None or self._open.turn not in (0, turn) else []), *self._commit()]
            item = self._open
        if item is None:
            return frames
        item.turn = turn
        delta = f" {text}" if item.text else text
        item.text += delta
        place: dict[str, Json] = {"item_id": item.item_id, "content_index": 0}
        usage: Json = {"type": "duration", "seconds": round(max(0.0, self.heard_ms - self._speech_ms) / 1_000, 3)}
        name = "conversation.item.input_audio_transcription"
        frames += self._writer.event(f"{name}.delta", {**place, "delta": delta})
        return [*frames, *self._writer.event(f"{name}.completed", {**place, "transcript": item.text, "usage": usage})]

    def _interrupted(self, turn: int) -> list[str]:
        reason = "client_cancelled" if self.cancels else "turn_detected"
        self.cancels = False
        return self._responses.interrupt(turn, reason)

    def _tool_started(self, event: ToolStarted) -> list[str]:
        if event.name in self.client_tools:
            return self._responses.call_client(event.turn, event.tool_use_id, event.name, event.arguments)
        if self._writer.generation is Generation.BETA:  # has no word for it
            return []
        response, item, frames = self._responses.call_server(event.turn, event.tool_use_id, event.name, event.arguments)
        self._calls[event.tool_use_id] = (response, item)
        return frames

    def _tool_finished(self, event: ToolFinished) -> list[str]:
        found = self._calls.pop(event.tool_use_id, None)
        if found is None:
            return []
        response, item = found
        item.output, item.error = event.result, event.error_code or ""
        return self._responses.server_answered(response, item)
