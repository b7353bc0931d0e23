"""A spoken conversation by way of the cascade: Transcribe, Converse and Polly of the emulator, behind the server as a user starts it."""

from pathlib import Path

import numpy as np
import pytest
from aiohttp import ClientSession

from tests import needs
from tests.e2e.clients import HERTZ, Client, connected
from tests.e2e.speech import Utterance, resampled, silence, speak
from tests.e2e.stack import running_stack

pytestmark = [pytest.mark.speech, pytest.mark.timeout(120)]
REQUEST = "Quiero consultar el pedido número uno, mi DNI es uno dos tres cuatro cinco seis siete ocho"


def spoken(text: str) -> bytes:
    """Return an utterance as a microphone hears it, with a second of quiet after it."""
    samples = np.concatenate([silence(0.5), speak(Utterance("es+m3", text)), silence(1.5)])
    return resampled(samples, HERTZ).tobytes()


def texts(client: Client, role: str, stage: str) -> list[str]:
    """Return what one side said, as the page is told it."""
    return [str(one["text"]) for one in client.bodies("transcript") if (one["role"], one["stage"]) == (role, stage)]


@pytest.mark.req("S0-20")
@pytest.mark.req("S0-48")
@pytest.mark.req("S1-27")
async def test_an_order_is_looked_up_aloud_the_answer_interrupted_and_notes_are_written(tmp_path: Path) -> None:
    needs.espeak()
    settings = {"MODEL_ID": "cascade", "TEXT_MODEL_ID": "us.amazon.nova-lite-v1:0"}
    async with running_stack(tmp_path, settings) as stack, connected(stack.socket) as client:
        await client.begin()
        await client.until(lambda: bool(client.bodies("session.started")))
        await client.speak(spoken(REQUEST))
        await client.until(lambda: len(client.speech) > HERTZ, 30)
        await client.speak(spoken("Quiero cancelar el pedido número dos"))
        await client.until(lambda: len(texts(client, "user", "final")) > 1, 30)
        await client.until(lambda: len(client.bodies("speech.started")) > 1, 30)
        (started,) = client.bodies("session.started")
        address = f"{stack.page}voice-sessions/{started['session_id']}/notes"
        async with ClientSession() as http, http.post(address) as answer:
            notes = await answer.json()

    assert client.results()[0]["success"] is True
    assert "67.48" in str(client.results()[0])
    assert texts(client, "user", "final")[0].startswith("quiero consultar el pedido número uno")
    assert texts(client, "assistant", "speculative")[0].startswith("Tu pedido 1 está pendiente")
    assert len(client.bodies("interrupted")) == 1
    assert notes["data"]["isExtracted"] is False
