"""/recordings/content: the sound itself, where recordings are in a folder.

A link says what may be read or sent, and until when; nobody is asked for a token.
"""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

from aiohttp import web

from api.errors import BodyTooLarge, BodyTooSlow, InvalidBody, LinkInvalid, NotChangeable, NotFound, UnsatisfiableRange, UnsupportedMedia
from api.operations import Access, Operation, Success
from api.requests import GIVEN
from api.schema import Member, Text
from storage.object_links import LinkRefused, LinkSigner, Ticket
from storage.objects import OWNER, Method, ObjectInfo, Upload
from storage.recordings import Recordings

PIECE_BYTES: Final = 256 * 1024
"""Read, sent and stored at once."""
UPLOAD_SECONDS: Final = 120.0
"""How long sending a file may take."""
UPLOADS_AT_ONCE: Final = 4
"""Files that are taken at the same time; the next waits, within its time."""
FORGET_SECONDS: Final = 10.0
"""How long throwing away a file that did not come may take; the request waits for it, also when its client is gone."""
_RANGE: Final = re.compile(r"bytes=(\d{0,15})-(\d{0,15})")


@dataclass(frozen=True, slots=True)
class RecordingShelf:
    """What the operations on recordings work on."""

    recordings: Recordings
    signer: LinkSigner | None = None
    """Knows the links that this server made; None where they are S3's."""
    clock: Callable[[], float] = time.time
    uploads: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(UPLOADS_AT_ONCE))


SHELF: Final = web.AppKey("recording_shelf", RecordingShelf)


async def read_content(request: web.Request) -> web.StreamResponse:
    """Send what a link leads to, or the part of it that is asked for."""
    ticket, store = _ticket(request, Method.GET), request.app[SHELF].recordings.store
    info = await store.head(ticket.key)
    if info is None or info.metadata.get(OWNER, "") != ticket.owner:
        raise NotFound("The recording is gone.")
    span = _span(request.headers.get("Range", ""), info.size)
    first, last = span or (0, info.size - 1)
    response = web.StreamResponse(status=206 if span else 200, headers=_headers(info))
    response.content_length = last - first + 1
    if span:
        response.headers["Content-Range"] = f"bytes {first}-{last}/{info.size}"
    await response.prepare(request)
    if request.method != "HEAD":
        for at in range(first, last + 1, PIECE_BYTES):
            piece = await store.get(ticket.key, first=at, last=min(last, at + PIECE_BYTES - 1))
            if not piece:
                break  # removed meanwhile: the connection ends before its time
            await response.write(piece)
    return response


async def write_content(request: web.Request) -> web.Response:
    """Take a file of exactly the type and size that a link is for, once."""
    ticket, shelf = _ticket(request, Method.PUT), request.app[SHELF]
    terms, store = ticket.terms, shelf.recordings.store
    if terms is None or request.content_type != terms.content_type:
        raise UnsupportedMedia("The file is not of the type that the link is for.")
    if request.content_length is not None and request.content_length != terms.size:
        raise BodyTooLarge("The file has not the size that the link is for.")
    if await store.head(ticket.key) is not None:
        raise NotChangeable("There is a file already.")
    upload = store.upload(ticket.key, terms.content_type, {OWNER: ticket.owner} if ticket.owner else {})
    try:
        async with asyncio.timeout(UPLOAD_SECONDS), shelf.uploads:
            await _receive(request, upload, terms.size)
            await upload.complete()
    except TimeoutError:
        await _forget(upload)
        raise BodyTooSlow from None
    except BaseException:
        await _forget(upload)
        raise
    return web.Response(status=204, headers={"Cache-Control": "no-store"})


async def _receive(request: web.Request, upload: Upload, size: int) -> None:
    received = 0
    async for piece in _pieces(request):
        received += len(piece)
        if received > size:
            raise BodyTooLarge("The file has not the size that the link is for.")
        await upload.part(piece)
    if received < size:
        raise InvalidBody("The file ended before its end.")


async def _pieces(request: web.Request) -> AsyncIterator[bytes]:
    waiting = bytearray()
    try:
        async for chunk in request.content.iter_any():
            waiting += chunk
            if len(waiting) >= PIECE_BYTES:
                yield bytes(waiting)
                waiting.clear()
    except web.RequestPayloadError:
        raise InvalidBody("The file is damaged.") from None
    if waiting:
        yield bytes(waiting)


async def _forget(upload: Upload) -> None:
    """Throw away what came; what is left is removed with what is old."""
    with suppress(Exception):
        async with asyncio.timeout(FORGET_SECONDS):
            await upload.abort()


def _ticket(request: web.Request, method: Method) -> Ticket:
    shelf, query = request.app[SHELF], request[GIVEN].query
    given = {member.name: value for member in _QUERY if (value := query.get(member)) is not None}
    if shelf.signer is None:
        raise LinkInvalid
    try:
        return shelf.signer.check(method, given, shelf.clock())
    except LinkRefused:
        raise LinkInvalid from None


def _headers(info: ObjectInfo) -> dict[str, str]:
    name = info.key.rpartition("/")[2]
    return {
        "Content-Type": info.content_type,
        "Content-Disposition": f'inline; filename="{name}"',
        "Accept-Ranges": "bytes",
        "Cache-Control": "private, no-store",
    }


def _span(wanted: str, size: int) -> tuple[int, int] | None:
    """Return the first and the last byte that are asked for; None for all, as for what is no range that we know (RFC 9110 14.2).

    Raises:
        UnsatisfiableRange: there are no such bytes.
    """
    if (found := _RANGE.fullmatch(wanted)) is None or wanted == "bytes=-":
        return None
    first, last = found.groups()
    if not first:
        span = (max(0, size - int(last)), size - 1)
    else:
        span = (int(first), min(size - 1, int(last)) if last else size - 1)
        if last and int(last) < int(first):
            return None
    if span[0] > span[1]:
        raise UnsatisfiableRange
    return span


def _given(name: str, longest: int, doc: str, *, is_required: bool = True, shortest: int = 1) -> Member[str]:
    return Member(name, Text(longest, shortest=shortest), doc, is_required=is_required)


_QUERY: Final = (
    _given("key", 512, "Which file."),
    _given("owner", 64, "Whose it is.", shortest=0),
    _given("expires", 15, "Until when the link works."),
    _given("type", 128, "Of the file that is sent.", is_required=False),
    _given("size", 15, "Of the file that is sent.", is_required=False),
    _given("signature", 64, "Holds all of this together."),
)
_REFUSED: Final = {403: "The link was changed, or has expired"}

CONTENT_OPERATIONS: Final = (
    Operation(
        method="GET",
        path="/recordings/content",
        handler=read_content,
        name="read_recording_content",
        summary="The sound that a link leads to",
        access=Access.PUBLIC,
        query=_QUERY,
        success=Success(description="The file; 206 with the part of it that the header Range asks for"),
        refusals={**_REFUSED, 404: "The file is gone", 416: "The file has no such part"},
    ),
    Operation(
        method="PUT",
        path="/recordings/content",
        handler=write_content,
        name="write_recording_content",
        summary="Send the file that a link is for",
        access=Access.PUBLIC,
        query=_QUERY,
        success=Success(status=204, description="The file is stored"),
        refusals={
            **_REFUSED,
            409: "There is a file already",
            413: "The file has another size",
            415: "The file has another type",
            408: "The file did not come in time",
        },
    ),
)
