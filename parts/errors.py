"""Why the server cannot start."""


class StartFailed(Exception):
    """The server cannot start; the message says in one line what to do."""


class NoCredentials(StartFailed):
    """There is nobody to sign requests as."""
