"""/conversations: what was said, for those who said it; operators reach everybody's.

A conversation of somebody else is answered like one that does not exist. Deleting is noted in the audit trail before it is done, without a
word of what was said.
"""

from collections.abc import AsyncIterator
from dataclasses import replace
from enum import StrEnum
from typing import Final

import orjson
import structlog
from aiohttp import web

from api.answers import NO_STORE, answer
from api.authentication import PRINCIPAL
from api.connections import SWITCHBOARD
from api.conversation_shapes import (
    CONVERSATION,
    WHOLE_CONVERSATION,
    conversation_json,
    conversation_text,
    turn_json,
    turn_text,
)
from api.errors import NotFound
from api.kinds import CURSOR, DEFAULT_LIMIT, ID, LIMIT, MAX_USER
from api.operations import Operation, Shape, Success
from api.ownership import is_own
from api.preferences import DESK
from api.requests import GIVEN
from api.schema import Choice, ListOf, Member, Record, Text, Told, Whole
from storage.audit import AuditAction
from storage.conversation_turns import Conversation, Turn
from storage.conversations import Conversations
from storage.errors import StorageError
from storage.records import ANYBODY, Listing

log = structlog.get_logger()

CONVERSATIONS: Final = web.AppKey("conversations", Conversations)


class ExportFormat(StrEnum):
    """How an export is written."""

    JSON = "json"
    TEXT = "text"


_MEDIA: Final = {ExportFormat.JSON: ("application/json", "json"), ExportFormat.TEXT: ("text/plain", "txt")}
_USER: Final = Text(MAX_USER)
OF_USER: Final = Member("userId", _USER, f"Conversations of this user, {ANYBODY} for those whom nobody asked; without it one's own.")
USER: Final = Member("id", _USER, f"User id; {ANYBODY} for those whom nobody asked.", is_required=True)
FORMAT: Final = Member("format", Choice(ExportFormat), "json without it.")


async def list_conversations(request: web.Request) -> web.Response:
    """Tell the conversations of a user, newest first."""
    query, principal = request[GIVEN].query, request[PRINCIPAL]
    wanted = query.get(OF_USER)
    user = principal.user_id if wanted is None else _user(wanted)
    found: Listing[Conversation] = Listing((), None)
    if is_own(principal, user):
        limit, cursor = query.get(LIMIT) or DEFAULT_LIMIT, query.get(CURSOR)
        found = await request.app[CONVERSATIONS].of_user(user, limit=limit, cursor=cursor)
    told = [conversation_json(one) for one in found.records]
    return answer(told, f"Retrieved {len(told)} conversations successfully", cursor=found.cursor)


async def get_conversation(request: web.Request) -> web.Response:
    """Tell a conversation with a page of its turns, in order."""
    conversation, query = await _find(request), request[GIVEN].query
    turns = await _turns(request, conversation, query.get(LIMIT) or DEFAULT_LIMIT, query.get(CURSOR))
    told = {**conversation_json(conversation), "turns": [turn_json(turn) for turn in turns.records]}
    return answer(told, f"Retrieved {len(turns.records)} turns successfully", cursor=turns.cursor)


async def export_conversation(request: web.Request) -> web.Response:
    """Hand out a whole conversation as a file, page after page: no more than one is in memory."""
    conversation, wanted = await _find(request), request[GIVEN].query.get(FORMAT) or ExportFormat.JSON
    first = await _turns(request, conversation)
    pieces = _json_pieces if wanted is ExportFormat.JSON else _text_pieces
    media, ending = _MEDIA[wanted]
    headers = {
        "Cache-Control": NO_STORE,
        "Content-Type": f"{media}; charset=utf-8",
        "Content-Disposition": f'attachment; filename="conversation-{conversation.conversation_id}.{ending}"',
    }
    return web.Response(body=pieces(request, conversation, first), headers=headers)


async def delete_conversation(request: web.Request) -> web.Response:
    """Remove a conversation with all its turns."""
    conversation = await _find(request)
    await _note(request, AuditAction.CONVERSATION_DELETED, conversation.conversation_id)
    removed = await request.app[CONVERSATIONS].delete(conversation.user_id, conversation.conversation_id)
    return answer({"removed": removed}, f"Conversation {conversation.conversation_id} is deleted")


async def erase_conversations(request: web.Request) -> web.Response:
    """Remove everything that a user ever said, in bounded steps, and what they prefer."""
    user = _user(request[GIVEN].path[USER])
    if not is_own(request[PRINCIPAL], user):
        raise NotFound("There is no such user.")
    await _note(request, AuditAction.CONVERSATIONS_ERASED, user or ANYBODY)
    if (desk := request.app.get(DESK)) is not None and user:
        await desk.preferences.forget(user)
    erased = await request.app[CONVERSATIONS].erase(user)
    told = {"conversations": erased.conversations, "turns": erased.turns, "isComplete": erased.is_complete}
    return answer(told, "Everything is erased" if erased.is_complete else "There is more: ask again")


