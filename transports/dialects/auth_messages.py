"""How a client of any dialect says who it is on an open connection: `{"type":"auth","token":"..."}`, answered by `auth.accepted`."""

from collections.abc import Mapping
from typing import Final

import orjson

from session.errors import BadFrame
from transports.dialects.interface import Frame

TOKEN_LIMIT: Final = 8_192
"""Characters of a token: those of Cognito have about one thousand, more with many groups. A header line ends there as well."""
MESSAGE_LIMIT_BYTES: Final = TOKEN_LIMIT + 1_024
_MARK: Final = '"auth"'
"""In every such message and in next to no other: base64 has no quotation marks, and those inside of strings are escaped."""


def is_auth(frame: Frame) -> bool:
    """Return whether a frame is an `auth` message."""
    return _auth_message(frame) is not None


def token_in(frame: Frame) -> str | None:
    """Return the token of an `auth` message, None of any other frame.

    Raises:
        BadFrame: it is one, and has no token that could be one.
    """
    message = _auth_message(frame)
    if message is None:
        return None
    token = message.get("token")
    if not isinstance(token, str) or len(token) > TOKEN_LIMIT:
        raise BadFrame(f'"token" must be a string of up to {TOKEN_LIMIT:,} characters.')
    return token


def _auth_message(frame: Frame) -> Mapping[str, object] | None:
    if isinstance(frame, bytes) or len(frame) > MESSAGE_LIMIT_BYTES or _MARK not in frame:
        return None
    try:
        message = orjson.loads(frame)
    except orjson.JSONDecodeError:
        return None
    return message if isinstance(message, dict) and message.get("type") == "auth" else None


def accepted(user_id: str, expires_at: float | None) -> str:
    """Return the answer to a token that is good.

    Args:
        user_id: whose it is.
        expires_at: seconds since 1970 until when; None for always.
    """
    return orjson.dumps({"type": "auth.accepted", "user_id": user_id, "expires_at": expires_at}).decode()
