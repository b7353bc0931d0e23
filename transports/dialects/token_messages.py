"""The messages with which a client of any dialect says who it is, as docs/reference/asyncapi.yaml has them."""

from typing import Final

from transports.dialects.auth_messages import TOKEN_LIMIT
from transports.dialects.messages import NUMBER, TEXT, Message, Schema, Sender, constant, members, or_null

_TOKEN: Final[Schema] = {"type": "string", "maxLength": TOKEN_LIMIT, "description": "Keep it secret, and out of addresses."}

MESSAGES: Final = (
    Message(
        "auth",
        Sender.CLIENT,
        "Say who you are, first of all or again before the token expires; not needed when the handshake said it.",
        members({"type": constant("auth"), "token": _TOKEN}),
        {"type": "auth", "token": "eyJhbGciOi…"},
    ),
    Message(
        "auth.accepted",
        Sender.SERVER,
        "The token is good, until this time in seconds since 1970, or for ever.",
        members({"type": constant("auth.accepted"), "user_id": TEXT, "expires_at": or_null(NUMBER)}),
        {"type": "auth.accepted", "user_id": "u-17", "expires_at": 1_767_229_200.0},
    ),
)
