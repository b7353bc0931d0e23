"""Notes of conversations: by a text model, or taken out of what was said; kept beside the recording, published, and each user's own."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest
import pytest_asyncio
from aiohttp import ClientSession

from api import notes as notes_api
from api.app import build_app
from api.notes import NOTES, NoteDesk
from publishing.events import NotesEvent
from s2s.events import Role
from service.notes import EXTRACTED, SYSTEM, NoteTaker, NothingSaid, extracted
from service.upload_files import StoreAway
from session.errors import ModelBusy, SessionError
from session.events import HistoryTurn
from storage.conversation_turns import Conversation, Speaker, Turn
from storage.conversations import Conversations
from storage.object_folder import FolderStore
from storage.object_links import LinkSigner
from storage.objects import owner_mark
from storage.sqlite import SqliteDatabase
from storage.tables import conversations_table, voice_sessions_table
from storage.voice_sessions import VoiceSessions
from tests.api.desk import JUAN, LISTENS_ON, NOBODY, PRINCIPALS, NamedTokens
from tests.api.raw import serving
from tests.service.stage import Told
from tests.service.test_api import session
from tests.storage.databases import NOW
from transports.origins import OriginPolicy

SAID = [
    "I want to change my appointment.",
    "Your appointment is on Monday.",
    "Move the appointment to Tuesday, please. Bye.",
    "It is moved.",
]


@dataclass
class Writer:
    """A text model whose words the test knows."""

    words: str | SessionError
    asked: list[tuple[str, str]] = field(default_factory=list)

    async def complete(self, system: str, text: str) -> str:
        self.asked.append((system, text))
        if isinstance(self.words, SessionError):
            raise self.words
        return self.words


@dataclass
class Study:
    conversations: Conversations
    sessions: VoiceSessions
    objects: FolderStore
    told: Told

    def taker(self, model: Writer | None = None) -> NoteTaker:
        return NoteTaker(self.objects, self.conversations, self.told, model, lambda: datetime(2030, 1, 2, 3, 4, tzinfo=UTC))


@pytest_asyncio.fixture
async def study(tmp_path: Path) -> AsyncIterator[Study]:
    database = SqliteDatabase(tmp_path / "r.sqlite3")
    tables = database.table(conversations_table("conversations")), database.table(voice_sessions_table("sessions"))
    for table in tables:
        await table.create()
    objects = FolderStore(tmp_path / "objects", LinkSigner((bytes(32),)), "http://localhost")
    conversations, sessions, juan = Conversations(tables[0]), VoiceSessions(tables[1]), PRINCIPALS[JUAN].user_id
    turns = [Turn(number, list(Speaker)[(number - 1) % 2], text, NOW) for number, text in enumerate(SAID, 1)]
    await conversations.add(Conversation("s-1", juan, "carlos", "en", NOW, NOW, len(turns)), turns)
    await sessions.create(session("s-1", juan))
    yield Study(conversations, sessions, objects, Told())
    await objects.aclose()
    await database.aclose()


@pytest.mark.req("S0-48")
async def test_a_text_model_writes_the_summary_of_what_was_said(study: Study) -> None:
    writer = Writer("The appointment was moved to Tuesday.")
    notes = await study.taker(writer).make("s-1", PRINCIPALS[JUAN].user_id)
    head = await study.objects.head("processed/s-1/notes.md")
    kept = await study.objects.get("processed/s-1/notes.md")

    assert writer.asked[0][0] == SYSTEM
    assert all(text in writer.asked[0][1] for text in SAID)
    assert "## Summary\n\nThe appointment was moved to Tuesday.\n" in notes.text
    assert (notes.is_extracted, kept) == (False, notes.text.encode())
    assert head is not None
    assert head.metadata["owner"] == owner_mark(PRINCIPALS[JUAN].user_id)


@pytest.mark.req("S0-48")
async def test_that_there_are_notes_is_published_without_what_they_say(study: Study) -> None:
    await study.taker().make("s-1", PRINCIPALS[JUAN].user_id)
    (event,) = study.told.events

    assert isinstance(event, NotesEvent)
    assert (event.kind, event.session_id, event.user_id) == ("notes", "s-1", PRINCIPALS[JUAN].user_id)
    assert event.notes_id == "processed/s-1/notes.md"


@pytest.mark.req("S0-48", "S0-45")
@pytest.mark.parametrize("model", [None, Writer(ModelBusy()), Writer("  ")])
async def test_without_a_model_the_summary_is_taken_out_and_says_so(study: Study, model: Writer | None) -> None:
    notes = await study.taker(model).make("s-1", PRINCIPALS[JUAN].user_id)

    assert notes.is_extracted
    assert EXTRACTED in notes.text
    assert "- User: Move the appointment to Tuesday, please." in notes.text


def test_the_sentences_with_what_comes_up_most_are_taken_in_their_order() -> None:
    turns = [HistoryTurn(Role.USER, "Hm. " * 10 + "The garden needs water."), HistoryTurn(Role.ASSISTANT, "Water the garden at night.")]

    assert extracted(turns).splitlines()[-2:] == ["- User: The garden needs water.", "- Assistant: Water the garden at night."]


async def test_of_a_conversation_of_which_nothing_is_known_there_are_no_notes(study: Study) -> None:
    with pytest.raises(NothingSaid):
        await study.taker().make("s-2", PRINCIPALS[JUAN].user_id)
    with pytest.raises(NothingSaid):
        await study.taker().make("s-1", "somebody else")

    assert study.told.events == []


@pytest.mark.req("S0-48", "S0-54")
async def test_notes_are_made_and_read_by_those_whose_session_it_is(study: Study) -> None:
    app = build_app(
        [notes_api.OPERATIONS],
        authenticator=NamedTokens(),
        origins=OriginPolicy((), LISTENS_ON),
        parts={NOTES: NoteDesk(study.taker(), study.sessions)},
    )
    answers = []
    async with serving(app) as port, ClientSession() as http:
        for method, by in (("GET", JUAN), ("POST", NOBODY), ("POST", JUAN), ("GET", NOBODY), ("GET", JUAN)):
            address = f"http://127.0.0.1:{port}/voice-sessions/s-1/notes"
            response = await http.request(method, address, headers={"Authorization": f"Bearer {by}"})
            answers.append((response.status, await response.json()))

    assert [status for status, _ in answers] == [404, 404, 200, 404, 200]
    assert answers[2][1]["data"]["isExtracted"] is True
    assert answers[4][1]["data"]["text"] == answers[2][1]["data"]["text"]


async def test_conversations_that_cannot_be_read_in_time_are_told_and_not_waited_for(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    async def turns(*_: object, **__: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr("service.notes.STORE_SECONDS", 0.01)
    monkeypatch.setattr(study.conversations, "turns", turns)
    async with asyncio.timeout(5):
        with pytest.raises(StoreAway):
            await study.taker().make("s-1", PRINCIPALS[JUAN].user_id)
