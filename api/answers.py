"""The shape of every JSON answer: {success, data, message}, or {success, error, message}.

Every error carries its stable code, and a reference under which the log has the details.
"""

import secrets
from collections.abc import Mapping, Sequence
from typing import Final

import orjson
import structlog
from aiohttp import web

from session.errors import SessionError
from telemetry.logs import without_quotes

log = structlog.get_logger()

type Data = Mapping[str, object] | Sequence[object] | str | int | None
"""What orjson writes."""

NO_STORE: Final = "no-store"
"""Answers are of one person and of one moment."""
RETRY_AFTER_SECONDS: Final = "2"


def answer(
    data: Data, message: str, *, status: int = 200, cursor: str | None = None, headers: Mapping[str, str] | None = None
) -> web.Response:
    """Return a success.

    Args:
        data: what was asked for.
        message: for people.
        status: of the answer.
        cursor: of the next page, if there is one.
        headers: beside the usual ones.
    """
    body: dict[str, object] = {"success": True, "data": data, "message": message}
    if cursor is not None:
        body["nextCursor"] = cursor
    return _json(status, body, headers or {})


def failure(error: SessionError, *, headers: Mapping[str, str] | None = None, detail: str = "") -> web.Response:
    """Return an error, and note it in the log under its reference.

    Args:
        error: what the client is told.
        headers: beside the usual ones.
        detail: for the log alone.
    """
    ref = secrets.token_hex(6)
    said = "" if error.status == web.HTTPNotFound.status_code else error.text  # names what was asked for, which can be anything
    log.info("request.refused", code=error.code, detail=without_quotes(detail or said), ref=ref)
    told = {"code": error.code, "message": error.text, "retryable": error.retryable, "ref": ref}
    own = dict(headers or {})
    if error.status == web.HTTPUnauthorized.status_code:
        own.setdefault("WWW-Authenticate", "Bearer")  # RFC 6750 3
    if error.retryable:
        own.setdefault("Retry-After", RETRY_AFTER_SECONDS)
    return _json(error.status, {"success": False, "error": told, "message": error.text}, own)


def _json(status: int, body: Mapping[str, object], headers: Mapping[str, str]) -> web.Response:
    return web.Response(
        status=status, body=orjson.dumps(body), content_type="application/json", headers={"Cache-Control": NO_STORE, **headers}
    )
