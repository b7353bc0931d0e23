"""Uploaded audio in the server as it is put together."""

import base64
from pathlib import Path

import pytest
from aiohttp import ClientSession

from bootstrap import build, listen_on
from tests.server.test_bootstrap import settings_of
from tests.service.stage import spoken
from tests.transports.doubles import ScriptedModel, denied

WAV = {"Content-Type": "audio/wav"}


@pytest.mark.req("S0-47")
async def test_what_is_uploaded_reaches_the_model_by_the_servers_own_sessions(tmp_path: Path) -> None:
    key = base64.b64encode(bytes(32)).decode()
    settings, model = settings_of(tmp_path, RECORDINGS_DIR=str(tmp_path / "objects"), RECORDINGS_KEY=key), ScriptedModel()
    model.refusal = denied()
    listening = listen_on(settings)
    application = await build(settings, model=model)
    await application.start(listening)
    try:
        async with ClientSession(f"http://127.0.0.1:{listening.port}") as http:
            made = await (await http.post("/voice-sessions", json={"metadata": {"language": "en"}})).json()
            session = f"/voice-sessions/{made['data']['sessionId']}"
            answers = [
                await http.post("/speech", json={"text": "Good morning.", "voiceId": "tiffany"}),
                await http.post("/speech", json={"text": "Good morning.", "voiceId": "hal"}),
                await http.post("/transcriptions", data=spoken(300), headers=WAV),
                await http.post("/transcriptions", data=b"nonsense", headers=WAV),
                await http.post(f"{session}/audio", data=spoken(300), headers=WAV),
                await http.post("/voice-sessions/none/audio", data=spoken(300), headers=WAV),
                await http.post(f"{session}/notes"),
            ]
            codes = [(await one.json())["error"]["code"] for one in answers]
    finally:
        await application.stop()

    refused = "model_refused"
    assert codes == [refused, "not_allowed", refused, "invalid_audio", refused, "unknown_session", "nothing_said"]
    assert list((tmp_path / "objects").rglob("audio-*.wav"))
