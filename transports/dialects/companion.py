"""The dialect of initSession, textInput and audioInput: a companion of patients, in JSON that a person can type.

A session begins with the patient's name. Typed text is answered in text; once the client has sent audio, the answers are also heard.
docs/reference/companion-dialect.md has all messages.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import orjson
import pybase64

from s2s.events import Role
from session.errors import BadFrame, SessionError, UnknownEvent, UnknownPatient, WrongOrder
from session.events import (
    End,
    EndReason,
    ExchangeRefused,
    SendText,
    SessionEnded,
    SessionEvent,
    SessionFailed,
    SessionStarted,
    SpeechChunk,
    Start,
    TranscriptUpdated,
)
from transports.dialects.flat_message import Answers, FlatMessage, error_members, pieces_of
from transports.dialects.interface import Action, Frame, PatientFound, Reply, StartFor, Told, stays_open

ASSISTANT: Final = "buddy"
INPUT_HERTZ: Final = 16_000
OUTPUT_HERTZ: Final = 24_000
_PATIENT_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")


@dataclass(slots=True)
class _Talk:
    """One session with a patient."""

    shows_user: bool = False
    """Whether the client wants to see what the user says."""
    hears: bool = False
    """Whether the client has sent audio, so that it is answered with speech."""
    patient: str = ""
    """The name."""
    answers: Answers = field(default_factory=Answers)

    def meet(self, found: PatientFound) -> None:
        """Take note of who it is with."""
        self.patient = found.name


class CompanionDialect:
    """One connection of a client of this kind."""

    name = "companion"

    def __init__(self) -> None:
        self.dropped_frames = 0
        self._talk: _Talk | None = None
        """The session that runs."""
        self._wanted: _Talk | None = None
        """The session that was asked for last."""
        self._actions: Mapping[str, Callable[[FlatMessage], Sequence[Action]]] = {
            "initSession": self._init_session,
            "textInput": self._text_input,
            "audioInput": self._audio_input,
            "endSession": self._end_session,
            "ping": self._ping,
        }

    def decode(self, frame: Frame) -> Sequence[Action]:
        """Translate a message of the client.

        Raises:
            SessionError: it cannot be used; the connection can go on.
        """
        message = FlatMessage(frame)
        take = self._actions.get(message.kind("action"))
        if take is None:
            raise UnknownEvent(f"There is no such action; there are {', '.join(self._actions)}.")
        return take(message)

    def begin(self, number: int = 0, *, resume_seconds: float = 0.0) -> None:  # noqa: ARG002 - these clients cannot come back
        """Begin to tell of the session that was asked for."""
        self._talk = self._wanted

    def encode(self, event: SessionEvent, token: str = "") -> Sequence[Frame]:  # noqa: ARG002 - likewise
        """Translate a session event; none if this dialect does not speak of it."""
        talk = self._talk
        match event:
            case SessionFailed() | ExchangeRefused():
                return (_error(event),)
            case SessionStarted() if talk is not None:
                return (_dump({"status": "initialized", "patientName": talk.patient}),)
            case SpeechChunk(pcm=pcm) if talk is not None and talk.hears:
                return (_dump({"type": "audioOutput", "audio": pybase64.b64encode(pcm).decode()}),)
            case TranscriptUpdated() if talk is not None:
                return _transcript(event, talk)
            case SessionEnded(reason=reason):
                self._talk = None
                return (_dump({"status": "ended"}),) if reason is EndReason.CLIENT else ()
            case _:
                return ()

    def answer(self, told: Told) -> Sequence[Frame]:
        """Translate a refusal; there is nothing else that these clients are told outside of a session."""
        return (_error(told),) if isinstance(told, SessionFailed) else ()

    def survives(self, end: EndReason | SessionError) -> bool:
        """Keep the connection for another session, unless the server leaves."""
        return stays_open(end)

    def _init_session(self, message: FlatMessage) -> Sequence[Action]:
        patient_id = message.name("patientId")
        if not patient_id:
            raise BadFrame('initSession needs a "patientId".')
        if not _PATIENT_ID.fullmatch(patient_id):
            raise UnknownPatient
        self._wanted = _Talk(shows_user=message.is_set("transcripts"))
        return (StartFor(patient_id, Start(assistant=ASSISTANT, input_hertz=INPUT_HERTZ, output_hertz=OUTPUT_HERTZ), self._wanted.meet),)

    def _text_input(self, message: FlatMessage) -> Sequence[Action]:
        if self._talk is None:
            raise WrongOrder("textInput comes after initSession.")
        return (SendText(message.text("text")),)

    def _audio_input(self, message: FlatMessage) -> Sequence[Action]:
        if self._wanted is None:
            raise WrongOrder("audioInput comes after initSession.")
        pcm = message.pcm("audio")
        if self._talk is None:
            self.dropped_frames += 1  # a recorder that does not know yet that the session has ended
            return ()
        self._talk.hears = True
        return pieces_of(pcm, INPUT_HERTZ)

    def _end_session(self, _message: FlatMessage) -> Sequence[Action]:
        if self._talk is None:
            raise WrongOrder("There is no session.")
        return (End(),)

    def _ping(self, _message: FlatMessage) -> Sequence[Action]:
        return (Reply(_dump({"type": "pong"})),)


def _transcript(said: TranscriptUpdated, talk: _Talk) -> Sequence[Frame]:
    is_told = talk.shows_user if said.role is Role.USER else talk.answers.tells(said)
    return (_text(said),) if is_told else ()


def _text(said: TranscriptUpdated) -> Frame:
    return _dump({"type": "textOutput", "text": said.text, "role": said.role.value})


def _error(failed: SessionFailed | ExchangeRefused) -> Frame:
    return _dump({"type": "error", **error_members(failed)})


def _dump(message: Mapping[str, object]) -> Frame:
    return orjson.dumps(message).decode()
