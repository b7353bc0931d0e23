"""What the user says that the model has not understood yet, kept for the stream that may come next. Pure: `now` is monotonic seconds.

A stream that dies takes with it what it was sent, and one that gives way in the middle of a word has heard half of it. So the user's audio
is kept here from the moment at which the model hears somebody speak until it has understood it or answers, and the next stream is sent all
of it before what still waits: one stream hears the whole utterance. The model notices speech when it has gone on for a moment, so what was
sent just before belongs to it; that much, the pre-roll, is kept all the time.
"""

from array import array
from collections import deque
from collections.abc import Callable, Mapping
from enum import StrEnum
from itertools import dropwhile, pairwise

from s2s.events import AudioInput, InputEvent
from session.effects import Send

PRE_ROLL_MS = 500.0
"""Audio before the model noticed somebody: onset and soft first consonants were measured to take up to that. It is 16 KB at 16 kHz, which
is what an idle session costs; the model ends a turn after longer silences, so no word of an utterance that was understood is in it."""
LIMIT_MS = 10_000.0
"""Longest utterance that is kept, 320 KB at 16 kHz: nobody wants to hear an answer to what he began to say earlier."""
FORGET_SECONDS = 10.0
"""After this an utterance that the model made nothing of was a cough."""

STILL_MS = 300.0
"""How long it has to be quiet before a stream is changed: a word is noticed by the model 100 to 300 ms after its beginning."""
FRAME_MS = 20.0
STRIDE = 8
"""Of so many samples one is looked at: how far a voice swings shows in fewer."""
LOWEST_SWING = 512
"""Between the lowest and highest sample of a frame: what is less (-42 dBFS at most) is quiet whatever came before."""
FLOOR_TIMES = 3.0
"""How much more than the floor a voice swings (9.5 dB): frames of steady noise differ by half of that."""
LISTEN_MS = 300.0
"""How often it is looked for a voice where the model does not say that it hears one."""


type Ask = Callable[[], bool]
"""Tells whether it is quiet."""
type Ear = Callable[[Ask], bool]
"""Asks, and may keep the answer, or give one that was kept: it is all that the session makes of what audio sounds like."""


def live_ear(ask: Ask) -> bool:
    """Ask."""
    return ask()


class Heed(StrEnum):
    """What the audio that is kept is."""

    NOBODY = "nobody"
    """The pre-roll alone."""
    SPEAKING = "speaking"
    """An utterance that goes on."""
    SPOKEN = "spoken"
    """One that has ended and was not understood yet."""
    UNHEARD = "unheard"
    """No stream listens, or the one that was sent it again has not noticed anything yet: there may be somebody."""


class Sign(StrEnum):
    """What changes that."""

    BEGAN = "began"
    ENDED = "ended"
    UNDERSTOOD = "understood"
    """The user's text came."""
    ANSWERED = "answered"
    CUT_OFF = "cut off"
    """No stream listens from now on."""
    FORGOTTEN = "forgotten"
    REPLIED = "replied"
    """A model that does not say when it hears somebody answers, or calls a tool: it has heard what it was sent again."""


HEEDS: Mapping[tuple[Heed, Sign], Heed] = {
    (Heed.NOBODY, Sign.BEGAN): Heed.SPEAKING,
    (Heed.NOBODY, Sign.CUT_OFF): Heed.UNHEARD,
    (Heed.SPEAKING, Sign.ENDED): Heed.SPOKEN,
    (Heed.SPEAKING, Sign.FORGOTTEN): Heed.NOBODY,
    (Heed.SPEAKING, Sign.CUT_OFF): Heed.UNHEARD,
    (Heed.SPOKEN, Sign.BEGAN): Heed.SPEAKING,
    (Heed.SPOKEN, Sign.UNDERSTOOD): Heed.NOBODY,
    (Heed.SPOKEN, Sign.ANSWERED): Heed.NOBODY,
    (Heed.SPOKEN, Sign.FORGOTTEN): Heed.NOBODY,
    (Heed.SPOKEN, Sign.CUT_OFF): Heed.UNHEARD,
    (Heed.UNHEARD, Sign.BEGAN): Heed.SPEAKING,
    (Heed.UNHEARD, Sign.FORGOTTEN): Heed.NOBODY,
    (Heed.UNHEARD, Sign.REPLIED): Heed.NOBODY,
}
"""Every pair that moves; any other pair leaves it as it is."""


