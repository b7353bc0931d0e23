"""What was said in conversations, under the user whose they are: nobody finds another user's by an id, and nothing is ever scanned.

A turn that is written again takes the place of what was written before, so that a writer may repeat itself and add what it learns late.
What is removed goes in batches: whoever is stopped in the middle goes on by asking again. Of a conversation its own record goes last.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Final

from storage.conditions import Absent, Present, Update
from storage.conversation_turns import (
    CONVERSATION_ID,
    STARTED_AT,
    USERNAME,
    Conversation,
    Speaker,
    ToolCall,
    Turn,
    conversation_from,
    conversation_item,
    conversation_key,
    is_turn,
    turn_from,
    turn_item,
    turn_key,
    turns_range,
    username_of,
)
from storage.errors import ConditionFailed
from storage.records import Listing, Reader, pages
from storage.table import Change, Delete, Key, Put, Query, Table, Write
from storage.values import Item

KEPT: Final = timedelta(days=90)
BATCH: Final = 50
"""Records that are removed at once; half of what a transaction takes."""
ERASED_AT_ONCE: Final = 2_000
"""Records that one call of `erase` removes at most."""
LOOKED_BACK: Final = 20
"""Conversations that are looked at for the last turns with one assistant."""
PAGE: Final = 100


@dataclass(frozen=True, slots=True)
class Erased:
    """What was removed."""

    conversations: int
    turns: int
    is_complete: bool
    """Whether nothing is left; else ask again."""


class Conversations:
    """Repository of conversations on one table.

    Args:
        table: the conversations table.
        kept: how long a turn is kept, and a conversation after its latest turn.
    """

    def __init__(self, table: Table, kept: timedelta = KEPT) -> None:
        self.table = table
        self._kept = kept

    async def add(self, conversation: Conversation, turns: Sequence[Turn]) -> None:
        """Write turns of a conversation, with its own record; doing it twice is harmless.

        Args:
            conversation: as it is with these turns; its beginning is kept as it was written first.
            turns: each of another number, 99 at most.
        """
        item = conversation_item(conversation, self._kept)
        changes = {name: value for name, value in item.items() if name not in (USERNAME, CONVERSATION_ID, STARTED_AT)}
        key = conversation_key(conversation.user_id, conversation.conversation_id)
        writes: list[Write] = [Change(key, Update(set=changes), Present(STARTED_AT))]
        writes += [Put(turn_item(conversation.user_id, conversation.conversation_id, turn, self._kept)) for turn in turns]
        try:
            await self.table.transact(writes)
        except ConditionFailed:
            with suppress(ConditionFailed):  # of a repetition
                await self.table.put(item, Absent(USERNAME))
            await self.table.transact(writes)

    async def add_result(self, conversation: Conversation, number: int, call: ToolCall) -> None:
        """Add how a tool call ended to a turn that another process wrote."""
        item = await self.table.get(turn_key(conversation.user_id, conversation.conversation_id, number))
        turn = Turn(number, Speaker.ASSISTANT, "", conversation.last_at) if item is None else turn_from(item)
        await self.add(conversation, [turn.with_call(call)])

    async def get(self, user_id: str, conversation_id: str) -> Conversation | None:
        """Return a conversation of this user, or None."""
        item = await self.table.get(conversation_key(user_id, conversation_id))
        return None if item is None else conversation_from(item)

    async def find(self, conversation_id: str) -> Conversation | None:
        """Return a conversation whosever it is, or None; one that has only just begun may not be found yet."""
        conversation_key("", conversation_id)
        async for item in pages(self.table, Query(conversation_id, "ConversationIdIndex", limit=1)):
            return conversation_from(item)
        return None

    async def turns(
        self, user_id: str, conversation_id: str, *, limit: int = PAGE, cursor: str | None = None, descending: bool = False
    ) -> Listing[Turn]:
        """Return a page of a conversation, in order."""
        between = turns_range(conversation_id)
        page = await self.table.query(
            Query(username_of(user_id), between=between, limit=limit, cursor=cursor, descending=descending),
        )
        return Listing(tuple(turn_from(item) for item in page.items), page.cursor)

    async def of_user(self, user_id: str, *, limit: int = PAGE, cursor: str | None = None) -> Listing[Conversation]:
        """Return a page of a user's conversations, the one that began last first."""
        page = await self.table.query(Query(username_of(user_id), "UsernameIndex", descending=True, limit=limit, cursor=cursor))
        return Listing(tuple(conversation_from(item) for item in page.items), page.cursor)

    async def last_turns(self, user_id: str, assistant: str, most: int) -> tuple[Turn, ...]:
        """Return the latest turns that a user and an assistant had, with words and accepted by the service, in order.

        Args:
            user_id: of whom.
            assistant: with whom.
            most: how many; of the latest conversations alone.
        """
        found: list[Turn] = []
        for conversation in (await self.of_user(user_id, limit=LOOKED_BACK)).records:
            if conversation.assistant != assistant:
                continue
            cursor: str | None = None
            while len(found) < most:
                page = await self.turns(user_id, conversation.conversation_id, limit=most - len(found), cursor=cursor, descending=True)
                found += [turn for turn in page.records if turn.text and not turn.is_refused]
                if (cursor := page.cursor) is None:
                    break
            if len(found) >= most:
                break
        return tuple(reversed(found))

    async def delete(self, user_id: str, conversation_id: str) -> int:
        """Remove a conversation; return how many records it had, 0 when there was none."""
        removed, query = 0, Query(username_of(user_id), between=turns_range(conversation_id), limit=BATCH)
        while True:
            page = await self.table.query(query)
            removed += await self._remove(page.items)
            if page.cursor is None:
                break
            query = replace(query, cursor=page.cursor)
        key = conversation_key(user_id, conversation_id)
        if await self.table.get(key) is not None:
            await self.table.delete(key)
            removed += 1
        return removed

    async def erase(self, user_id: str, most: int = ERASED_AT_ONCE) -> Erased:
        """Remove everything of a user, at most so many records at once; asking again goes on where this stopped."""
        removed = turns = 0
        query = Query(username_of(user_id), limit=BATCH)
        while removed < most:
            page = await self.table.query(query)
            removed += await self._remove(page.items)
            turns += sum(is_turn(item) for item in page.items)
            if page.cursor is None:
                return Erased(removed - turns, turns, is_complete=True)
            query = replace(query, cursor=page.cursor)
        return Erased(removed - turns, turns, is_complete=False)

    async def _remove(self, items: Sequence[Item]) -> int:
        if items:
            await self.table.transact([Delete(_key_of(item)) for item in items])
        return len(items)


def _key_of(item: Item) -> Key:
    read = Reader(item)
    return Key(read.text(USERNAME), read.text(CONVERSATION_ID))
