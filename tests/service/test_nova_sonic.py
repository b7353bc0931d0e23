"""NovaSonicService on an embedded table: what its methods return, and what they refuse."""

import asyncio
from base64 import b64encode
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from decimal import Decimal

import pytest

from service.errors import AudioUnavailable, InvalidArgument, SessionOver, UnknownSession
from service.interfaces import NovaSonicService, Processed, Speech, Transcript
from service.nova_sonic import MAX_AUDIO_BYTES, MAX_TEXT, RecordedNovaSonic
from service.session_cache import FRESH_SECONDS, SessionCache
from session.errors import InvalidAudio, ModelBusy, NotAllowed, SessionError, TooLarge
from storage.errors import BadCursor, StorageError, StorageUnavailable
from storage.records import ANYBODY
from storage.sqlite import SqliteDatabase
from storage.tables import voice_sessions_table
from storage.voice_session_items import Counts, Leg, VoiceSession, VoiceSessionStatus
from storage.voice_sessions import VoiceSessions
from telemetry.counters import Counters
from tests.storage.databases import NOW, StandingClock

SOUND = b"RIFF a recording"
RECORDING = b64encode(SOUND).decode()
SPEECH = Speech(bytes(48_000), 24_000)


@dataclass
class Studio:
    """Works on audio: repeats what it was given."""

    given: list[tuple[object, ...]] = field(default_factory=list)
    failure: SessionError | None = None

    def _take(self, *given: object) -> None:
        self.given.append(given)
        if self.failure is not None:
            raise self.failure

    async def transcribe(self, audio: bytes, content_type: str, language: str | None) -> Transcript:
        self._take(audio, content_type, language)
        return Transcript("what is my balance", None, language)

    async def synthesize(self, text: str, voice_id: str | None) -> Speech:
        self._take(text, voice_id)
        return SPEECH

    async def process(self, audio: bytes, content_type: str, session_id: str) -> Processed:
        self._take(audio, content_type, session_id)
        return Processed(Transcript("what is my balance", 0.9, "en-US"), "Ten dollars.", SPEECH)


@dataclass
class Stage:
    """The sessions that are talked in here."""

    talked_in: set[str] = field(default_factory=set)
    ended: list[tuple[str, str]] = field(default_factory=list)

    def end(self, session_id: str, reason: str) -> bool:
        self.ended.append((session_id, reason))
        return session_id in self.talked_in


class Away(VoiceSessions):
    """The repository, which can be told to be away."""

    failure: StorageError | None = None
    reads = 0

    async def get(self, session_id: str) -> VoiceSession | None:
        self.reads += 1
        if self.failure is not None:
            raise self.failure
        return await super().get(session_id)

    async def count(self, session_id: str, counts: Counts) -> VoiceSession | None:
        if self.failure is not None:
            raise self.failure
        return await super().count(session_id, counts)


@dataclass
class Rig:
    """The service with what it stands on."""

    service: RecordedNovaSonic
    sessions: Away
    stage: Stage
    studio: Studio
    clock: StandingClock
    counters: Counters


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    clock, stage, studio, counters = StandingClock(), Stage(), Studio(), Counters()
    database = SqliteDatabase(":memory:", clock=clock.seconds)
    sessions = Away(database.table(voice_sessions_table()), clock)
    await sessions.table.create()
    service = RecordedNovaSonic(sessions, stage, SessionCache(clock.seconds, counters), studio, clock=clock)
    yield Rig(service, sessions, stage, studio, clock, counters)
    await database.aclose()


def talked_in(session_id: str = "s1") -> Leg:
    return Leg(session_id=session_id, leg_id="one", process="p1", began_at=NOW, connection_id="c1", user_id="eva")


@pytest.mark.req("S0-27")
def test_the_service_fits_its_interface(rig: Rig) -> None:
    service: NovaSonicService = rig.service

    assert {name for name in vars(NovaSonicService) if not name.startswith("_")} <= set(dir(service))


@pytest.mark.req("S0-09", "S0-28", "S0-46")
async def test_a_session_that_was_initialized_is_there(rig: Rig) -> None:
    session_id = await rig.service.initialize_session("connection-123", "user-456", audio_format="audio/webm", metadata={"topic": "bills"})
    session = await rig.service.get_session(session_id)

    assert (session.connection_id, session.user_id, session.status) == ("connection-123", "user-456", VoiceSessionStatus.ACTIVE)
    assert (session.created_at, session.audio_format, session.metadata) == (NOW, "audio/webm", {"topic": "bills"})
    assert (await rig.service.session_of_connection("connection-123")).session_id == session_id


