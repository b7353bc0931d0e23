"""When a conversation ends because nobody says anything. Pure: `now` is monotonic seconds.

An open microphone is somebody who is there: its audio counts, be it the noise of a room alone, as the open line of a telephone does.
Samples that are all zero do not: clients that never pause send them for a microphone that is muted or missing. Nor does the silence
that the session itself sends, nor what a client's program does alone: pings, reports of its playback.
"""

from s2s.events import AudioOutput, TextOutput, ToolUse
from session.calls import Calls
from session.continuation import NEVER
from session.effects import Input, ModelEvent, ToolDone
from session.events import SendAudio, SendText, SubmitToolResult
from session.hearing import Ear
from session.queues import PlaybackQueue

LOOKS = 10
"""How often it is looked, within the time that is borne, whether audio that came was any sound."""


class Idleness:
    """Knows since when nobody has said anything.

    Args:
        seconds: how long that is borne; 0 is for ever.
        calls: nobody is idle while a tool runs,
        playback: or while there is something to hear.
        ear: tells whether the user's audio is quiet.
    """

    def __init__(self, seconds: float, calls: Calls, playback: PlaybackQueue, ear: Ear) -> None:
        self._seconds = seconds or NEVER
        self._calls = calls
        self._playback = playback
        self._ear = ear
        self._since = self._looked_at = 0.0
        self._has_audio = False
        """Since it was looked last."""
        self._has_sounded = False
        """The same."""

    @property
    def deadline(self) -> float:
        """When to ask `is_over`."""
        return min(self._since + self._seconds, self._looked_at + self._seconds / LOOKS)

    def begin(self, now: float) -> None:
        """Take note that the session listens from now on."""
        self._since = self._looked_at = now

    def take(self, given: Input, now: float) -> None:
        """Take note of what somebody said."""
        match given:
            case SendAudio(pcm):
                self._has_audio = True
                self._has_sounded = self._has_sounded or pcm != bytes(len(pcm))
            case SendText() | SubmitToolResult() | ToolDone():
                self._since = now
            case ModelEvent(event=AudioOutput() | TextOutput() | ToolUse()):
                self._since = now
            case _:
                pass

    def is_over(self, now: float) -> bool:
        """Tell whether the session is to end."""
        if now < self.deadline:
            return False
        if self._calls.running or self._playback.is_playing(now) or self._heard_something():
            self._since = now
        self._looked_at = now
        return now >= self._since + self._seconds

    def _heard_something(self) -> bool:
        """Tell whether there was a sound since it was looked last."""
        if not self._has_audio:
            return False
        is_quiet = self._ear(lambda: not self._has_sounded)
        self._has_audio = self._has_sounded = False
        return not is_quiet
