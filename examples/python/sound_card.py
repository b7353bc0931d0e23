"""A microphone and a loudspeaker in files, at the pace of real ones: replace it by a real sound card."""

import wave
from collections import deque

TICK_SECONDS = 0.032


class SoundCard:
    """Both at one rate: mono, 16 bits.

    Args:
        question: what the microphone hears; silence comes after it.
        answers: gets what the loudspeaker plays.
    """

    def __init__(self, question: wave.Wave_read, answers: wave.Wave_write) -> None:
        self.hertz = question.getframerate()
        self.samples = round(self.hertz * TICK_SECONDS)  # in a tick
        self.silence = 0.0  # seconds since the question was over
        self.turn = self._heard_samples = self._flushed_turn = 0
        self._question, self._answers = question, answers
        self._speech: deque[tuple[int, bytes]] = deque()  # turn and samples that wait to be played
        answers.setparams((1, 2, self.hertz, 0, "NONE", ""))

    @property
    def heard_ms(self) -> int:
        """How much of the turn was played."""
        return self._heard_samples * 1000 // self.hertz

    def put(self, turn: int, pcm: bytes) -> None:
        """Play something when what waits has been played."""
        if turn > self._flushed_turn:
            self._speech.append((turn, pcm))

    def flush(self, turn: int) -> None:
        """Throw away what waits of this turn and those before."""
        self._flushed_turn = turn
        self._speech = deque(each for each in self._speech if each[0] > turn)

    def tick(self) -> bytes:
        """Play so much, and return what the microphone heard meanwhile."""
        size = 2 * self.samples
        while self._speech and size > 0:
            turn, pcm = self._speech.popleft()
            if turn != self.turn:
                self.turn, self._heard_samples = turn, 0
            if pcm[size:]:
                self._speech.appendleft((turn, pcm[size:]))
            self._answers.writeframesraw(pcm[:size])
            self._heard_samples += len(pcm[:size]) // 2
            size -= len(pcm)
        pcm = self._question.readframes(self.samples)
        self.silence += 0 if pcm else TICK_SECONDS
        return pcm.ljust(2 * self.samples, b"\0")
