"""What can be wrong with encoded sound. The messages are for whoever sent it: they quote nothing of it.

AudioError
├── Unreadable   it is not what it should be
├── TooLong      there is more in it than may be
└── NotDecoded   nothing here decodes it
"""


class AudioError(ValueError):
    """The sound cannot be used."""


class Unreadable(AudioError):
    """The bytes are damaged, cut off before any sound, or of another format than they claim."""


class TooLong(AudioError):
    """The bytes are more sound than may come at once, or more than there is time for."""


class NotDecoded(AudioError):
    """The format is one that this server does not read."""