@pytest.mark.req("S0-09", "S0-46", "S0-53")
async def test_sessions_that_are_initialized_at_once_have_ids_of_their_own(rig: Rig) -> None:
    ids = await asyncio.gather(*(rig.service.initialize_session("c1", "eva") for _ in range(20)))

    assert len(set(ids)) == 20
    assert len((await rig.service.list_user_sessions("eva")).records) == 20


@pytest.mark.req("S0-46")
@pytest.mark.parametrize(
    ("connection", "user"), [("x" * 257, "eva"), ("c1", "e" * 257), ("c\n1", "eva"), ("c1", "eva\x00"), ("c1", "\ud800")]
)
async def test_ids_that_cannot_be_used_are_refused(rig: Rig, connection: str, user: str) -> None:
    with pytest.raises(InvalidArgument):
        await rig.service.initialize_session(connection, user)

    assert (await rig.service.list_user_sessions("eva")).records == ()


@pytest.mark.req("S0-46")
@pytest.mark.parametrize(
    "metadata", [{"": "a"}, {"k" * 65: "a"}, {"k": "v" * 257}, {f"k{number}": "v" for number in range(33)}, {"k": "\x1b"}]
)
async def test_metadata_that_cannot_be_used_are_refused(rig: Rig, metadata: dict[str, str]) -> None:
    session_id = await rig.service.initialize_session("c1", "eva")
    with pytest.raises(InvalidArgument):
        await rig.service.update_session(session_id, metadata=metadata)
    with pytest.raises(InvalidArgument):
        await rig.service.initialize_session("c1", "eva", metadata=metadata)

    assert (await rig.service.get_session(session_id)).metadata == {}


async def test_metadata_do_not_grow_without_end(rig: Rig) -> None:
    session_id = await rig.service.initialize_session("c1", "eva", metadata={f"k{number}": "v" for number in range(32)})
    with pytest.raises(InvalidArgument):
        await rig.service.update_session(session_id, metadata={"one more": "v"})

    assert len((await rig.service.update_session(session_id, metadata={"k1": "w"})).metadata) == 32


@pytest.mark.req("S0-10", "S0-46")
async def test_an_update_is_seen_at_once(rig: Rig) -> None:
    session_id = await rig.service.initialize_session("c1", "eva", metadata={"topic": "bills", "mood": "good"})
    await rig.service.get_session(session_id)
    changed = await rig.service.update_session(session_id, metadata={"mood": None, "place": "home"}, audio_format="audio/mpeg")

    assert (changed.metadata, changed.audio_format) == ({"topic": "bills", "place": "home"}, "audio/mpeg")
    assert await rig.service.get_session(session_id) == changed


@pytest.mark.req("S0-11", "S0-32", "S0-46")
async def test_a_session_ends_once(rig: Rig) -> None:
    session_id = await rig.service.initialize_session("c1", "eva")
    rig.clock.advance(seconds=12.25)
    first = await rig.service.end_session(session_id)
    rig.clock.advance(seconds=60)
    second = await rig.service.end_session(session_id)

    assert (first.status, first.total_duration, first.message_count) == (VoiceSessionStatus.COMPLETED, Decimal("12.25"), 0)
    assert first == second == await rig.service.get_session(session_id)
    assert rig.stage.ended == [(session_id, "operator")]


@pytest.mark.req("S0-11", "S0-32", "S0-46")
async def test_the_end_of_a_session_that_is_talked_in_ends_the_talk(rig: Rig) -> None:
    await rig.sessions.write(talked_in())
    ended = await rig.service.end_session("s1", owner="eva")

    assert (ended.status, ended.end_reason) == (VoiceSessionStatus.COMPLETED, "client")
    assert rig.stage.ended == [("s1", "client")]
    assert await rig.sessions.take_requests("p1") == {"s1": "client"}


