"""Writes down what is said in conversations, turn by turn, beside them: a store that is away delays it and disturbs nobody."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from observers.backlog import STORE_SECONDS, Backlog
from observers.transcript import LateResult, Transcript
from session.events import SessionEnded, SessionEvent, SpeechChunk
from session.label import SessionLabel
from storage.conversation_turns import Conversation, Turn
from storage.conversations import Conversations
from storage.errors import InvalidRequest
from telemetry.counters import Counters

BATCH: Final = 48
"""Turns that are written before the next are looked at."""
AT_ONCE: Final = 12
"""Conversations of which turns are written side by side: tools and other requests use the same connections."""
GATHER_SECONDS: Final = 2.0
"""What comes together is written together. To begin with a write takes as long as eight turns take in it, beside everybody's audio (SQLite:
2 ms, and 0.25 ms for each conversation)."""
RECENT_SECONDS: Final = 10.0
RECENT_USERS: Final = 1_024
ENTRY_BYTES: Final = 1_024
"""What an entry of the backlog takes beside its text."""

type Told = Turn | LateResult


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing to be written."""

    conversation: Conversation
    told: Told


class ConversationRecords:
    """Gives observers to the sessions whose assistants have their conversations recorded.

    Args:
        conversations: repository.
        counters: gets `conversation_turn_written`, `_lost` and `_refused`.
        left_out: names of assistants whose conversations are not recorded.
        clock: the time now, with a zone.
        now: monotonic seconds.
    """

    def __init__(
        self,
        conversations: Conversations,
        counters: Counters,
        *,
        left_out: Collection[str] = (),
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._conversations = conversations
        self._left_out = frozenset(left_out)
        self._clock = clock
        self._now = now
        self._recent: OrderedDict[str, float] = OrderedDict()
        """When something was told last of each user, the latest last."""
        self.backlog = Backlog(
            "conversation_turn",
            self._write,
            counters,
            refusals=(InvalidRequest,),
            batch=BATCH,
            store_seconds=STORE_SECONDS * BATCH / AT_ONCE,
            gather_seconds=GATHER_SECONDS,
        )

    def start(self) -> None:
        """Write from now on."""
        self.backlog.start()

    async def aclose(self) -> None:
        """Write what is left, in bounded time, and end."""
        await self.backlog.aclose()

    async def settled(self, user_id: str) -> None:
        """Return when what this user said in the last seconds is written down."""
        if self._now() - self._recent.get(user_id, -RECENT_SECONDS) < RECENT_SECONDS:
            await self.backlog.written()

    def attend(self, session: SessionLabel) -> "ConversationObserver | None":
        """Return what writes down a session, or None for an assistant that is left out."""
        if session.assistant in self._left_out:
            return None
        return ConversationObserver(session, self._put, self.backlog.hurry, self._clock, self._now)

    def _put(self, entry: Entry) -> None:
        user_id = entry.conversation.user_id
        self._recent[user_id] = self._now()
        self._recent.move_to_end(user_id)
        if len(self._recent) > RECENT_USERS:
            self._recent.popitem(last=False)
        text = entry.told.text if isinstance(entry.told, Turn) else entry.told.call.result or ""
        calls = entry.told.calls if isinstance(entry.told, Turn) else ()
        size = len(text) + sum(len(call.arguments) + len(call.result or "") for call in calls)
        self.backlog.put(entry, ENTRY_BYTES + size)

    async def _write(self, entries: Sequence[Entry]) -> None:
        """Write entries, each conversation's in order and each turn as it was told last."""
        by_conversation: dict[str, list[Entry]] = {}
        for entry in entries:
            by_conversation.setdefault(entry.conversation.conversation_id, []).append(entry)
        places = asyncio.Semaphore(AT_ONCE)
        done = await asyncio.gather(*(self._write_one(own, places) for own in by_conversation.values()), return_exceptions=True)
        for failure in done:
            if failure is not None:
                raise failure

    async def _write_one(self, entries: Sequence[Entry], places: asyncio.Semaphore) -> None:
        latest = entries[-1].conversation
        turns = {entry.told.number: entry.told for entry in entries if isinstance(entry.told, Turn)}
        async with places:
            if turns:
                await self._conversations.add(latest, list(turns.values()))
            for entry in entries:
                if isinstance(entry.told, LateResult):
                    await self._conversations.add_result(latest, entry.told.number, entry.told.call)


class ConversationObserver:
    """Listens to one session.

    Args:
        session: whose turns they are.
        put: takes what is to be written.
        hurry: has it written without waiting for more.
        clock: the time now, with a zone.
        now: monotonic seconds.
    """

    def __init__(
        self,
        session: SessionLabel,
        put: Callable[[Entry], None],
        hurry: Callable[[], None],
        clock: Callable[[], datetime],
        now: Callable[[], float],
    ) -> None:
        self._session = session
        self._user_id = session.user_id.encode(errors="replace").decode()
        self._put = put
        self._hurry = hurry
        self._clock = clock
        self._now = now
        self._transcript = Transcript(session.output_hertz)

    def on_event(self, event: SessionEvent) -> None:
        """Take note of an event; speech, by far the most of them, is only measured."""
        if isinstance(event, SpeechChunk):
            self._transcript.spoken(event)
            return
        at = self._clock()
        self._tell(self._transcript.take(event, at, self._now()), at)
        if isinstance(event, SessionEnded):
            self._hurry()  # whoever has hung up may want to read it

    def on_caller_audio(self, pcm: bytes, now: float) -> None:
        """Take no note: the words are told later."""

    def on_delivered(self, chunk: SpeechChunk, now: float) -> None:  # noqa: ARG002 - events come without a time, and both need one clock
        """Take note of what the listener is given."""
        at = self._clock()
        self._tell(self._transcript.delivered(chunk, at, self._now()), at)

    def _tell(self, told: Sequence[Told], at: datetime) -> None:
        if not told:
            return
        session = self._session
        conversation = Conversation(
            session.session_id, self._user_id, session.assistant, session.language, session.began_at, at, self._transcript.last_turn
        )
        for one in told:
            self._put(Entry(conversation, one))
