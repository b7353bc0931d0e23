"""Why something could not be published. Whatever is no Refused is tried again."""


class PublishingError(Exception):
    """It was not published; the message says why, for the log, and shows nothing of it."""


class Away(PublishingError):
    """Nobody answered, or in a way that shows that the service is broken."""


class Throttled(PublishingError):
    """Too much was sent; what is sent later is taken."""


class Denied(PublishingError):
    """We are not known, or may not do this: somebody has to look at the settings or the permissions."""


class Refused(PublishingError):
    """This will never be taken."""
