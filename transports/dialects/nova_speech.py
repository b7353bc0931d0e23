"""Speech on its way to a raw-event client, cut so that every frame's base64 can stand alone and be joined to the next.

One client joins the base64 strings before it decodes them: padding in the middle silences it, so a frame's PCM must be a multiple of
3 bytes, and of 2 to hold whole samples. What is left over waits for the next frame, or for the end of its block.
"""

from collections.abc import Sequence
from typing import Final

from s2s.events import AudioOutput, ContentStarted

UNIT_BYTES: Final = 6
FRAME_BYTES: Final = 1_280 * UNIT_BYTES
"""160 ms at 24 kHz, 10 kB of base64: AWS's AgentCore server cuts frames at that size as well."""


class SpeechCutter:
    """The open AUDIO block of one connection."""

    def __init__(self) -> None:
        self._block: ContentStarted | None = None
        self._left = b""

    def open(self, block: ContentStarted) -> None:
        """Begin a block."""
        self._block = block
        self._left = b""

    def drop(self) -> None:
        """Forget what was left over: the user interrupted."""
        self._left = b""

    def cut(self, content_id: str, pcm: bytes) -> Sequence[AudioOutput]:
        """Return the frames that are complete with this piece."""
        ready = self._left + pcm
        whole = len(ready) - len(ready) % UNIT_BYTES
        self._left = ready[whole:]
        return [self._frame(content_id, ready[start : min(start + FRAME_BYTES, whole)]) for start in range(0, whole, FRAME_BYTES)]

    def close(self, content_id: str) -> Sequence[AudioOutput]:
        """Return the last frame, filled up with silence, if anything is left over."""
        left, self._left = self._left, b""
        return [self._frame(content_id, left.ljust(UNIT_BYTES, b"\0"))] if left else []

    def _frame(self, content_id: str, pcm: bytes) -> AudioOutput:
        block = self._block
        if block is None:
            return AudioOutput("", "", "", content_id, pcm)
        return AudioOutput(block.session_id, block.prompt_name, block.completion_id, content_id or block.content_id, pcm)
