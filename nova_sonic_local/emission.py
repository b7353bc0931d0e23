"""Output events: their JSON, their order inside a block, and what goes with every one of them.

Blocks do not overlap: one ends before the next begins; only usageEvent and userSpeech events come in between. completionStart comes once,
before the first output, unless the manner is another. Shapes: Amazon Nova user guide, "Handling output events with the bidirectional API";
userSpeechStart and userSpeechEnd are not documented there and follow what clients logged.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import orjson
import pybase64

from nova_sonic_local.framing import encode_header, encode_with, text_header
from nova_sonic_local.ids import Ids
from nova_sonic_local.manner import Completions, Manner
from nova_sonic_local.usage import Tokens

INTERRUPTED_MARKER = '{ "interrupted" : true }'
"""Clients compare this text literally, spaces and all."""


def encode_event(kind: str, payload: bytes) -> bytes:
    """Return a message of an event type; all that is known is `chunk`."""
    return encode_with(_event_headers(kind), payload)


def _event_headers(kind: str) -> bytes:
    headers = (text_header(":event-type", kind), text_header(":content-type", "application/json"), text_header(":message-type", "event"))
    return b"".join(map(encode_header, headers))


_CHUNK_HEADERS = _event_headers("chunk")


def encode_chunk(event: bytes, padding: str = "") -> bytes:
    """Return the message that carries an output event, with a member `p` beside it when there is padding."""
    more = b'","p":"' + padding.encode() if padding else b""
    return encode_with(_CHUNK_HEADERS, b'{"bytes":"' + pybase64.b64encode(event) + more + b'"}')


def encode_exception(member: str, message: str, *, text_member: str = "message") -> bytes:
    """Return the message that ends a stream with an error; its text has the name that the service has for it."""
    headers = (
        text_header(":exception-type", member),
        text_header(":content-type", "application/json"),
        text_header(":message-type", "exception"),
    )
    return encode_with(b"".join(map(encode_header, headers)), orjson.dumps({text_member: message}))


def encode_unmodelled(code: str, message: str) -> bytes:
    """Return the message that ends a stream with an error that is no member of the output stream."""
    headers = (text_header(":message-type", "error"), text_header(":error-code", code), text_header(":error-message", message))
    return encode_with(b"".join(map(encode_header, headers)), b"")


@dataclass(slots=True)
class _Audio:
    """The open AUDIO block."""

    content_id: str
    template: bytes


class Emitter:
    """Writes the output events of one stream.

    Args:
        write: takes bytes of the response.
        ids: makes the ids.
        prompt_name: the client's name of the prompt.
        said: is told the JSON of each event, and how many bytes of audio it carries, if it does.
        manner: how it behaves.
        pending_tools: gets the id of each tool that is called.
    """

    def __init__(
        self,
        write: Callable[[bytes], None],
        ids: Ids,
        prompt_name: str,
        said: Callable[[bytes, int | None], None] = lambda _event, _audio_bytes: None,
        manner: Manner | None = None,
        *,
        pending_tools: set[str] | None = None,
    ) -> None:
        self.manner = manner or Manner()
        """May be changed at any time."""
        self._write = write
        self._said = said
        self._ids = ids
        self._prompt_name = prompt_name
        self._pending_tools = set() if pending_tools is None else pending_tools
        self._session_id = ids.new()
        self._completion_id = ""
        self._audio: _Audio | None = None
        self._total = Tokens()
        self._is_over = False

    @property
    def has_open_audio(self) -> bool:
        """Whether an AUDIO block is open: no other block may begin."""
        return self._audio is not None

    def text(self, role: str, stage: str, content: str, stop_reason: str) -> None:
        """Write a whole TEXT block."""
        content_id = self._open(
            "TEXT", role, additionalModelFields=json.dumps({"generationStage": stage}), textOutputConfiguration={"mediaType": "text/plain"}
        )
        self._emit("textOutput", self._common(content_id) | {"role": role, "content": content})
        self._close(content_id, "TEXT", stop_reason)

    def open_audio(self, hertz: int) -> None:
        """Open an AUDIO block."""
        configuration = {"mediaType": "audio/lpcm", "sampleRateHertz": hertz, "sampleSizeBits": 16, "encoding": "base64", "channelCount": 1}
        content_id = self._open("AUDIO", "ASSISTANT", audioOutputConfiguration=configuration)
        event = orjson.dumps({"event": {"audioOutput": self._common(content_id) | {"content": ""}}})
        self._audio = _Audio(content_id, event.removesuffix(b'"}}}'))

    def audio(self, pcm: bytes) -> None:
        """Write a piece of the open AUDIO block."""
        if self._audio is not None:
            self.event(self._audio.template + pybase64.b64encode(pcm) + b'"}}}', len(pcm))

    def close_audio(self, stop_reason: str) -> None:
        """Close the AUDIO block, if one is open."""
        if self._audio is not None:
            self._close(self._audio.content_id, "AUDIO", stop_reason)
            self._audio = None

    def tool_use(self, name: str, tool_use_id: str, content: str) -> None:
        """Write a whole TOOL block; `content` is the JSON text of the arguments."""
        self._pending_tools.add(tool_use_id)
        content_id = self._open("TOOL", "TOOL", toolUseOutputConfiguration={"mediaType": "application/json"})
        body = {"role": "TOOL", "toolName": name, "toolUseId": tool_use_id, "content": content}
        self._emit("toolUse", self._common(content_id) | body)
        self._close(content_id, "TOOL", "TOOL_USE")

    def user_speech_start(self, offset_ms: int) -> None:
        """Write userSpeechStart."""
        self._emit("userSpeechStart", {"inputAudioOffsetMs": offset_ms} | self._names())

    def user_speech_end(self, offset_ms: int, detection_ms: int) -> None:
        """Write userSpeechEnd."""
        self._emit("userSpeechEnd", {"inputAudioOffsetMs": offset_ms, "inputAudioDetectionOffsetMs": detection_ms} | self._names())

    def usage(self, delta: Tokens) -> None:
        """Write a usageEvent."""
        self._begin()
        self._total.add(delta)
        total = self._total
        spent_in, spent_out = total.input_speech + total.input_text, total.output_speech + total.output_text
        body: dict[str, object] = {
            "completionId": self._completion_id,
            "totalInputTokens": spent_in,
            "totalOutputTokens": spent_out,
            "totalTokens": spent_in + spent_out,
            "details": {"delta": delta.as_json(), "total": total.as_json()},
        }
        self._emit("usageEvent", body | self._names())

    def event(self, event: bytes, audio_bytes: int | None = None) -> None:
        """Write an event that is JSON already, and that carries so much audio if it carries any."""
        self._write(encode_chunk(event, self.manner.padding))
        self._said(event, audio_bytes)

    def begin(self) -> None:
        """Write completionStart, unless it has been written."""
        self._begin()

    def end_turn(self, stop_reason: str) -> None:
        """Take note that a turn is over, which ends the completion when each turn has its own."""
        if self.manner.completions is Completions.TURN and self._completion_id and not self.has_open_audio:
            self._end_completion(stop_reason)
            self._completion_id = ""

    def end(self) -> None:
        """Write completionEnd, if there was a completionStart."""
        self.close_audio("END_TURN")
        if self._completion_id and not self._is_over:
            self._is_over = True
            if self.manner.completions is not Completions.ENDLESS:
                self._end_completion("END_TURN")

    def _end_completion(self, stop_reason: str) -> None:
        self._emit("completionEnd", self._names() | {"completionId": self._completion_id, "stopReason": stop_reason})

    def _names(self) -> dict[str, object]:
        return {"promptName": self._prompt_name, "sessionId": self._session_id}

    def _common(self, content_id: str) -> dict[str, object]:
        return {
            "sessionId": self._session_id,
            "promptName": self._prompt_name,
            "completionId": self._completion_id,
            "contentId": content_id,
        }

    def _begin(self) -> None:
        if not self._completion_id:
            self._completion_id = self._ids.new()
            self._emit("completionStart", self._names() | {"completionId": self._completion_id})

    def _open(self, kind: str, role: str, **more: object) -> str:
        self._begin()
        content_id = self._ids.new()
        self._emit("contentStart", self._common(content_id) | {"type": kind, "role": role} | more)
        return content_id

    def _close(self, content_id: str, kind: str, stop_reason: str) -> None:
        self._emit("contentEnd", self._common(content_id) | {"type": kind, "stopReason": stop_reason})

    def _emit(self, name: str, body: Mapping[str, object]) -> None:
        self.event(orjson.dumps({"event": {name: body}}))
