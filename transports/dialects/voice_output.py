"""What a client of the voice dialect is told: `{type, data, timestamp}`.

Clients in the field switch over the types that they know and leave others aside, so speech and transcripts come as types of their own.
"""

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import orjson
import pybase64

from s2s.events import Role, Stage
from session.events import (
    EndReason,
    ExchangeRefused,
    GoingAway,
    Interrupted,
    SessionEnded,
    SessionEvent,
    SessionFailed,
    SessionStarted,
    SpeechChunk,
    SpeechEnded,
    TranscriptUpdated,
)
from transports.dialects.flat_message import Answers, error_members
from transports.dialects.interface import Frame, Milliseconds

_TYPED_LIMIT: Final = 64
"""Typed texts that wait to be confirmed; a client waits for one answer at a time."""


@dataclass(frozen=True, slots=True)
class Recorder:
    """The client's recorder, as its voice_start describes it."""

    audio_format: str
    session_id: str
    """The client's own name for it; empty when it has none."""


@dataclass(frozen=True, slots=True)
class _Typed:
    """A text_message that the session has not confirmed yet."""

    text: str
    session_id: str
    message_id: str


class VoiceOutput:
    """The way down of one connection.

    Args:
        clock: wall-clock milliseconds.
    """

    def __init__(self, clock: Milliseconds) -> None:
        self._clock = clock
        self._recorder: Recorder | None = None
        """The latest one of this session: once there is one, the client hears speech."""
        self._is_recording = False
        self._server_id = ""
        self._output_hertz = 0
        self._owed: list[str] = []
        """Answers to the recorder that wait for the session to start."""
        self._typed: deque[_Typed] = deque(maxlen=_TYPED_LIMIT)
        self._number = 0
        """Of messages with an id."""
        self._answers = Answers()
        self._asked: _Typed | None = None
        """The typed text that is answered now; None when the user spoke last."""

    @property
    def _session_id(self) -> str:
        """The name that the client knows the session by."""
        return (self._recorder.session_id if self._recorder is not None else "") or self._server_id

    def is_named(self, name: str) -> bool:
        """Tell whether the client may mean its session by this name."""
        return name in (self._session_id, self._server_id) or (not self._server_id and self._session_id == "")

    def name_of(self, session_id: str) -> str:
        """Return the name that the client knows a session by, which need not be the one that it talks in."""
        return self._session_id if self._server_id == session_id else session_id

    def open(self, recorder: Recorder) -> Sequence[Frame]:
        """Take note of a recorder; return the answer, if the session has started."""
        self._recorder, self._is_recording = recorder, True
        return self._answer("ACTIVE")

    def close(self) -> Sequence[Frame]:
        """Take note that the recorder was stopped; return the answer, if the session has started."""
        self._is_recording = False
        return self._answer("COMPLETED")

    def received(self) -> Frame:
        """Return what confirms a piece of audio."""
        return self.message("voice_data_received", {"sessionId": self._session_id})

    def expect(self, text: str, session_id: str, message_id: str) -> None:
        """Take note of a typed text that the session is given.

        Args:
            text: as the session will repeat it.
            session_id: as the client named it; empty if it did not.
            message_id: likewise.
        """
        self._typed.append(_Typed(text, session_id, message_id))

    def forget(self) -> None:
        """Take note that there is no session."""
        self._recorder, self._is_recording = None, False
        self._server_id, self._asked, self._answers = "", None, Answers()
        self._owed.clear()
        self._typed.clear()

    def error(self, failed: SessionFailed | ExchangeRefused) -> Frame:
        """Return what tells that something went wrong."""
        return self.message("error", error_members(failed))

    def message(self, kind: str, data: Mapping[str, object]) -> Frame:
        """Return a message."""
        at = datetime.fromtimestamp(self._clock() / 1_000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        return orjson.dumps({"type": kind, "data": data, "timestamp": at}).decode()

    def encode(self, event: SessionEvent) -> Sequence[Frame]:
        """Return the messages of an event; none if this dialect does not speak of it."""
        match event:
            case SpeechChunk() | SpeechEnded() | Interrupted():
                return self._speech(event) if self._recorder is not None else ()
            case TranscriptUpdated():
                return self._transcript(event)
            case SessionStarted():
                return self._started(event)
            case GoingAway(time_left_ms):
                return (self.message("server_leaving", {"sessionId": self._session_id, "timeLeftMs": time_left_ms}),)
            case SessionFailed() | ExchangeRefused():
                return (self.error(event),)
            case SessionEnded():
                return self._ended(event)
            case _:
                return ()

    def _answer(self, status: str) -> Sequence[Frame]:
        self._owed.append(status)
        return self._pay() if self._server_id else ()

    def _pay(self) -> Sequence[Frame]:
        """Return the answers to the recorder that are owed."""
        owed, self._owed = self._owed, []
        return [self._recorder_answer(status) for status in owed]

    def _recorder_answer(self, status: str) -> Frame:
        session = {"sessionId": self._session_id, "status": status, "serverSessionId": self._server_id}
        if status != "ACTIVE":
            return self.message("voice_session_ended", session)
        audio_format = self._recorder.audio_format if self._recorder is not None else ""
        speech = {"outputFormat": "pcm", "outputSampleRate": self._output_hertz}
        return self.message("voice_session_started", {**session, "audioFormat": audio_format, **speech})

    def _started(self, started: SessionStarted) -> Sequence[Frame]:
        self._server_id, self._output_hertz = started.session_id, started.output_hertz
        return self._pay()

    def _ended(self, ended: SessionEnded) -> Sequence[Frame]:
        was_recording, owed = self._is_recording, self._pay() if self._server_id else ()
        status = "ERROR" if ended.reason is EndReason.FAILED else "COMPLETED"
        last = [self._recorder_answer(status)] if was_recording else []
        self.forget()
        return (*owed, *last)

    def _speech(self, event: SpeechChunk | SpeechEnded | Interrupted) -> Sequence[Frame]:
        session = {"sessionId": self._session_id, "turn": event.turn}
        match event:
            case SpeechChunk(pcm=pcm):
                audio = {"audioData": pybase64.b64encode(pcm).decode(), "format": "pcm", "sampleRate": self._output_hertz}
                return (self.message("audio_response", {**audio, **session}),)
            case SpeechEnded():
                return (self.message("audio_response_end", session),)
            case Interrupted(heard_ms=heard_ms):
                return (self.message("audio_interrupted", {**session, "heardMs": heard_ms}),)

    def _transcript(self, said: TranscriptUpdated) -> Sequence[Frame]:
        if said.role is Role.USER:
            typed = self._confirmed(said.text)
            return (self._spoken(said),) if typed is None else (self._received(typed),)
        if not self._answers.tells(said):
            return ()
        answer = {"content": said.text, "sessionId": self._session_id, "messageId": self._new_id(), "turn": said.turn}
        if self._asked is not None:
            answer |= {"sessionId": self._asked.session_id, "inReplyTo": self._asked.message_id}
        return (self.message("ai_response", answer),)

    def _spoken(self, said: TranscriptUpdated) -> Frame:
        self._asked = None
        heard = {"content": said.text, "role": "USER", "isFinal": said.stage is Stage.FINAL, "confidence": None}
        return self.message("transcription", {**heard, "sessionId": self._session_id, "turn": said.turn})

    def _received(self, typed: _Typed) -> Frame:
        self._asked = _Typed(typed.text, typed.session_id or self._session_id, typed.message_id or self._new_id())
        received = {"content": typed.text, "sessionId": self._asked.session_id, "messageId": self._asked.message_id}
        return self.message("text_message_received", received)

    def _confirmed(self, text: str) -> _Typed | None:
        """Return the typed text that the session repeats; those before it were not taken."""
        if all(typed.text != text for typed in self._typed):
            return None
        while (typed := self._typed.popleft()).text != text:
            pass
        return typed

    def _new_id(self) -> str:
        self._number += 1
        return f"{self._server_id}:{self._number}"