def _user(named: str) -> str:
    """Return the user id that is meant: those whom nobody asked share one name."""
    return "" if named == ANYBODY else named


async def _find(request: web.Request) -> Conversation:
    conversation_id, principal, conversations = request[GIVEN].path[ID], request[PRINCIPAL], request.app[CONVERSATIONS]
    found: Conversation | None = None
    if is_own(principal, principal.user_id):
        found = await conversations.get(principal.user_id, conversation_id)
    if found is None and principal.is_operator:
        found = await conversations.find(conversation_id)
    if found is None:
        raise NotFound(f"There is no conversation {conversation_id}.")
    return found


async def _turns(request: web.Request, conversation: Conversation, limit: int = DEFAULT_LIMIT, cursor: str | None = None) -> Listing[Turn]:
    return await request.app[CONVERSATIONS].turns(conversation.user_id, conversation.conversation_id, limit=limit, cursor=cursor)


async def _note(request: web.Request, action: AuditAction, subject: str) -> None:
    """Note what is about to be done, where there is an audit trail; whom it concerns stands in that alone."""
    switchboard = request.app.get(SWITCHBOARD)
    if switchboard is None:
        log.info("conversations.removing", action=action.value)
        return
    is_session = action is AuditAction.CONVERSATION_DELETED
    named = {"session_id": subject} if is_session else {"detail": subject}
    await switchboard.trail.add(switchboard.trail.entry(action, actor=request[PRINCIPAL].user_id, **named))


async def _all_turns(request: web.Request, conversation: Conversation, first: Listing[Turn]) -> AsyncIterator[Listing[Turn]]:
    """Yield page after page; when the store fails in the middle the connection is cut, so that nobody takes the half for the whole."""
    page = first
    while True:
        yield replace(page, cursor=None)
        if page.cursor is None:
            return
        try:
            page = await _turns(request, conversation, cursor=page.cursor)
        except StorageError as error:
            log.warning("conversations.export_cut", reason=type(error).__name__)
            if request.transport is not None:
                request.transport.abort()
            return


async def _json_pieces(request: web.Request, conversation: Conversation, first: Listing[Turn]) -> AsyncIterator[bytes]:
    yield orjson.dumps(conversation_json(conversation))[:-1] + b',"turns":['
    separator = b""
    async for page in _all_turns(request, conversation, first):
        for turn in page.records:
            yield separator + orjson.dumps(turn_json(turn))
            separator = b","
    yield b"]}"


async def _text_pieces(request: web.Request, conversation: Conversation, first: Listing[Turn]) -> AsyncIterator[bytes]:
    yield conversation_text(conversation).encode()
    async for page in _all_turns(request, conversation, first):
        for turn in page.records:
            yield turn_text(turn).encode()


_COUNT: Final = Whole(0, 10**9)
_REMOVED: Final = Record("RemovedConversation", (Member("removed", _COUNT, "Records that it had.", is_required=True),))
_ERASED: Final = Record(
    "ErasedConversations",
    (
        Member("conversations", _COUNT, "Conversations that were removed by this request.", is_required=True),
        Member("turns", _COUNT, "Turns that were.", is_required=True),
        Member("isComplete", Told({"type": "boolean"}), "False when there is more: ask again.", is_required=True),
    ),
)
_MISSING: Final = {404: "There is no such conversation, or it is somebody else's"}

OPERATIONS: Final = (
    Operation(
        method="GET",
        path="/conversations",
        handler=list_conversations,
        summary="The conversations of a user, newest first",
        query=(OF_USER, LIMIT, CURSOR),
        success=Success(description="Conversations", data=ListOf(CONVERSATION), shape=Shape.PAGE),
    ),
    Operation(
        method="GET",
        path="/conversations/{id}",
        handler=get_conversation,
        summary="A conversation with a page of its turns",
        parts=(ID,),
        query=(LIMIT, CURSOR),
        success=Success(description="The conversation", data=WHOLE_CONVERSATION, shape=Shape.PAGE),
        refusals=_MISSING,
    ),
    Operation(
        method="DELETE",
        path="/conversations/{id}",
        handler=delete_conversation,
        summary="Remove a conversation",
        parts=(ID,),
        success=Success(description="How much was removed", data=_REMOVED),
        refusals=_MISSING,
    ),
    Operation(
        method="GET",
        path="/conversations/{id}/export",
        handler=export_conversation,
        summary="A whole conversation as a file",
        parts=(ID,),
        query=(FORMAT,),
        success=Success(description="The conversation", data=WHOLE_CONVERSATION, shape=Shape.BARE, also="text/plain"),
    ),
    Operation(
        method="DELETE",
        path="/users/{id}/conversations",
        handler=erase_conversations,
        summary="Remove everything that a user said, and their preferences",
        parts=(USER,),
        success=Success(description="How much was removed, and whether anything is left", data=_ERASED),
        refusals={404: "It is somebody else"},
    ),
)
