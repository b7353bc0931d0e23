"""Cuts a stream of sound into what is spoken between two silences. Pure."""

from collections import deque
from dataclasses import dataclass

from nova_sonic_local.events import Endpointing
from nova_sonic_local.turns import LONGEST_SPEECH_SECONDS, PRE_ROLL_MS
from nova_sonic_local.vad import FRAME_MS, PAUSE_MS, Change, VoiceDetector


@dataclass(frozen=True, slots=True)
class Began:
    """Somebody speaks."""

    at_ms: int


@dataclass(frozen=True, slots=True)
class Sound:
    """A piece of speech, with a little of what came before the first."""

    pcm: bytes
    until_ms: int


@dataclass(frozen=True, slots=True)
class Ended:
    """The speech is over."""

    at_ms: int


type Step = Began | Sound | Ended


class Segments:
    """Follows one stream.

    Args:
        hertz: of the samples, 16-bit mono.
    """

    def __init__(self, hertz: int) -> None:
        self._detector = VoiceDetector(PAUSE_MS[Endpointing.MEDIUM])
        self._frame_bytes = 2 * hertz * FRAME_MS // 1000
        self._longest_ms = LONGEST_SPEECH_SECONDS * 1000
        self._rest = b""
        self._recent: deque[bytes] = deque(maxlen=PRE_ROLL_MS // FRAME_MS)
        self._now_ms = 0
        self._began_ms = 0

    def feed(self, pcm: bytes) -> list[Step]:
        """Take samples, however they are cut, and return what they bring; silence brings nothing."""
        data = self._rest + pcm
        whole = len(data) - len(data) % self._frame_bytes
        self._rest = data[whole:]
        steps: list[Step] = []
        for start in range(0, whole, self._frame_bytes):
            steps += self._frame(data[start : start + self._frame_bytes])
        return steps

    def finish(self) -> list[Step]:
        """End the speech, because no more will come."""
        change = self._detector.stop()
        return [] if change is None else [Ended(change.at_ms)]

    def _frame(self, frame: bytes) -> list[Step]:
        self._now_ms += FRAME_MS
        self._recent.append(frame)
        was_speaking = self._detector.is_speaking
        change = self._detector.feed(frame)
        if change is not None and change.change is Change.STARTED:
            self._began_ms = change.at_ms
            return [Began(change.at_ms), Sound(b"".join(self._recent), self._now_ms)]
        steps: list[Step] = [Sound(frame, self._now_ms)] if was_speaking else []
        if change is not None:
            steps.append(Ended(change.at_ms))
        elif self._detector.is_speaking and self._now_ms - self._began_ms >= self._longest_ms:
            steps += self.finish()  # nobody pauses: what follows is heard as something new
        return steps
