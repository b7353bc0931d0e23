"""What a client is told of encoded sound that cannot be used."""

from audio.errors import AudioError, NotDecoded, TooLong
from session.errors import ClientError, InvalidAudio, TooLarge, UnsupportedFormat


def as_session_error(error: AudioError) -> ClientError:
    """Return the error that a client is told."""
    if isinstance(error, NotDecoded):
        return UnsupportedFormat(str(error))
    if isinstance(error, TooLong):
        return TooLarge(str(error))
    return InvalidAudio(f"The recording cannot be read: {error}.")
