"""Uploaded audio over REST: as files and as base64, within limits, and each user's own."""

import asyncio
import base64
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonschema
import orjson
import pytest
import pytest_asyncio
from aiohttp import ClientResponse, ClientSession

from api import audio, openapi
from api.app import build_app
from api.audio import AUDIO, AudioOffer
from api.audio_shapes import MAX_BASE64, MAX_FILE_BYTES
from audio.decoding import FileLimits
from storage.sqlite import SqliteDatabase
from storage.tables import voice_sessions_table
from storage.voice_session_items import VoiceSession, VoiceSessionStatus
from storage.voice_sessions import VoiceSessions
from tests.api.desk import JUAN, LISTENS_ON, NOBODY, OPERATOR, PRINCIPALS, NamedTokens
from tests.api.raw import serving
from tests.service.stage import Stage, spoken, staged
from tests.storage.databases import NOW
from transports.origins import OriginPolicy

pytestmark = pytest.mark.timeout(60)
WAV = {"Content-Type": "audio/wav"}


@dataclass
class House:
    """The API over one session of Juan's, and one of his that has ended."""

    port: int
    stage: Stage
    sessions: VoiceSessions

    async def ask(
        self, path: str, *, by: str = JUAN, data: bytes | None = None, json: object = None, headers: Mapping[str, str] | None = None
    ) -> ClientResponse:
        own = {"Authorization": f"Bearer {by}"} if by else {}
        async with ClientSession() as http:
            address = f"http://127.0.0.1:{self.port}{path}"
            response = await http.post(address, data=data, json=json, headers={**own, **(headers or {})})
            await response.read()
            return response

    async def data(self, path: str, **options: Any) -> dict[str, Any]:
        response = await self.ask(path, **options)
        body = await response.json()

        assert response.status == 200, body
        jsonschema.validate(body, _answer_schema(path))
        return dict(body["data"])

    async def code(self, path: str, **options: Any) -> tuple[int, str]:
        response = await self.ask(path, **options)
        return response.status, (await response.json())["error"]["code"]


def _answer_schema(path: str) -> dict[str, Any]:
    whole = orjson.loads(openapi.encode(audio.OPERATIONS, version="1", stage="", needs_token=True))
    named = "/transcriptions" if path.startswith("/transcriptions") else "/voice-sessions/{id}/audio"
    schema = whole["paths"][named]["post"]["responses"]["200"]["content"]["application/json"]["schema"]
    return {**schema, "components": whole["components"]}


def session(session_id: str, user_id: str) -> VoiceSession:
    return VoiceSession(
        session_id=session_id, connection_id="", user_id=user_id, status=VoiceSessionStatus.ACTIVE, created_at=NOW, updated_at=NOW
    )


@asynccontextmanager
async def housed(folder: Path) -> AsyncIterator[House]:
    database = SqliteDatabase(folder / "records.sqlite3")
    table = database.table(voice_sessions_table("sessions"))
    await table.create()
    sessions = VoiceSessions(table)
    for session_id in ("s-1", "s-over"):
        await sessions.create(session(session_id, PRINCIPALS[JUAN].user_id))
    await sessions.end("s-over", "client")
    async with staged(folder / "objects") as stage:
        app = build_app(
            [audio.OPERATIONS],
            authenticator=NamedTokens(),
            origins=OriginPolicy((), LISTENS_ON),
            parts={AUDIO: AudioOffer(stage.surroundings, sessions)},
        )
        async with serving(app) as port:
            yield House(port, stage, sessions)
    await database.aclose()


@pytest_asyncio.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    async with housed(tmp_path) as opened:
        yield opened


def encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()


@pytest.mark.req("S0-24", "S0-29")
async def test_a_recording_in_base64_is_answered_in_text_and_speech(house: House) -> None:
    told = await house.data("/voice-sessions/s-1/audio", json={"audio": encoded(spoken(300)), "contentType": "audio/wav"})
    speech = base64.b64decode(told["speech"]["audio"])

    assert told["transcript"] == {"text": "hello", "confidence": None, "language": None}
    assert told["reply"] == "You said hello"
    assert told["error"] is None
    assert [one["stage"] for one in told["stages"]] == ["received", "stored", "transcribed", "answered", "synthesised", "delivered"]
    assert len(await house.stage.desk.decoded(speech, told["speech"]["contentType"])) == pytest.approx(
        32 * told["speech"]["durationMs"], rel=0.2
    )


@pytest.mark.req("S0-24", "S0-22")
async def test_a_recording_can_come_as_it_is_and_is_counted_in_its_session(house: House) -> None:
    told = await house.data("/voice-sessions/s-1/audio", data=spoken(500), headers=WAV)
    counted = await house.sessions.get("s-1")

    assert told["reply"] == "You said status"
    assert counted is not None
    assert (counted.counts.user_turns, counted.counts.assistant_turns) == (1, 1)
    assert counted.counts.assistant_audio_ms == told["speech"]["durationMs"]


@pytest.mark.req("S0-45")
async def test_when_the_model_fails_the_text_is_told_with_the_code(house: House) -> None:
    told = await house.data("/voice-sessions/s-1/audio", data=spoken(900), headers=WAV)

    assert (told["transcript"]["text"], told["speech"], told["reply"]) == ("break", None, "")
    assert told["error"]["retryable"] is True
    assert told["error"]["code"] == "model_lost"


