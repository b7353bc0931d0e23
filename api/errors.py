"""What a request over plain HTTP can be told beside the errors of conversations: the same tree, so that every code has one meaning.

ClientError
└── RequestError
    ├── NotFound, MethodNotAllowed, WrongHost, ForeignOrigin                             where it went, and where it came from
    ├── InvalidParameter, InvalidBody, UnknownMember, UnsupportedMedia, BodyTooLarge, BodyTooSlow   what it carries
    ├── LinkInvalid, UnsatisfiableRange                                                  links to sound
    ├── RuleBroken, UnknownCursor, KeyReused                                             well-formed, and not to be done
    └── Conflict: SlotTaken, NotChangeable, ChangedMeanwhile, ChangedSince               not as things stand
AdmissionError
└── StorageAway
"""

from session.errors import AdmissionError, ClientError


class RequestError(ClientError):
    """A request that cannot be done; the client can mend it."""


class NotFound(RequestError):
    """There is no such resource, or it belongs to somebody else: the two are never told apart."""

    code, status, message = "not_found", 404, "There is nothing here."


class MethodNotAllowed(RequestError):
    """The resource exists and does not know this method; the header Allow has those that it knows."""

    code, status, message = "method_not_allowed", 405, "This resource does not know this method."


class WrongHost(RequestError):
    """The server listens for this machine alone, and the request names another host (DNS rebinding)."""

    code, status, message = "wrong_host", 421, "This server answers to the names of this machine only."


class ForeignOrigin(RequestError):
    """A page of an origin that is not allowed wants to change something."""

    code, status, message = "origin_refused", 403, "Pages of this origin may not do this; see ALLOWED_ORIGINS."


class InvalidParameter(RequestError):
    """A part of the address, the query or a header is unknown, missing, repeated or of the wrong form."""

    code, message = "invalid_parameter", "A parameter of the request cannot be used."


class InvalidBody(RequestError):
    """The body is no JSON object, or a member is missing or of the wrong form."""

    code, message = "invalid_body", "The body of the request cannot be used."


class UnknownMember(RequestError):
    """The body has a member that this resource does not know."""

    code, message = "unknown_member", "The body has a member that this resource does not know."


class UnsupportedMedia(RequestError):
    """The body is not application/json, or it is compressed."""

    code, status, message = "unsupported_media_type", 415, "The body must be application/json, not compressed."


class BodyTooLarge(RequestError):
    """The body is over its limit."""

    code, status, message = "body_too_large", 413, "The body is too large."


class BodyTooSlow(RequestError):
    """The body did not come in time."""

    code, status, retryable, message = "body_too_slow", 408, True, "The body did not come in time."


class LinkInvalid(RequestError):
    """The link was changed, was never made here, or has expired: the three are never told apart."""

    code, status, message = "link_refused", 403, "This link does not work, or not any more. Please ask for a new one."


class UnsatisfiableRange(RequestError):
    """The file is shorter than the part that is asked for."""

    code, status, message = "range_not_satisfiable", 416, "The file has no such part."


class RuleBroken(RequestError):
    """Well-formed, and against a rule of the shop or the clinic: the message says which."""

    code, status, message = "rule_broken", 422, "This cannot be done."


class UnknownCursor(RequestError):
    """The cursor belongs to no page of this list: it was made up, or comes from a query with other filters."""

    code, status, message = "unknown_cursor", 422, "This cursor belongs to no page of this list."


class KeyReused(RequestError):
    """The Idempotency-Key belongs to another request."""

    code, status, message = "idempotency_key_reused", 422, "This Idempotency-Key was used for another request."


class Conflict(RequestError):
    """Not as things stand now."""

    code, status, message = "conflict", 409, "This cannot be done as things stand."


class SlotTaken(Conflict):
    """The doctor has another appointment at that time."""

    code, message = "slot_taken", "The doctor has another appointment at that time."


class NotChangeable(Conflict):
    """The status of the record does not allow the change."""

    code, message = "not_changeable", "The status of the record does not allow this change."


class ChangedMeanwhile(Conflict):
    """Others changed the record each time that this request tried to."""

    code, retryable, message = "changed_meanwhile", True, "Somebody else is changing this record. Please try again."


class ChangedSince(Conflict):
    """The record is not any more as the client knows it (If-Match)."""

    code, status, message = "changed_since", 412, "The record has changed since you read it."


class StorageAway(AdmissionError):
    """The records cannot be reached now."""

    code, message = "storage_unavailable", "The records cannot be reached at the moment. Please try again in a moment."
