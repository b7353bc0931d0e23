"""The cascade as an operator asks for it."""

from contextlib import AsyncExitStack

import pytest

from cascade.client import CascadeClient
from cascade.voices import CASTINGS
from config import Settings, SettingsError
from parts.cascade import LOCAL_TEXT_MODEL, ModelPlace, open_note_writer
from parts.errors import StartFailed
from parts.model import make_client, place_of
from s2s.bedrock.credentials import StaticCredentials
from s2s.models import CASCADE_MODEL_ID, MODELS

KEYS = StaticCredentials("a", "b")
ASKED = {"MODEL_ID": "cascade", "TEXT_MODEL_ID": "us.amazon.nova-lite-v1:0"}


def test_a_cascade_needs_a_text_model_except_with_the_emulator() -> None:
    with pytest.raises(SettingsError) as refused:
        Settings.from_env({"MODEL_ID": "cascade"})

    assert refused.value.problems == ("TEXT_MODEL_ID is needed with MODEL_ID=cascade",)
    assert place_of(Settings.from_env({"MODEL_ID": "cascade"}, local=True)).model_id == LOCAL_TEXT_MODEL
    assert place_of(Settings.from_env(ASKED)).model_id == "us.amazon.nova-lite-v1:0"


async def test_the_model_id_chooses_the_cascade() -> None:
    client = make_client(Settings.from_env(ASKED), None, None, KEYS)
    await client.aclose()

    assert isinstance(client, CascadeClient)
    assert client.model_id == CASCADE_MODEL_ID


@pytest.mark.parametrize("endpoint", [None, "https://127.0.0.1:1"])
async def test_a_proxy_that_cannot_be_used_stops_the_start(endpoint: str | None) -> None:
    with pytest.raises(StartFailed):
        make_client(Settings.from_env(ASKED | {"HTTPS_PROXY": "ftp://nowhere"}), endpoint, None, KEYS)


async def test_notes_are_written_where_there_is_a_text_model() -> None:
    place = ModelPlace("https://127.0.0.1:1", None, KEYS)
    async with AsyncExitStack() as resources:
        assert open_note_writer(Settings.from_env({}), resources, place) is None
        assert open_note_writer(Settings.from_env(ASKED), resources, None) is None
        assert open_note_writer(Settings.from_env({"TEXT_MODEL_ID": "m"}), resources, place) is not None


def test_every_voice_of_the_model_is_spoken_for() -> None:
    voices = MODELS[CASCADE_MODEL_ID].voices

    assert sorted(CASTINGS) == sorted(voices)
    assert [voice for voice, language in voices.items() if not CASTINGS[voice].language.startswith(language[:2])] == []
    assert {language[:2] for language in voices.values()} >= {"en", "es", "fr", "de"}
