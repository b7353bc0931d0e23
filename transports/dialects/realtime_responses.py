"""One answer of the assistant as Realtime clients follow it: a response with its items, from response.created to response.done.

A response is done when the last of its items is. Nova Sonic has no such bracket: it begins where the assistant plans its words, speaks or
calls a tool, and what begins while an item is open belongs to the same response.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import pybase64

from s2s.events import TokenCounts
from s2s.wire import Json
from transports.dialects.g711 import encode_g711
from transports.dialects.realtime_items import Content, Item, Items, Kind
from transports.dialects.realtime_session import Modality, RealtimeSession
from transports.dialects.realtime_wire import Generation, Ids, Writer


@dataclass(slots=True)
class Response:
    """One response."""

    response_id: str
    metadata: Json = None
    items: list[Item] = field(default_factory=list)
    open: set[str] = field(default_factory=set)
    """Ids of items that are not done."""

    def index(self, item: Item) -> int:
        """Return the place of an item in the output."""
        return self.items.index(item)


class Responses:
    """The responses of one connection; one at a time is in progress.

    Args:
        ids: makes ids.
        writer: writes the events.
        items: the conversation.
        conversation_id: names it.
    """

    def __init__(self, ids: Ids, writer: Writer, items: Items, conversation_id: str) -> None:
        self.session: RealtimeSession | None = None
        """As the client has set it."""
        self.usage = TokenCounts()
        """Tokens used since the session began."""
        self.next_metadata: Json = None
        """What the client wants to know the next response by."""
        self._ids = ids
        self._writer = writer
        self._items = items
        self._conversation_id = conversation_id
        self._response: Response | None = None
        self._message: Item | None = None
        self._told_usage = TokenCounts()

    @property
    def is_active(self) -> bool:
        """Whether a response is in progress."""
        return self._response is not None

    @property
    def response_id(self) -> str | None:
        """Of the response in progress."""
        return None if self._response is None else self._response.response_id

    def speak(self, turn: int) -> list[str]:
        """Open the message of a turn, unless it is open."""
        if self._message is not None and self._message.turn == turn:
            return []
        frames = [*self._end_message("incomplete"), *self._finish_if_done("incomplete")] if self._message is not None else []
        content = Content.OUTPUT_TEXT if self._is_text else Content.OUTPUT_AUDIO
        self._message = Item(self._items.new_id(), role="assistant", content=content, status="in_progress", turn=turn)
        frames += self._open(self._message)
        return [*frames, *self._event("response.content_part.added", self._message, {"content_index": 0, "part": _part(self._message)})]

    def say(self, turn: int, text: str) -> list[str]:
        """Tell words that the assistant is about to say."""
        frames = self.speak(turn)
        message = self._message
        if message is None:
            return frames
        delta = f" {text}" if message.text else text
        message.text += delta
        name = "response.output_text.delta" if message.content is Content.OUTPUT_TEXT else "response.output_audio_transcript.delta"
        return [*frames, *self._event(name, message, {"content_index": 0, "delta": delta})]

    def sound(self, turn: int, pcm: bytes) -> list[str]:
        """Tell a piece of speech."""
        frames = self.speak(turn)
        if self._message is None or self._message.content is Content.OUTPUT_TEXT:
            return frames
        law = self.session.output.law if self.session else None
        delta = pybase64.b64encode_as_string(pcm if law is None else encode_g711(pcm, law))
        return [*frames, *self._event("response.output_audio.delta", self._message, {"content_index": 0, "delta": delta})]

    def end_speech(self, turn: int) -> list[str]:
        """Tell that no more of a turn comes."""
        if self._message is None or self._message.turn != turn:
            return []
        return [*self._end_message("completed"), *self._finish_if_done()]

    def interrupt(self, turn: int, reason: str) -> list[str]:
        """Tell that nobody wants to hear the rest of a turn."""
        if self._message is None or self._message.turn != turn:
            return []
        frames = self._end_message("incomplete")
        return [*frames, *self.finish("cancelled", {"type": "cancelled", "reason": reason})]

    def _end_message(self, status: str) -> list[str]:
        message, self._message = self._message, None
        if message is None:
            return []
        frames: list[str] = []
        if message.content is Content.OUTPUT_TEXT:
            frames += self._event("response.output_text.done", message, {"content_index": 0, "text": message.text})
        else:
            frames += self._event("response.output_audio.done", message, {"content_index": 0})
            frames += self._event("response.output_audio_transcript.done", message, {"content_index": 0, "transcript": message.text})
        frames += self._event("response.content_part.done", message, {"content_index": 0, "part": _part(message)})
        message.status = status
        return [*frames, *self._close(message)]

    def call_client(self, turn: int, call_id: str, name: str, arguments: str) -> list[str]:
        """Tell a call of a tool of the client."""
        item = Item(self._items.new_id(), Kind.FUNCTION_CALL, status="in_progress", turn=turn, name=name, call_id=call_id)
        frames = self._open(item)
        item.text = arguments
        call: dict[str, Json] = {"call_id": call_id}
        frames += self._event("response.function_call_arguments.delta", item, {**call, "delta": arguments})
        frames += self._event("response.function_call_arguments.done", item, {**call, "name": name, "arguments": arguments})
        item.status = "completed"
        return [*frames, *self._close(item), *self._finish_if_done()]

    def call_server(self, turn: int, call_id: str, name: str, arguments: str) -> tuple[Response, Item, list[str]]:
        """Tell that the server runs a tool; the result is told with `server_answered`."""
        item = Item(self._items.new_id(), Kind.SERVER_CALL, turn=turn, name=name, call_id=call_id)
        frames = self._open(item)
        response = self._current()
        item.text = arguments
        frames += self._event("response.mcp_call_arguments.delta", item, {"delta": arguments})
        frames += self._event("response.mcp_call_arguments.done", item, {"arguments": arguments})
        frames += self._writer.event("response.mcp_call.in_progress", {"item_id": item.item_id, "output_index": response.index(item)})
        return response, item, frames

    def server_answered(self, response: Response, item: Item) -> list[str]:
        """Tell the result of a tool that the server ran, of which the response may be done for long."""
        name = "response.mcp_call.failed" if item.error else "response.mcp_call.completed"
        frames = self._writer.event(name, {"item_id": item.item_id, "output_index": response.index(item)})
        frames += self._close(item, response)
        return [*frames, *(self._finish_if_done() if response is self._response else [])]

    def finish(self, status: str, details: Mapping[str, Json] | None = None) -> list[str]:
        """End the response that is in progress, whatever of it is open."""
        frames = self._end_message("incomplete")
        response, self._response = self._response, None
        if response is None:
            return frames
        told = self._told(response, status, dict(details) if details else None) | {"usage": self._used()}
        return [*frames, *self._writer.event("response.done", {"response": told})]

    @property
    def _is_text(self) -> bool:
        return self.session is not None and self.session.modality is Modality.TEXT

    def _current(self) -> Response:
        if self._response is None:
            self._response = Response(self._ids.new("resp"), self.next_metadata)
            self.next_metadata = None
        return self._response

    def _open(self, item: Item) -> list[str]:
        is_new = self._response is None
        response = self._current()
        frames = self._writer.event("response.created", {"response": self._told(response, "in_progress", None)}) if is_new else []
        response.items.append(item)
        response.open.add(item.item_id)
        frames += self._event("response.output_item.added", item, {"item": item.told(self._writer.generation)})
        return [*frames, *self._items.add(item)]

    def _close(self, item: Item, response: Response | None = None) -> list[str]:
        response = response or self._current()
        response.open.discard(item.item_id)
        frames = self._event("response.output_item.done", item, {"item": item.told(self._writer.generation)}, response)
        return [*frames, *self._items.done(item)]

    def _finish_if_done(self, status: str = "completed") -> list[str]:
        return self.finish(status) if self._response is not None and not self._response.open else []

    def _event(self, name: str, item: Item, body: Mapping[str, Json], response: Response | None = None) -> list[str]:
        response = response or self._current()
        place: dict[str, Json] = {"response_id": response.response_id, "output_index": response.index(item)}
        return self._writer.event(name, place | ({} if "item" in body else {"item_id": item.item_id}) | dict(body))

    def _told(self, response: Response, status: str, details: Json) -> dict[str, Json]:
        output: list[Json] = [item.told(self._writer.generation) for item in response.items]
        told: dict[str, Json] = {
            "object": "realtime.response",
            "id": response.response_id,
            "status": status,
            "status_details": details,
            "output": output,
            "conversation_id": self._conversation_id,
            "metadata": response.metadata,
            "usage": None,
        }
        if self.session is None:
            return told
        spoken = self.session.output.told(self._writer.generation)
        if self._writer.generation is Generation.BETA:
            return told | {
                "modalities": ["text"] if self._is_text else ["audio", "text"],
                "voice": self.session.voice,
                "output_audio_format": spoken,
            }
        audio: Json = {"output": {"format": spoken, "voice": self.session.voice}}
        return told | {"output_modalities": [self.session.modality.value], "max_output_tokens": "inf", "audio": audio}

    def _used(self) -> Json:
        now, before = self.usage, self._told_usage
        self._told_usage = now
        heard, read = now.input_speech - before.input_speech, now.input_text - before.input_text
        spoken, written = now.output_speech - before.output_speech, now.output_text - before.output_text
        return {
            "total_tokens": heard + read + spoken + written,
            "input_tokens": heard + read,
            "output_tokens": spoken + written,
            "input_token_details": {"audio_tokens": heard, "text_tokens": read, "image_tokens": 0, "cached_tokens": 0},
            "output_token_details": {"audio_tokens": spoken, "text_tokens": written},
        }


def _part(message: Item) -> Json:
    if message.content is Content.OUTPUT_TEXT:
        return {"type": "text", "text": message.text}
    return {"type": "audio", "transcript": message.text}
