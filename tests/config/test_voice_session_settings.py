"""The settings of voice sessions, and what installations on Lambda have in their environment."""

import pytest
from structlog.testing import capture_logs

from bootstrap import build
from config import Settings, SettingsError
from tests.transports.doubles import NoTools, ScriptedModel


@pytest.mark.req("S0-01", "S0-58")
def test_the_environment_of_an_installation_on_lambda_can_be_taken_over() -> None:
    arn = "arn:aws:lambda:us-east-1:123456789012:function:session-manager"
    settings = Settings.from_env(
        {
            "WEBSOCKET_API_ID": "a1b2c3d4",
            "VOICE_SESSIONS_TABLE_NAME": "mine",
            "AUDIO_STORAGE_BUCKET": "airium-audio-storage-123456789012-us-east-1",
            "SESSION_MANAGER_FUNCTION_ARN": arn,
        }
    )

    assert (settings.voice_sessions_table, settings.websocket_api_id) == ("mine", "a1b2c3d4")
    assert settings.audio_bucket == "airium-audio-storage-123456789012-us-east-1"
    assert settings.session_manager_function_arn == arn
    assert Settings.from_env({}).voice_sessions_table == "airium-voice-sessions"


@pytest.mark.parametrize(("name", "value"), [("VOICE_SESSIONS_TABLE_NAME", "a b"), ("VOICE_SESSION_DAYS", "-1")])
def test_what_cannot_be_is_named(name: str, value: str) -> None:
    with pytest.raises(SettingsError) as refused:
        Settings.from_env({name: value})

    assert [problem.partition("=")[0] for problem in refused.value.problems] == [name]


@pytest.mark.req("S0-58")
async def test_a_function_that_is_not_needed_is_named_once_in_the_log() -> None:
    with capture_logs() as lines:
        application = await build(Settings.from_env({"SESSION_MANAGER_FUNCTION_ARN": "arn"}), model=ScriptedModel(), tools=NoTools())
        await application.stop()

    assert [line["name"] for line in lines if line["event"] == "setting.not_needed"] == ["SESSION_MANAGER_FUNCTION_ARN"]
