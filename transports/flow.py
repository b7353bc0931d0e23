"""How much one client may send: beyond it the server reads slowly, and TCP pushes the client back."""

from typing import Final

AUDIO_RATE: Final = 4.0
"""Seconds of audio taken per second: real clients send one, a browser that was frozen catches up at most with a few."""
AUDIO_BURST_SECONDS: Final = 2.0
MESSAGE_RATE: Final = 50.0
"""Messages other than audio per second; the page sends four reports of its playback."""
MESSAGE_BURST: Final = 1_000.0
"""A raw client's opening has three messages for each turn of its history."""
BYTES_PER_SAMPLE: Final = 2


class TokenBucket:
    """Grants amounts at a steady rate with a burst; what goes beyond is owed, and answered with the time to wait.

    Args:
        rate: tokens per second.
        burst: tokens that an idle client may spend at once.
        now: monotonic seconds.
    """

    __slots__ = ("_at", "_burst", "_rate", "_tokens")

    def __init__(self, rate: float, burst: float, now: float) -> None:
        self._rate = rate
        self._burst = burst
        self._tokens = burst
        self._at = now

    def take(self, amount: float, now: float) -> float:
        """Spend tokens and return how many seconds to wait before the next message is read, 0 if none."""
        self._tokens = min(self._burst, self._tokens + (now - self._at) * self._rate) - amount
        self._at = now
        return max(0.0, -self._tokens / self._rate)


class ClientFlow:
    """The limits of one connection.

    Args:
        now: monotonic seconds.
    """

    __slots__ = ("_audio", "_messages", "input_hertz")

    def __init__(self, now: float) -> None:
        self.input_hertz = 16_000
        self._audio = TokenBucket(AUDIO_RATE, AUDIO_BURST_SECONDS, now)
        self._messages = TokenBucket(MESSAGE_RATE, MESSAGE_BURST, now)

    def audio(self, pcm: bytes, now: float) -> float:
        """Account for a piece of audio; return the seconds to wait."""
        return self._audio.take(len(pcm) / BYTES_PER_SAMPLE / self.input_hertz, now)

    def message(self, now: float) -> float:
        """Account for any other message; return the seconds to wait."""
        return self._messages.take(1.0, now)