@pytest.mark.req("S0-13", "S0-33", "S0-46")
async def test_the_sessions_of_a_user_come_newest_first_and_page_by_page(rig: Rig) -> None:
    ids = []
    for _ in range(5):
        ids.append(await rig.service.initialize_session("c1", "eva"))
        rig.clock.advance(seconds=1)
    first = await rig.service.list_user_sessions("eva", limit=2)
    rest = await rig.service.list_user_sessions("eva", limit=100, cursor=first.cursor)

    assert [one.session_id for one in (*first.records, *rest.records)] == ids[::-1]
    assert (await rig.service.list_user_sessions("ada")).records == ()


@pytest.mark.req("S0-33", "S0-46")
async def test_lists_that_cannot_be_are_refused(rig: Rig) -> None:
    for limit in (0, 101, -1):
        with pytest.raises(InvalidArgument):
            await rig.service.list_user_sessions("eva", limit=limit)
    with pytest.raises(BadCursor):
        await rig.service.list_user_sessions("eva", cursor="bWFkZSB1cA")


@pytest.mark.req("S0-46")
@pytest.mark.parametrize("session_id", ["missing", ""])
async def test_a_session_that_is_missing_is_a_clear_error_in_every_method(rig: Rig, session_id: str) -> None:
    refusal = UnknownSession if session_id else InvalidArgument
    for asked in (
        rig.service.get_session(session_id),
        rig.service.update_session(session_id, metadata={"a": "b"}),
        rig.service.end_session(session_id),
        rig.service.process_audio_data(RECORDING, session_id),
        rig.service.session_of_connection(session_id),
    ):
        with pytest.raises(refusal):
            await asked

    assert rig.studio.given == []


@pytest.mark.req("S0-46", "S0-54", "S0-57")
async def test_a_session_of_somebody_else_is_answered_like_a_missing_one(rig: Rig) -> None:
    session_id = await rig.service.initialize_session("c1", "eva")
    for owner in ("ada", "", ANYBODY):
        for asked in (
            rig.service.get_session(session_id, owner=owner),
            rig.service.update_session(session_id, metadata={"a": "b"}, owner=owner),
            rig.service.end_session(session_id, owner=owner),
            rig.service.process_audio_data(RECORDING, session_id, owner=owner),
            rig.service.session_of_connection("c1", owner=owner),
        ):
            with pytest.raises(UnknownSession):
                await asked

    assert (await rig.service.get_session(session_id, owner="eva")).is_active
    assert rig.studio.given == []


@pytest.mark.req("S0-22", "S0-29", "S0-46")
async def test_what_is_said_in_a_recording_is_answered_and_counted(rig: Rig) -> None:
    session_id = await rig.service.initialize_session("c1", "eva", audio_format="audio/webm")
    response = await rig.service.process_audio_data(RECORDING, session_id)
    await rig.service.process_audio_data(RECORDING, session_id, content_type="audio/mpeg", owner="eva")
    session = await rig.service.get_session(session_id)

    assert rig.studio.given == [(SOUND, "audio/webm", session_id), (SOUND, "audio/mpeg", session_id)]
    assert (response.text, response.reply_text, response.confidence) == ("what is my balance", "Ten dollars.", 0.9)
    assert (response.audio, response.hertz) == (b64encode(SPEECH.pcm).decode(), 24_000)
    assert session.counts == Counts(user_turns=2, assistant_turns=2, assistant_audio_ms=2_000)


@pytest.mark.req("S0-46")
@pytest.mark.parametrize("audio", ["", "no base64!", "QQ", "QQ==QQ==", "QUJD\n", "audío"])
async def test_audio_that_is_malformed_reaches_nobody(rig: Rig, audio: str) -> None:
    session_id = await rig.service.initialize_session("c1", "eva")
    for asked in (rig.service.process_audio_data(audio, session_id), rig.service.transcribe_audio(audio, "audio/webm")):
        with pytest.raises(InvalidAudio):
            await asked

    assert rig.studio.given == []


@pytest.mark.req("S0-46")
async def test_audio_over_the_limit_is_refused_before_it_is_decoded_and_long_audio_is_not(rig: Rig) -> None:
    with pytest.raises(TooLarge):
        await rig.service.transcribe_audio("!" * (MAX_AUDIO_BYTES * 2), "audio/wav")
    await rig.service.transcribe_audio(b64encode(bytes(1_000_000)).decode(), "audio/wav")

    assert [given[1:] for given in rig.studio.given] == [("audio/wav", None)]


