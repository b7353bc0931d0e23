"""Session events as Nova events for raw clients.

The rules come from what breaks pages in the field: text frames alone, exactly one key under `event` and at most `timestamp` beside it,
role, contentId, type and stopReason always there, no assistant text that looks like JSON and is none.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import orjson

from s2s.codec import encode_output
from s2s.events import ContentEnded, ContentStarted, ContentType, OutputEvent, Role, TextOutput, UnknownEvent
from session.events import ExchangeRefused, Interrupted, ModelOutput, SessionEvent, SessionFailed, SpeechChunk, ToolAnswered
from transports.dialects.interface import Frame, Milliseconds
from transports.dialects.nova_speech import SpeechCutter

_BLOCKS_LIMIT: Final = 64
"""Roles of text blocks that are remembered; blocks follow one another, so one is the rule."""


class NovaOutput:
    """The way down of one connection.

    Args:
        clock: wall-clock milliseconds.
    """

    def __init__(self, clock: Milliseconds) -> None:
        self.prompt_name = ""
        self._clock = clock
        self._speech = SpeechCutter()
        self._roles: dict[str, Role] = {}

    def encode(self, event: SessionEvent) -> Sequence[Frame]:
        """Return the frames of an event; none for what the model's own events tell already."""
        match event:
            case SpeechChunk():
                return [self._frame(encode_output(self._named(piece))) for piece in self._speech.cut(event.content_id, event.pcm)]
            case ModelOutput():
                return self._model(event.event)
            case Interrupted():
                self._speech.drop()
                return ()
            case ToolAnswered():
                return self._mirror(event)
            case SessionFailed() | ExchangeRefused():
                error: dict[str, object] = {"code": event.code, "message": event.message, "retryable": event.retryable, "ref": event.ref}
                if isinstance(event, SessionFailed) and event.retry_after is not None:
                    error["retry_after"] = event.retry_after
                return (self._frame(orjson.dumps({"event": {"error": error}})),)
            case _:
                return ()

    def _model(self, event: OutputEvent) -> Sequence[Frame]:
        last: Sequence[OutputEvent] = ()
        match event:
            case ContentStarted(type=ContentType.AUDIO):
                self._speech.open(event)
            case ContentStarted(type=ContentType.TEXT):
                if len(self._roles) < _BLOCKS_LIMIT:
                    self._roles[event.content_id] = event.role
            case ContentEnded(type=ContentType.AUDIO):
                last = self._speech.close(event.content_id)
            case ContentEnded():
                self._roles.pop(event.content_id, None)
            case TextOutput():
                event = replace(
                    event, role=event.role or self._roles.get(event.content_id, Role.ASSISTANT), content=_harmless(event.content)
                )
            case _:
                pass
        return [self._frame(encode_output(self._named(each))) for each in (*last, event)]

    def _mirror(self, answer: ToolAnswered) -> Sequence[Frame]:
        """Tell the result of a tool as AWS's Nova 2 sample server does: the three events that went to the model."""
        names = {"promptName": self.prompt_name, "contentName": answer.content_name, "contentId": answer.content_name}
        configuration = {"toolUseId": answer.tool_use_id, "type": "TEXT", "textInputConfiguration": {"mediaType": "text/plain"}}
        start = {"interactive": False, "type": "TOOL", "role": "TOOL", "toolResultInputConfiguration": configuration}
        events = (
            {"contentStart": names | start},
            {"toolResult": names | {"role": "TOOL", "content": answer.content}},
            {"contentEnd": names | {"type": "TOOL", "stopReason": "TOOL_USE"}},
        )
        return [self._frame(orjson.dumps({"event": event})) for event in events]

    def _named(self, event: OutputEvent) -> OutputEvent:
        """Return the event under the client's prompt name: the session's own means nothing to it."""
        if not isinstance(event, UnknownEvent):
            return replace(event, prompt_name=self.prompt_name)
        members = orjson.loads(event.body)
        if isinstance(members, dict) and "promptName" in members:
            return replace(event, body=orjson.dumps(members | {"promptName": self.prompt_name}).decode())
        return event

    def _frame(self, event: bytes) -> str:
        return f'{event[:-1].decode()},"timestamp":{self._clock()}}}'


def _harmless(text: str) -> str:
    """Return the text so that pages which parse everything that begins with a brace do not stumble over words."""
    if not text.startswith("{"):
        return text
    try:
        orjson.loads(text)
    except orjson.JSONDecodeError:
        return f" {text}"
    return text
