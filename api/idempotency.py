"""One effect for one Idempotency-Key, however often its request arrives."""

import hashlib
import secrets
from typing import Final

from aiohttp import web

from api.authentication import PRINCIPAL
from api.requests import GIVEN, OPERATION
from api.schema import Member, Text

IDEMPOTENCY_KEY: Final = Member(
    "Idempotency-Key",
    Text(128, shortest=8, pattern="^[!-~]+$", example="5b7d1e0a-order-of-ana"),
    "Unique for what shall happen once: a request that is repeated with it within a day is answered as the first one was.",
)


def request_id(request: web.Request) -> str:
    """Return what marks the effect of this request: of its key, user and operation, or of nothing else at all."""
    key = request[GIVEN].headers.get(IDEMPOTENCY_KEY)
    if key is None:
        return f"http-{secrets.token_hex(16)}"
    operation = request[OPERATION]
    parts = ("http", request[PRINCIPAL].user_id, operation.method, operation.path, key)
    return "http-" + hashlib.sha256("\0".join(parts).encode()).hexdigest()