@pytest.mark.req("S0-29", "S0-46")
async def test_nothing_can_be_said_in_a_session_that_has_ended(rig: Rig) -> None:
    session_id = await rig.service.initialize_session("c1", "eva")
    await rig.service.end_session(session_id)
    with pytest.raises(SessionOver):
        await rig.service.process_audio_data(RECORDING, session_id)

    assert rig.studio.given == []


@pytest.mark.req("S0-45", "S0-46")
async def test_a_model_that_fails_is_told_and_the_session_goes_on(rig: Rig) -> None:
    session_id = await rig.service.initialize_session("c1", "eva")
    rig.studio.failure = ModelBusy()
    with pytest.raises(ModelBusy):
        await rig.service.process_audio_data(RECORDING, session_id)
    rig.studio.failure = None
    await rig.service.process_audio_data(RECORDING, session_id)

    assert (await rig.service.get_session(session_id)).message_count == 2


@pytest.mark.req("S0-45", "S0-46")
async def test_an_answer_that_cannot_be_counted_is_given_all_the_same(rig: Rig) -> None:
    session_id = await rig.service.initialize_session("c1", "eva")
    await rig.service.get_session(session_id)
    rig.sessions.failure = StorageUnavailable("away")
    response = await rig.service.process_audio_data(RECORDING, session_id)
    with pytest.raises(StorageUnavailable):
        await rig.service.end_session(session_id)

    assert response.reply_text == "Ten dollars."


@pytest.mark.req("S0-30", "S0-46")
async def test_a_recording_is_transcribed_without_inventing_a_confidence(rig: Rig) -> None:
    assert await rig.service.transcribe_audio(RECORDING, "audio/webm", language="es-US") == Transcript("what is my balance", None, "es-US")
    assert rig.studio.given == [(SOUND, "audio/webm", "es-US")]


@pytest.mark.req("S0-31", "S0-46")
async def test_a_text_is_spoken_with_the_voice_that_was_chosen(rig: Rig) -> None:
    assert await rig.service.synthesize_voice("Hello.", voice_id="matthew") == SPEECH
    with pytest.raises(InvalidArgument):
        await rig.service.synthesize_voice("  \n")
    with pytest.raises(TooLarge):
        await rig.service.synthesize_voice("a" * (MAX_TEXT + 1))
    rig.studio.failure = NotAllowed("There is no voice 'nobody'.")
    with pytest.raises(NotAllowed):
        await rig.service.synthesize_voice("Hello.", voice_id="nobody")

    assert rig.studio.given == [("Hello.", "matthew"), ("Hello.", "nobody")]


@pytest.mark.req("S0-46")
async def test_without_anybody_who_works_on_audio_sessions_work_all_the_same(rig: Rig) -> None:
    bare = RecordedNovaSonic(rig.sessions, rig.stage, SessionCache(rig.clock.seconds, rig.counters), clock=rig.clock)
    session_id = await bare.initialize_session("c1", "eva")
    with pytest.raises(AudioUnavailable):
        await bare.process_audio_data(RECORDING, session_id)
    with pytest.raises(AudioUnavailable):
        await bare.synthesize_voice("Hello.")
    equipped = RecordedNovaSonic(rig.sessions, rig.stage, SessionCache(rig.clock.seconds, rig.counters), rig.studio, clock=rig.clock)

    assert (await equipped.process_audio_data(RECORDING, session_id)).reply_text == "Ten dollars."


@pytest.mark.req("S0-69")
async def test_a_session_that_is_asked_for_again_and_again_is_read_once_in_two_seconds(rig: Rig) -> None:
    await rig.sessions.write(talked_in())
    for _ in range(10):
        await rig.service.get_session("s1")
    reads = rig.sessions.reads
    await rig.sessions.end("s1", "client")
    rig.clock.advance(seconds=FRESH_SECONDS)
    later = await rig.service.get_session("s1")
    counted = rig.counters.read()

    assert reads == 1
    assert not later.is_active
    assert (counted["voice_session_cache_hit"], counted["voice_session_cache_missed"]) == (9, 2)


@pytest.mark.req("S0-69")
async def test_the_cache_keeps_what_was_used_last(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.session_cache.MOST", 2)
    for name in ("s1", "s2"):
        await rig.sessions.write(talked_in(name))
        await rig.service.get_session(name)
    await rig.service.get_session("s1")
    await rig.sessions.write(talked_in("s3"))
    for name in ("s3", "s1", "s2"):
        await rig.service.get_session(name)

    assert rig.sessions.reads == 4
