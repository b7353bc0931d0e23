"""The dialect of OpenAI's Realtime API, as its client libraries speak it: JSON events as text frames, audio in base64.

The model hears, decides when a turn is over and answers by itself, so what these clients do to make it answer is done already when they
ask, or is taken as what they mean. docs/reference/realtime-dialect.md says for each event what becomes of it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import pybase64

from s2s.errors import CodecError
from s2s.events import Role
from s2s.wire import Json, Members
from session.assistant import AssistantProfile
from session.errors import InvalidAudio, NotAllowed, SessionError, TooLarge, UnknownCall, UnknownEvent, WrongOrder
from session.events import (
    EndReason,
    HistoryTurn,
    Interrupt,
    ReportPlayback,
    Revise,
    SendAudio,
    SendText,
    SessionEvent,
    SessionFailed,
    Start,
    SubmitToolResult,
)
from transports.dialects.g711 import decode_g711
from transports.dialects.interface import Action, Frame, Milliseconds, Reply, Told
from transports.dialects.realtime_items import Content, Item, Items, Kind
from transports.dialects.realtime_output import RealtimeOutput
from transports.dialects.realtime_responses import Responses
from transports.dialects.realtime_session import RealtimeSession, updated
from transports.dialects.realtime_wire import (
    EMPTY_BUFFER,
    NO_ITEM,
    NOT_ACTIVE,
    Generation,
    Ids,
    Writer,
    as_refusal,
    harmless,
    name_in,
    noted,
    param_of,
    read_event,
)

SUBPROTOCOL: Final = "realtime"
WAITING_LIMIT: Final = 400
"""Items that may wait to be told to the model."""
WAITING_CHARACTERS: Final = 262_144
"""In all of them: a little more than AWS's own samples ever send as history."""
PIECE_MS: Final = 500
"""Longer pieces of audio are cut: clients may send seconds at once."""
_BYTES_PER_SAMPLE: Final = 2
_EVENT_ID_LIMIT: Final = 512
_ROLES: Final = {"user": Content.INPUT_TEXT, "system": Content.INPUT_TEXT, "assistant": Content.OUTPUT_TEXT}
_TEXT_PARTS: Final = frozenset({"input_text", "output_text", "text"})


@dataclass(slots=True)
class _Heard:
    """What of the client's audio is not worked off."""

    half: bytes = b""
    """First byte of a sample whose second has not come."""
    uncommitted_ms: float = 0.0


