"""What can become of uploaded audio beside the errors of conversations: the same tree, so that every code has one meaning.

ClientError
└── NothingHeard    there is no speech in it
SessionError
└── StageTimeout    a stage took too long
"""

from session.errors import ClientError, SessionError


class NothingHeard(ClientError):
    """The model has understood no word of a recording, so that there is nothing to answer."""

    code, status, message = "nothing_heard", 422, "Nothing could be understood in the recording."


class StageTimeout(SessionError):
    """A stage of the way of uploaded audio took too long; what was reached before is told."""

    code, status, retryable, message = "stage_timeout", 504, True, "It takes too long at the moment. Please try again."