class Hearing:
    """The user's latest audio.

    Args:
        input_hertz: its rate.
        listens_itself: whether to look for a voice here, because the model tells nothing when it hears one.
        ear: tells whether it is quiet.
    """

    def __init__(self, input_hertz: int, *, listens_itself: bool = False, ear: Ear = live_ear) -> None:
        self.heed = Heed.NOBODY
        self.lost_ms = 0.0
        """Since the session began: beginnings of utterances that were too long to be kept when another stream was sent the rest."""
        self._let_go_ms = 0.0
        """Of the present utterance."""
        self._bytes_per_ms = input_hertz * 2 / 1_000
        self._ear = ear
        self._kept: deque[Send] = deque()
        self._kept_ms = 0.0
        self._count = 0
        self._latest = 0
        """Number of the first piece of the latest utterance; 0 while there is none."""
        self._cut_at: int | None = None
        """How many pieces there were when there was no stream any more: later ones have never been sent."""
        self._forget_at: float | None = None
        self._listen_in_ms = LISTEN_MS if listens_itself else None

    @property
    def kept(self) -> tuple[Send, ...]:
        """What a stream that has heard nothing should be sent first: nobody said the silence at its beginning."""
        return tuple(dropwhile(lambda group: group.is_filler, self._kept))

    @property
    def kept_ms(self) -> float:
        """How long it is."""
        return self._kept_ms

    @property
    def has_speech(self) -> bool:
        """Whether somebody is known to have said something that was not understood."""
        return self._latest > 0

    @property
    def first(self) -> int:
        """Number of the first piece of what was said and not understood; 0 while there is none."""
        return self._kept[0].number if self._latest and self._kept else 0

    @property
    def is_whole(self) -> bool:
        """Whether nothing of it was let go."""
        return not self._let_go_ms

    def take(self, events: tuple[InputEvent, ...], duration_ms: float, now: float, *, is_filler: bool = False) -> Send:
        """Keep a piece of audio; return it as it is sent.

        Args:
            events: the audio.
            duration_ms: its length.
            now: monotonic seconds.
            is_filler: whether it is silence that nobody sent.
        """
        if self._forget_at is not None and now >= self._forget_at:
            self.note(Sign.FORGOTTEN, now)
        self._count += 1
        group = Send(events, duration_ms, is_filler=is_filler, number=self._count)
        self._kept.append(group)
        self._kept_ms += duration_ms
        self._trim()
        if self._listen_in_ms is not None:
            self._listen(duration_ms, now)
        return group

    def note(self, sign: Sign, now: float) -> None:
        """Take note of what the model says of the audio, or of the loss of its stream."""
        if self._listen_in_ms is not None and self.heed is Heed.UNHEARD and sign in (Sign.UNDERSTOOD, Sign.ANSWERED):
            sign = Sign.REPLIED
        before, self.heed = self.heed, HEEDS.get((self.heed, sign), self.heed)
        if sign in (Sign.UNDERSTOOD, Sign.ANSWERED) and before is Heed.SPEAKING:  # what was said earlier: an answer takes its time
            self._drop_before(self._latest)
            self._forget_at = now + FORGET_SECONDS if sign is Sign.ANSWERED else self._forget_at
        if self.heed is before:
            return
        self._forget_at = now + FORGET_SECONDS if self.heed is Heed.SPOKEN else None
        self._cut_at = self._count if self.heed is Heed.UNHEARD else None
        if before is Heed.SPOKEN and self.heed is Heed.SPEAKING:
            self._latest = self._number_ago(PRE_ROLL_MS)
        elif self.heed is Heed.SPEAKING:
            self._latest = self._count - len(self._kept) + 1
        self._trim()

    def sent_again(self, now: float) -> None:
        """Take note that another stream is sent what is kept: it will say whether somebody speaks."""
        self.lost_ms += self._let_go_ms
        if self.heed is Heed.UNHEARD:
            self._cut_at, self._forget_at = None, now + FORGET_SECONDS

    def is_still(self) -> bool:
        """Tell whether the last STILL_MS hold no voice: no frame of them swings far more than the calmest one of the pre-roll.

        Takes a tenth of a millisecond, so it is for the moment at which something hangs on it.
        """
        return self._ear(self.sounds_still)

    def sounds_still(self) -> bool:
        """Tell the same past the ear, for somebody who does not decide for the session."""
        swings = self._swings()
        loudest = max(swings[-round(STILL_MS / FRAME_MS) :], default=0)
        return loudest <= max(LOWEST_SWING, FLOOR_TIMES * min(swings, default=0))

    def _swings(self) -> list[int]:
        """Return how far each frame of the pre-roll swings: a voice does, an offset does not."""
        first = self._number_ago(PRE_ROLL_MS)
        events = (event for group in self._kept if group.number >= first for event in group.events)
        samples = array("h", b"".join(event.pcm for event in events if isinstance(event, AudioInput)))[::STRIDE]
        size = round(FRAME_MS * self._bytes_per_ms / 2 / STRIDE)
        borders = range(len(samples) % size, len(samples) + 1, size)
        frames = (samples[start:end] for start, end in pairwise(borders))
        return [max(frame) - min(frame) for frame in frames][-round(PRE_ROLL_MS / FRAME_MS) :]

    def _listen(self, duration_ms: float, now: float) -> None:
        self._listen_in_ms = (self._listen_in_ms or 0.0) - duration_ms
        if self._listen_in_ms <= 0:
            self._listen_in_ms = LISTEN_MS
            self.note(Sign.ENDED if self.is_still() else Sign.BEGAN, now)

    def _trim(self) -> None:
        """Let go of the oldest pieces: beyond the pre-roll when nobody speaks, else beyond the limit."""
        kept = self._kept
        if self.heed is Heed.NOBODY:
            self._latest, self._let_go_ms = 0, 0.0
            while kept and self._kept_ms - kept[0].audio_ms >= PRE_ROLL_MS:
                self._kept_ms -= kept.popleft().audio_ms
        while self._kept_ms > LIMIT_MS:
            oldest = self._kept[0]
            if self._cut_at is None or oldest.number <= self._cut_at:
                self._let_go_ms += oldest.audio_ms
            self._drop_before(oldest.number + 1)

    def _number_ago(self, milliseconds: float) -> int:
        """Return the number of the piece that was sent this long ago, or of the oldest that is kept."""
        for group in reversed(self._kept):
            milliseconds -= group.audio_ms
            if milliseconds <= 0:
                return group.number
        return self._count - len(self._kept) + 1

    def _drop_before(self, number: int) -> None:
        while self._kept and self._kept[0].number < number:
            self._kept_ms -= self._kept.popleft().audio_ms
        if not self._kept:
            self._kept_ms = 0.0