class RealtimeDialect:
    """One client of the Realtime API.

    Args:
        clock: wall-clock milliseconds, for ids.
        profile: the assistant's.
        assistant: its name, if the address names it.
        model: as the client called the model.
        generation: of the names that the client knows.
    """

    name = SUBPROTOCOL
    dropped_frames = 0

    def __init__(
        self,
        clock: Milliseconds,
        profile: AssistantProfile,
        *,
        assistant: str | None = None,
        model: str = "",
        generation: Generation = Generation.PRESENT,
    ) -> None:
        ids = Ids(clock())
        self._writer = Writer(ids, generation)
        self._items = Items(ids, self._writer)
        self._responses = Responses(ids, self._writer, self._items, ids.new("conv"))
        self._output = RealtimeOutput(ids, self._writer, self._items, self._responses)
        self._session_id = ids.new("sess")
        self._session = RealtimeSession(profile, assistant, model or profile.name)
        self._responses.session = self._session
        self._former: RealtimeSession | None = None
        """Before the client's event that is worked off."""
        self._notes: list[str] = []
        """What the system said before the session began."""
        self._is_live = False
        self._waiting: list[Item] = []
        """Messages that the model was not told."""
        self._heard = _Heard()
        self._event_id: str | None = None
        """Of the client's event that is worked off."""
        self._param: str | None = None

    def greeting(self) -> Sequence[Frame]:
        """Return what a client is told before it says anything."""
        return self._told_session("session.created")

    def decode(self, frame: Frame) -> Sequence[Action]:
        """Translate an event of the client.

        Raises:
            SessionError: the frame is no event, or one that does not fit now.
        """
        self._event_id = self._param = self._former = None
        event = read_event(frame)
        event_id = event.values.get("event_id")
        self._event_id = event_id if isinstance(event_id, str) and len(event_id) <= _EVENT_ID_LIMIT else None
        try:
            return self._take(event)
        except CodecError as error:
            refusal: SessionError = as_refusal(error)
        except SessionError as error:
            refusal = error
        self._param = param_of(refusal)
        raise refusal

    def begin(self, number: int = 0, *, resume_seconds: float = 0.0) -> None:
        """Take note that the session has been admitted; these clients number no frames and cannot come back."""
        del number, resume_seconds
        self._is_live = True

    def encode(self, event: SessionEvent, token: str = "") -> Sequence[Frame]:  # noqa: ARG002 - they have no use for it
        """Translate a session event."""
        return self._output.encode(event)

    def answer(self, told: Told) -> Sequence[Frame]:
        """Translate a refusal; there is nothing else that these clients are told outside of a session."""
        if not isinstance(told, SessionFailed):
            return ()
        if self._is_live and self._former is not None:  # the assistant does not have what was asked for
            self._session = self._responses.session = self._former
        event_id, param = self._event_id, self._param
        return self._writer.failure(told, event_id=event_id, param=param)

    def survives(self, end: EndReason | SessionError) -> bool:  # noqa: ARG002 - however it ends
        """Close the connection with the session, as that API does."""
        return False

    def _take(self, event: Members) -> Sequence[Action]:
        match event.values["type"]:
            case "input_audio_buffer.append":
                return self._audio(event)
            case "session.update":
                return self._update(event.part("session"))
            case "conversation.item.create":
                return self._create(event)
            case "response.create":
                return self._respond(event.part("response"))
            case "input_audio_buffer.commit" | "input_audio_buffer.clear" as name:
                return self._commit() if name.endswith("commit") else self._say("input_audio_buffer.cleared", {})
            case "response.cancel" | "output_audio_buffer.clear" as name:
                return self._cancel(is_told=name.startswith("output"))
            case "conversation.item.truncate" | "conversation.item.retrieve" | "conversation.item.delete" as name:
                return self._item(name.rpartition(".")[2], event)
            case _:
                raise noted(UnknownEvent(), "type")

    def _update(self, session: Members) -> Sequence[Action]:
        before, after = self._session, updated(self._session, Members("session", session.values))
        if self._is_live and not after.sounds_like(before):
            text = "The formats of audio and the language are fixed once the conversation has begun."
            return self._refuse(noted(harmless(text), "session"))
        revised = [] if not self._is_live or after.is_like(before) else [Revise(after.start(notes=self._notes))]
        self._former = before
        self._session = self._responses.session = after
        # What the model knows it may still call, until its next stream knows better.
        self._output.client_tools |= {tool.name for tool in after.tools}
        return [*revised, *(Reply(frame) for frame in self._told_session("session.updated"))]

    def _audio(self, event: Members) -> Sequence[Action]:
        try:
            data = pybase64.b64decode(event.text("audio"), validate=True)
        except ValueError:
            raise noted(InvalidAudio("The audio is not base64."), "audio") from None
        if self._session.input.law is not None:
            pcm = decode_g711(data, self._session.input.law)
        else:
            data = self._heard.half + data
            whole = len(data) - len(data) % _BYTES_PER_SAMPLE
            pcm, self._heard.half = data[:whole], data[whole:]
        if not pcm:
            return ()
        hertz = self._session.input.hertz
        milliseconds = len(pcm) / _BYTES_PER_SAMPLE / hertz * 1_000
        self._output.heard_ms += milliseconds
        self._heard.uncommitted_ms += milliseconds
        size = _BYTES_PER_SAMPLE * hertz * PIECE_MS // 1_000
        pieces = [SendAudio(pcm[at : at + size]) for at in range(0, len(pcm), size)]
        return [*self._start(), *pieces]

    def _commit(self) -> Sequence[Action]:
        if not self._heard.uncommitted_ms:
            return self._refuse(harmless("The buffer has no audio that was not committed."), EMPTY_BUFFER)
        self._heard.uncommitted_ms = 0.0
        return [Reply(frame) for frame in self._output.commit()]

    def _cancel(self, *, is_told: bool) -> Sequence[Action]:
        if not self._is_live or not (self._responses.is_active or is_told):
            return self._refuse(harmless("There is no response in progress."), NOT_ACTIVE)
        self._output.cancels = True
        told = self._say("output_audio_buffer.cleared", {"response_id": self._responses.response_id or ""}) if is_told else ()
        return [Interrupt(), *told]

    def _create(self, event: Members) -> Sequence[Action]:
        item = Members("item", event.part("item").values)
        item_id = self._items.new_id(name_in(item, "id") if item.values.get("id") is not None else "")
        match item.text("type"):
            case "message":
                return self._message(item, item_id)
            case "function_call_output":
                output = Item(item_id, Kind.FUNCTION_OUTPUT, call_id=name_in(item, "call_id"), text=item.text("output"))
                if not self._is_live:
                    raise noted(UnknownCall(), "item.call_id")
                self._param = "item.call_id"
                return [SubmitToolResult(output.call_id, output.text), *self._added(output)]
            case _:
                raise noted(NotAllowed("An item is a message, or the output of a function call."), "item.type")

    def _message(self, item: Members, item_id: str) -> Sequence[Action]:
        role = item.text("role")
        if role not in _ROLES:
            raise noted(NotAllowed("A message is of the user, the assistant or the system."), "item.role")
        if self._is_live and role != "user":
            text = "What the system or the assistant said is told to the model before the conversation begins, not in it."
            return self._refuse(noted(harmless(text), "item.role"))
        message = Item(item_id, role=role, content=_ROLES[role], text=_text_of(item, "content"))
        waiting = sum(len(each.text) for each in self._waiting) + len(message.text)
        if len(self._waiting) >= WAITING_LIMIT or waiting > WAITING_CHARACTERS:
            raise noted(TooLarge("Too much was said that the model has not been asked to answer."), "item.content")
        self._waiting.append(message)
        return self._added(message)

    def _respond(self, response: Members) -> Sequence[Action]:
        if response.text("conversation", "auto") != "auto":
            raise noted(NotAllowed("There is one conversation: responses beside it cannot be had."), "response.conversation")
        inputs = [_text_of(each, "content") for each in response.parts("input") if each.text("type", "message") == "message"]
        start = self._start()
        asked = [each.text for each in self._waiting] + inputs
        text = "\n".join(filter(None, asked)) or response.text("instructions", "")
        if text:
            self._waiting.clear()
            self._responses.next_metadata = response.part("metadata").values or None
            self._output.typed(text)
            self._output.cancels = self._responses.is_active
            return [*start, SendText(text)]
        if not self._is_live:
            return self._refuse(harmless("Nothing was said yet: the assistant answers what it hears or reads."))
        return ()  # what it was given it answers by itself

    def _item(self, verb: str, event: Members) -> Sequence[Action]:
        item = self._items.get(name_in(event, "item_id"))
        if item is None:
            return self._refuse(noted(harmless("There is no such item."), "item_id"), NO_ITEM)
        if verb == "retrieve":
            return self._say("conversation.item.retrieved", {"item": item.told(self._writer.generation)})
        if verb == "delete":
            if item not in self._waiting:
                return self._refuse(noted(harmless("What the model was told cannot be taken back."), "item_id"))
            self._waiting.remove(item)
            self._items.remove(item)
            return self._say("conversation.item.deleted", {"item_id": item.item_id})
        heard_ms = event.whole("audio_end_ms", 0)
        if item.content is not Content.OUTPUT_AUDIO or heard_ms < 0:
            return self._refuse(noted(harmless("Only speech of the assistant can be cut, at a time from 0 on."), "item_id"))
        place: dict[str, Json] = {"item_id": item.item_id, "content_index": 0, "audio_end_ms": heard_ms}
        return [ReportPlayback(item.turn, heard_ms), *self._say("conversation.item.truncated", place)]

    def _start(self) -> Sequence[Start]:
        """Begin the session, unless it has begun; what was said before it is history, but for what the user said last."""
        if self._is_live:
            return ()
        last = len(self._waiting)
        while last and self._waiting[last - 1].role == "user":
            last -= 1
        before, self._waiting = self._waiting[:last], self._waiting[last:]
        roles = {"user": Role.USER, "assistant": Role.ASSISTANT}
        history = [HistoryTurn(roles[each.role], each.text) for each in before if each.role in roles and each.text]
        self._notes = [each.text for each in before if each.role == "system"]
        return (self._session.start(history, self._notes),)

    def _added(self, item: Item) -> Sequence[Reply]:
        return [Reply(frame) for frame in (*self._items.add(item), *self._items.done(item))]

    def _say(self, name: str, body: dict[str, Json]) -> Sequence[Reply]:
        return [Reply(frame) for frame in self._writer.event(name, body)]

    def _refuse(self, error: WrongOrder, code: str = "") -> Sequence[Reply]:
        """Tell of an error that does not count against the client: the libraries run into it in an ordinary conversation."""
        return [Reply(frame) for frame in self._writer.error(error, self._event_id, code)]

    def _told_session(self, name: str) -> list[str]:
        return self._writer.event(name, {"session": self._session.told(self._session_id, self._writer.generation)})


def _text_of(item: Members, key: str) -> str:
    """Return the text of a message; parts that are no text are refused."""
    if isinstance(text := item.values.get(key), str):
        return text
    texts: list[str] = []
    for number, part in enumerate(item.parts(key)):
        kind = part.text("type", "input_text")
        if kind not in _TEXT_PARTS:
            refusal = NotAllowed(f"A message consists of text; {kind[:40]!r} is not understood. Speech goes into the audio buffer.")
            raise noted(refusal, f"item.{key}[{number}].type")
        texts.append(part.text("text", ""))
    return "\n".join(texts)
