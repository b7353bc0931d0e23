"""Recordings by the whole server: a conversation with a scripted model is in the folder when the server has ended."""

import asyncio
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from bootstrap import build
from config import Settings, SettingsError, StorageKind
from parts.assistants import load_assistants
from parts.errors import StartFailed
from parts.objects import open_objects
from parts.recordings import is_recorded, recorded_assistants
from session.assistant import AssistantProfile, parse_assistant
from session.events import End, SendAudio, SessionStarted, SpeechChunk, Start
from storage.object_folder import FolderStore
from storage.object_links import LinkSigner
from storage.recordings import RecordAudio, RecordingFormat, Recordings, RecordingState
from tests.observers.recorded_calls import channels, coded
from tests.session.doubles import Nova, ScriptedModel


def settings_in(folder: Path, **more: object) -> Settings:
    own = Settings(
        local=True,
        storage=StorageKind.SQLITE,
        sqlite_path=folder / "records.sqlite3",
        recordings_folder=folder / "recordings",
        recording_format=RecordingFormat.WAV,
    )
    return replace(own, **more)  # type: ignore[arg-type]  # settings of several types


async def converse(settings: Settings) -> str:
    """Hold a short conversation with a server of these settings, end it, and return the session's id."""
    model, nova = ScriptedModel(), Nova()
    application = await build(settings, model=model)
    runner = application.registry.open(Start(input_hertz=24_000, output_hertz=24_000))
    runner.client.principal = "ana"
    task = application.registry.launch(runner)
    while not isinstance(await runner.next_event(), SessionStarted):
        continue
    await runner.submit(SendAudio(coded(0, 2_400)))
    model.streams[-1].say([*nova.start(), *nova.user("Hola"), *nova.speaks(20)])
    while not isinstance(await runner.next_event(), SpeechChunk):
        continue
    await runner.submit(End())
    while await runner.next_event() is not None:
        continue
    await asyncio.wait({task})
    await application.stop()
    return runner.session_id


@pytest.mark.req("S0-23", "S0-52")
async def test_a_conversation_is_in_the_folder_when_the_server_has_ended(tmp_path: Path) -> None:
    session_id = await converse(settings_in(tmp_path, record_audio=RecordAudio.ALL))
    store = FolderStore(tmp_path / "recordings", LinkSigner([bytes(32)]), "/")
    (recording,) = await Recordings(store).of_session(session_id)
    file = await store.get(recording.key)
    await store.aclose()

    assert file is not None
    left, right, hertz = channels(file)
    assert (recording.user_id, recording.state, hertz) == ("ana", RecordingState.COMPLETE, 24_000)
    assert left[left.index(0) : left.index(0) + 2_400] == list(range(2_400))
    assert recording.figures.samples == len(left) == len(right)


@pytest.mark.parametrize("how", [RecordAudio.OFF, RecordAudio.ASSISTANT])
async def test_nothing_is_recorded_unless_somebody_wants_it(tmp_path: Path, how: RecordAudio) -> None:
    await converse(settings_in(tmp_path, record_audio=how))

    assert [path for path in (tmp_path / "recordings").rglob("*") if path.is_file()] == []


ASSISTANT = """
name = "carlos"
default_language = "es"
tools = []
client_may_set = []
{}
[languages.es]
voice = "carlos"
prompt = "Hola"
"""


def assistant(said: str = "") -> AssistantProfile:
    return parse_assistant(ASSISTANT.format(said))


@pytest.mark.parametrize(
    ("how", "said", "expected"),
    [
        (RecordAudio.OFF, "[records]\naudio = true", False),
        (RecordAudio.ASSISTANT, "[records]\naudio = true", True),
        (RecordAudio.ASSISTANT, "", False),
        (RecordAudio.ALL, "", True),
    ],
)
def test_a_front_end_is_told_who_is_recorded(tmp_path: Path, how: RecordAudio, said: str, expected: bool) -> None:  # noqa: FBT001 - a row
    assert is_recorded(settings_in(tmp_path, record_audio=how), assistant(said)) is expected


def test_without_a_place_nobody_is_recorded() -> None:
    assert not is_recorded(Settings(record_audio=RecordAudio.ALL), assistant())


def test_no_assistant_that_comes_with_the_server_is_recorded(tmp_path: Path) -> None:
    assert recorded_assistants(settings_in(tmp_path), load_assistants()) == frozenset()


@pytest.mark.req("S0-58")
async def test_links_into_a_folder_need_a_key_of_the_operators(tmp_path: Path) -> None:
    async with AsyncExitStack() as resources:
        with pytest.raises(StartFailed, match="RECORDINGS_KEY"):
            await open_objects(Settings(recordings_folder=tmp_path), resources)
        assert await open_objects(Settings(), resources) is None
        assert await open_objects(Settings(recordings_folder=tmp_path, recordings_keys=(bytes(32),)), resources) is not None


@pytest.mark.req("S0-58")
@pytest.mark.parametrize("name", ["Upper", "ab", "a..b", "-ab", "a_b", "s3://bucket", "x" * 64])
def test_a_bucket_has_a_name_that_s3_takes(name: str) -> None:
    with pytest.raises(SettingsError, match="AUDIO_STORAGE_BUCKET"):
        Settings.from_env({"AUDIO_STORAGE_BUCKET": name})
    assert Settings.from_env({"AUDIO_STORAGE_BUCKET": "airium-audio-storage-123456789012-us-east-1"}).audio_bucket
