"""The dialect of voice_start, voice_data, voice_end, text_message and ping: `{type, data?, timestamp?}`, text frames alone.

A conversation begins with the first voice_start or text_message and lasts as long as the connection, whether its microphone is open or not:
recorders of browsers are stopped before the answer comes. docs/reference/voice-dialect.md has all messages.
"""

from collections.abc import Callable, Mapping, Sequence
from enum import Enum, auto
from typing import Final

from audio.formats import MEDIA_TYPES, Format
from s2s.limits import RATES_HERTZ, clean_text
from session.errors import NotAllowed, SessionError, UnknownEvent, UnsupportedFormat, WrongOrder
from session.events import EndReason, Interrupt, SendText, SessionEnded, SessionEvent, SessionFailed, Start, StopAudio
from session.notices import Notice
from transports.dialects.flat_message import FlatMessage, pieces_of
from transports.dialects.interface import Action, Frame, Milliseconds, Reply, SendEncoded, Told, stays_open
from transports.dialects.voice_notices import notice_members
from transports.dialects.voice_output import Recorder, VoiceOutput

_ENCODINGS: Final[Mapping[str, str]] = {
    **{media: encoding.value for media, encoding in MEDIA_TYPES.items()},
    **{media.partition("/")[2]: encoding.value for media, encoding in MEDIA_TYPES.items()},
    "opus": Format.WEBM.value,
}
"""Names of formats that are decoded before the session gets them; parameters such as `;codecs=opus` are left aside."""
_PCM: Final = frozenset({"pcm", "lpcm", "pcm16", "audio/pcm", "audio/lpcm", "audio/l16"})
_DEFAULT_FORMAT: Final = "webm"
"""What the clients in the field mean when they name none."""


class Microphone(Enum):
    """The client's recorder."""

    NEVER = auto()
    OPEN = auto()
    CLOSED = auto()


