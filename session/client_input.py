"""What of a client's words and sound is taken. Pure."""

from typing import Final

from s2s.limits import clean_text
from session.errors import InvalidAudio, NotAllowed, TooLarge, WrongOrder

TEXT_LIMIT_BYTES: Final = 4_000
"""Longest typed turn, in UTF-8."""
AUDIO_LIMIT_MS: Final = 2_000.0
"""Longest single piece of audio."""


def typed_words(text: str, *, takes_text: bool) -> str:
    """Return the words of a typed turn.

    Args:
        text: as it came.
        takes_text: whether the model answers typed turns.

    Raises:
        NotAllowed: it does not.
        WrongOrder: there are no words.
        TooLarge: there are too many.
    """
    text = clean_text(text).strip()
    if not takes_text:
        raise NotAllowed("This model does not answer typed text; speak to it.")
    if not text:
        raise WrongOrder("The text is empty.")
    if len(text.encode()) > TEXT_LIMIT_BYTES:
        raise TooLarge(f"A text can have {TEXT_LIMIT_BYTES} bytes at most.")
    return text


def check_audio(pcm: bytes, duration_ms: float) -> None:
    """Refuse a piece of audio that no stream is sent.

    Raises:
        InvalidAudio: no whole samples.
        TooLarge: it is too long.
    """
    if len(pcm) % 2 or not pcm:
        raise InvalidAudio
    if duration_ms > AUDIO_LIMIT_MS:
        raise TooLarge("A piece of audio is too long; send 20 to 100 ms at a time.")