@pytest.mark.req("S0-54", "S0-57")
async def test_a_session_is_its_users_and_operators(house: House) -> None:
    foreign = await house.code("/voice-sessions/s-1/audio", by=NOBODY, data=spoken(300), headers=WAV)
    missing = await house.code("/voice-sessions/s-2/audio", by=NOBODY, data=spoken(300), headers=WAV)
    nobody = await house.code("/voice-sessions/s-1/audio", by="", data=spoken(300), headers=WAV)

    assert foreign == missing == (404, "unknown_session")
    assert nobody == (401, "not_authenticated")
    assert house.stage.prompts == []
    assert (await house.data("/voice-sessions/s-1/audio", by=OPERATOR, data=spoken(300), headers=WAV))["reply"] == "You said hello"


async def test_a_session_that_has_ended_is_answered_no_more(house: House) -> None:
    assert await house.code("/voice-sessions/s-over/audio", data=spoken(300), headers=WAV) == (409, "session_over")


@pytest.mark.req("S0-30", "S0-34")
async def test_a_recording_is_transcribed_in_its_language(house: House) -> None:
    by_query = await house.data("/transcriptions?language=de", data=spoken(300, 700), headers=WAV)
    by_member = await house.data("/transcriptions", json={"audio": encoded(spoken(300)), "language": "fr"})

    assert by_query == {"text": "hello weather", "confidence": None, "language": "de"}
    assert by_member == {"text": "hello", "confidence": None, "language": "fr"}


@pytest.mark.req("S0-31", "S0-21")
@pytest.mark.parametrize(
    ("accept", "media_type"),
    [
        ("*/*", "audio/wav"),
        ("audio/mpeg", "audio/mpeg"),
        ("audio/ogg;q=0.5, audio/webm", "audio/webm"),
        ("text/html, audio/*;q=0.1", "audio/wav"),
    ],
)
async def test_a_text_is_spoken_in_the_format_that_is_liked_best(house: House, accept: str, media_type: str) -> None:
    response = await house.ask("/speech", json={"text": "Good\nmorning.", "voiceId": "tiffany"}, headers={"Accept": accept})
    pcm = await house.stage.desk.decoded(await response.read(), response.content_type)

    assert (response.status, response.content_type) == (200, media_type)
    assert len(pcm) > 16_000
    assert house.stage.prompts[0].voice_id == "tiffany"


@pytest.mark.req("S0-46")
@pytest.mark.parametrize(
    ("path", "options", "answered"),
    [
        ("/transcriptions", {"json": {}}, (400, "invalid_body")),
        ("/transcriptions", {"json": {"audio": "no base64!"}}, (400, "invalid_audio")),
        ("/transcriptions", {"json": {"audio": encoded(b"nonsense"), "contentType": "audio/wav"}}, (400, "invalid_audio")),
        ("/transcriptions", {"json": {"audio": encoded(b"nonsense")}}, (415, "unsupported_format")),
        ("/transcriptions", {"json": {"audio": "A" * (MAX_BASE64 + 1_024)}}, (413, "body_too_large")),
        ("/transcriptions", {"data": bytes(MAX_FILE_BYTES + 1), "headers": WAV}, (413, "body_too_large")),
        ("/transcriptions", {"data": b"RIFF", "headers": {"Content-Type": "image/png"}}, (415, "unsupported_media_type")),
        ("/transcriptions", {"data": b"[" * 100_000, "headers": {"Content-Type": "application/json"}}, (400, "invalid_body")),
        ("/transcriptions?language=tlh", {"data": spoken(300), "headers": WAV}, (400, "not_allowed")),
        ("/transcriptions?language=%00", {"data": spoken(300), "headers": WAV}, (400, "invalid_parameter")),
        ("/speech", {"json": {"text": " \n"}}, (400, "invalid_body")),
        ("/speech", {"json": {"text": "a" * 3_001}}, (400, "invalid_body")),
        ("/speech", {"json": {"text": "Hi.", "voiceId": "hal"}}, (400, "not_allowed")),
        ("/speech", {"json": {"text": "Hi.", "language": "tlh"}}, (400, "not_allowed")),
        ("/speech", {"json": {"text": "Hi."}, "headers": {"Accept": "image/png"}}, (406, "not_acceptable")),
        ("/speech", {"json": {"text": "Hi."}, "headers": {"Accept": "audio/wav;q=0, ;;q=x"}}, (406, "not_acceptable")),
    ],
)
async def test_what_cannot_be_used_is_refused_with_a_code(
    house: House, path: str, options: dict[str, Any], answered: tuple[int, str]
) -> None:
    assert await house.code(path, **options) == answered
    assert house.stage.prompts == []


@pytest.mark.req("S0-47")
async def test_nobody_has_more_than_two_uploads_worked_on_at_once(house: House) -> None:
    asked = [house.ask("/transcriptions", data=spoken(300), headers=WAV) for _ in range(3)]
    answered = await asyncio.gather(*asked)

    assert sorted(one.status for one in answered) == [200, 200, 429]


def test_the_largest_recording_fits_the_limits_of_a_body() -> None:
    assert FileLimits().seconds * 16_000 * 2 < MAX_FILE_BYTES
