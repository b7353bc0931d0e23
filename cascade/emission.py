"""The output events of a cascade, in the order and with the ids that Nova Sonic gives them: blocks never overlap. Pure."""

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from cascade.interfaces import ReplyEnd, ToolCall
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
    TokenCounts,
    ToolUse,
    UsageEvent,
    UserSpeechEnd,
    UserSpeechStart,
)

INTERRUPTED_MARKER: Final = '{ "interrupted" : true }'
"""What Nova Sonic writes; clients compare it literally (Amazon Nova user guide, "Barge-in")."""


class Emission:
    """Makes the events of one stream.

    Args:
        prompt_name: the session's name of the prompt.
        new_id: makes an id that was never used before.
        hertz: rate of the speech.
    """

    def __init__(self, prompt_name: str, new_id: Callable[[], str], hertz: int) -> None:
        self._session_id, self._prompt_name = new_id(), prompt_name
        self._completion_id = ""
        self._new_id = new_id
        self._hertz = hertz
        self._audio_id = ""
        self._total = TokenCounts()

    @property
    def has_open_audio(self) -> bool:
        """Whether an AUDIO block is open: no other block may begin."""
        return bool(self._audio_id)

    def text(self, role: Role, stage: Stage, content: str, stop: StopReason = StopReason.PARTIAL_TURN) -> list[OutputEvent]:
        """Return a TEXT block."""
        started = self._begin()
        names, content_id = self._names(), self._new_id()
        return [
            *started,
            ContentStarted(*names, content_id, ContentType.TEXT, role, stage),
            TextOutput(*names, content_id, role, content),
            ContentEnded(*names, content_id, ContentType.TEXT, stop),
        ]

    def open_audio(self) -> list[OutputEvent]:
        """Return the beginning of an AUDIO block."""
        started = self._begin()
        self._audio_id = self._new_id()
        return [*started, ContentStarted(*self._names(), self._audio_id, ContentType.AUDIO, Role.ASSISTANT, None, self._hertz)]

    def audio(self, pcm: bytes) -> list[OutputEvent]:
        """Return a piece of the open AUDIO block."""
        return [AudioOutput(*self._names(), self._audio_id, pcm)]

    def close_audio(self, stop: StopReason) -> list[OutputEvent]:
        """Return the end of the AUDIO block, if one is open."""
        if not self._audio_id:
            return []
        content_id, self._audio_id = self._audio_id, ""
        return [ContentEnded(*self._names(), content_id, ContentType.AUDIO, stop)]

    def tool_use(self, call: ToolCall) -> list[OutputEvent]:
        """Return a TOOL block."""
        started = self._begin()
        names, content_id = self._names(), self._new_id()
        return [
            *started,
            ContentStarted(*names, content_id, ContentType.TOOL, Role.TOOL),
            ToolUse(*names, content_id, call.name, call.tool_use_id, call.arguments),
            ContentEnded(*names, content_id, ContentType.TOOL, StopReason.TOOL_USE),
        ]

    def speech_start(self, offset_ms: int) -> list[OutputEvent]:
        """Return what tells that the user begins to speak."""
        return [UserSpeechStart(self._session_id, self._prompt_name, offset_ms), *self._begin()]

    def speech_end(self, offset_ms: int, detected_ms: int) -> list[OutputEvent]:
        """Return what tells that the user has finished."""
        return [UserSpeechEnd(self._session_id, self._prompt_name, offset_ms, max(offset_ms, detected_ms))]

    def usage(self, end: ReplyEnd) -> list[OutputEvent]:
        """Return what tells the tokens of an answer; there are none of speech."""
        started = self._begin()
        delta = TokenCounts(input_text=end.input_tokens, output_text=end.output_tokens)
        total = self._total
        self._total = replace(total, input_text=total.input_text + end.input_tokens, output_text=total.output_text + end.output_tokens)
        return [*started, UsageEvent(*self._names(), delta, self._total)]

    def end(self) -> list[OutputEvent]:
        """Return the end of the stream."""
        events = self.close_audio(StopReason.END_TURN)
        return [*events, CompletionEnd(*self._names(), StopReason.END_TURN)] if self._completion_id else events

    def _begin(self) -> list[OutputEvent]:
        """Return the one completionStart of the stream, if it is still to come."""
        if self._completion_id:
            return []
        self._completion_id = self._new_id()
        return [CompletionStart(*self._names())]

    def _names(self) -> tuple[str, str, str]:
        return self._session_id, self._prompt_name, self._completion_id
