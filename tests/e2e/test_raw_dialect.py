"""The same spoken conversation by a client that speaks Nova's own events and knows nothing of this server."""

import base64
import json

import pytest

from tests.e2e.raw_client import RawClient
from tests.e2e.speech import Utterance, resampled, speak
from tests.e2e.stack import Stack

pytestmark = pytest.mark.speech

ASKING = Utterance("es-419", "Quiero consultar el pedido número uno, mi DNI es uno dos tres cuatro cinco seis siete ocho")


def pcm(utterance: Utterance) -> bytes:
    """Return the utterance as a client's microphone sends it."""
    return bytes(16_000) + resampled(speak(utterance), 16_000).astype("<i2").tobytes()


@pytest.mark.req("S4-10", "S4-34", "S4-36", "S4-38", "S4-40", "S4-41", "S4-43", "S4-44", "S4-45", "S4-58")
@pytest.mark.parametrize("wrap_in_body", [False, True], ids=["plain", "wrapped in body"])
async def test_a_raw_client_hears_the_order_read_from_the_database(stack: Stack, wrap_in_body: bool) -> None:  # noqa: FBT001 - a parameter
    client = RawClient(stack.socket, wrap_in_body=wrap_in_body)

    await client.talk(pcm(ASKING), until="contentEnd", count=6)

    (use,) = client.bodies("toolUse")
    (result,) = client.bodies("toolResult")
    assert use["toolName"] == "consultarOrder"
    assert json.loads(str(use["content"])) == {"orderId": "1", "dni": "12345678"}
    assert json.loads(str(result["content"]))["order"]["status"] == "pending"
    assert client.texts("USER")
    assert client.texts("ASSISTANT")
    assert "[FINAL]" not in json.dumps(client.frames)
    assert await stack.logged("session.closed", count=1)


@pytest.mark.req("S4-38", "S4-39", "S4-41")
async def test_the_frames_keep_to_what_clients_in_the_field_can_read(stack: Stack) -> None:
    client = RawClient(stack.socket)

    await client.talk(pcm(ASKING), until="contentEnd", count=6)

    audio = [base64.b64decode(str(body["content"]), validate=True) for body in client.bodies("audioOutput")]
    starts = client.bodies("contentStart")
    assert audio
    assert all(len(piece) % 6 == 0 for piece in audio)
    assert all(len(frame["event"]) == 1 and set(frame) <= {"event", "timestamp"} for frame in client.frames)
    assert all({"type", "role", "contentId"} <= body.keys() or "contentName" in body for body in starts)
    assert all("stopReason" in body or "contentName" in body for body in client.bodies("contentEnd"))
    assert all(body["promptName"] == "prompt" for body in starts)
    assert all(isinstance(body["additionalModelFields"], str) for body in starts if "additionalModelFields" in body)


@pytest.mark.req("S4-35")
async def test_the_last_events_of_a_client_that_leaves_in_the_same_tick_still_count(stack: Stack) -> None:
    client = RawClient(stack.socket)

    await client.talk(bytes(32_000), until="nothing", count=0)

    assert await stack.logged("session.closed", count=1)