class VoiceDialect:
    """One connection of a client of this kind.

    Args:
        clock: wall-clock milliseconds, for the timestamps.
        encodings: names of the formats that the server decodes.
    """

    name = "voice"

    def __init__(self, clock: Milliseconds, encodings: frozenset[str] = frozenset()) -> None:
        self.dropped_frames = 0
        self._encodings = encodings
        self._output = VoiceOutput(clock)
        self._microphone = Microphone.NEVER
        self._begun: Start | None = None
        """What the running session was begun with; None when none runs."""
        self._wanted = Start()
        """What the next session is begun with."""
        self._recorder: Recorder | None = None
        """Who speaks in the next session from its beginning."""
        self._encoding = ""
        """Of the recorder; empty when it sends samples."""
        self._recording = 0
        self._types: Mapping[str, Callable[[FlatMessage], Sequence[Action]]] = {
            "voice_start": self._voice_start,
            "voice_data": self._voice_data,
            "voice_end": self._voice_end,
            "voice_interrupt": self._voice_interrupt,
            "text_message": self._text_message,
            "ping": self._ping,
            "connection_init": self._connection_init,
        }

    def decode(self, frame: Frame) -> Sequence[Action]:
        """Translate a message of the client.

        Raises:
            SessionError: it cannot be used; the connection can go on.
        """
        message = FlatMessage(frame)
        kind = message.kind("type") or ("ping" if message.kind("action") == "ping" else "")
        take = self._types.get(kind)
        if take is None:
            raise UnknownEvent(f"There is no such message; there are {', '.join(self._types)}.")
        return take(message)

    def begin(self, number: int = 0, *, resume_seconds: float = 0.0) -> None:  # noqa: ARG002 - these clients cannot come back
        """Begin to tell of the session that was asked for."""
        self._begun = self._wanted
        if self._recorder is not None:
            self._microphone = Microphone.OPEN
            self._output.open(self._recorder)
            self._recorder = None

    def encode(self, event: SessionEvent, token: str = "") -> Sequence[Frame]:  # noqa: ARG002 - likewise
        """Translate a session event."""
        frames = self._output.encode(event)
        if isinstance(event, SessionEnded):
            self._begun = None
            self._microphone = Microphone.NEVER if self._microphone is Microphone.NEVER else Microphone.CLOSED
        return frames

    def answer(self, told: Told) -> Sequence[Frame]:
        """Translate a refusal; there is nothing else that these clients are told outside of a session."""
        if not isinstance(told, SessionFailed):
            return ()
        if self._begun is None:  # what was asked for was not begun
            self._recorder = None
            self._output.forget()
        return (self._output.error(told),)

    def notify(self, notice: Notice) -> Sequence[Frame]:
        """Translate what came about past the connection."""
        kind, data = notice_members(notice, self._output.name_of(notice.session_id))
        return (self._output.message(kind, data),)

    def survives(self, end: EndReason | SessionError) -> bool:
        """Keep the connection for another conversation, unless the server leaves: then they reconnect, to another one."""
        return stays_open(end)

    def _voice_start(self, message: FlatMessage) -> Sequence[Action]:
        self._microphone = Microphone.CLOSED  # whatever becomes of this: what comes of a recorder that is refused is no mistake
        named = message.name("audioFormat") or _DEFAULT_FORMAT
        encoding = self._encoding_of(named)
        wanted = Start(
            assistant=message.name("assistant") or None,
            language=message.name("language") or None,
            voice_id=message.name("voice") or None,
            input_hertz=16_000 if encoding else _rate(message),
        )
        self._encoding = encoding
        self._recording += 1
        recorder = Recorder(named, message.name("sessionId"))
        if self._begun == wanted:  # a conversation that was typed, or whose recorder was stopped, goes on
            self._microphone = Microphone.OPEN
            return tuple(Reply(frame) for frame in self._output.open(recorder))
        self._wanted, self._recorder = wanted, recorder
        return (wanted,)

    def _encoding_of(self, named: str) -> str:
        """Return what decodes a format; empty for samples.

        Raises:
            UnsupportedFormat: nothing does.
        """
        media = named.partition(";")[0].strip().lower()
        if media in _PCM:
            return ""
        encoding = _ENCODINGS.get(media, "")
        if encoding in self._encodings:
            return encoding
        if encoding:
            raise UnsupportedFormat(
                f"This server has no decoder for {encoding}: send pcm, or have PyAV installed on the server (requirements-webm.txt)."
            )
        raise UnsupportedFormat(f"This server reads {', '.join((*sorted(self._encodings), 'pcm'))}.")

    def _voice_data(self, message: FlatMessage) -> Sequence[Action]:
        if self._microphone is Microphone.NEVER:
            raise WrongOrder("voice_data comes after voice_start.")
        if self._microphone is not Microphone.OPEN:
            self.dropped_frames += 1  # recorders hand over their last piece when they have been stopped
            return ()
        self._check_session(message)
        receipt = Reply(self._output.received(), is_receipt=True)
        if self._encoding:
            return (SendEncoded(self._encoding, self._recording, message.data("audioData")), receipt)
        return (*pieces_of(message.pcm("audioData"), self._wanted.input_hertz), receipt)

    def _voice_end(self, message: FlatMessage) -> Sequence[Action]:
        if self._microphone is not Microphone.OPEN:
            raise WrongOrder("voice_end comes after voice_start.")
        self._check_session(message)
        self._microphone = Microphone.CLOSED
        return (StopAudio(), *(Reply(frame) for frame in self._output.close()))

    def _voice_interrupt(self, message: FlatMessage) -> Sequence[Action]:
        self._check_session(message)
        if self._begun is None:
            raise WrongOrder("There is no conversation.")
        return (Interrupt(),)

    def _text_message(self, message: FlatMessage) -> Sequence[Action]:
        text = clean_text(message.text("content")).strip()
        self._output.expect(text, message.name("sessionId"), message.name("messageId"))
        if self._begun is not None:
            return (SendText(text),)
        self._wanted, self._recorder = Start(), None
        return (self._wanted, SendText(text))

    def _ping(self, _message: FlatMessage) -> Sequence[Action]:
        return (Reply(self._output.message("pong", {})),)

    def _connection_init(self, _message: FlatMessage) -> Sequence[Action]:
        return (Reply(self._output.message("connection_ack", {})),)

    def _check_session(self, message: FlatMessage) -> None:
        """Refuse what is meant for another session than the one that this connection has."""
        named = message.name("sessionId")
        if named and not self._output.is_named(named):
            raise WrongOrder("This connection has no session with this id.")


def _rate(message: FlatMessage) -> int:
    rate = message.whole("sampleRate")
    if rate is None:
        return 16_000
    if rate not in RATES_HERTZ:
        raise NotAllowed(f'"sampleRate" must be one of {", ".join(map(str, RATES_HERTZ))}.')
    return rate
