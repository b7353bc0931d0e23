"""How each dialect begins, and how it is told what was wrong: what the battery must know to be hostile in all of them alike."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from tests.transports import raw_client

type Frame = str | bytes
type Json = dict[str, object]

HERTZ = 16_000


@dataclass(frozen=True, slots=True)
class Tongue:
    """One dialect, as a client of it sees the server."""

    name: str
    opening: tuple[Frame, ...]
    """Begins a conversation that hears and speaks at one rate."""
    probe: Frame
    """Is refused in every state; its answer shows that everything before it has been worked off."""
    probe_code: str = "unknown_event"
    path: str = "/"
    subprotocols: tuple[str, ...] = ()


PAGE = Tongue(
    "page",
    (json.dumps({"type": "hello", "protocol": 1, "input_hertz": HERTZ, "output_hertz": HERTZ}),),
    '{"type":"probe"}',
    subprotocols=("nova-sonic.v1",),
)
RAW = Tongue(
    "raw",
    (raw_client.session_start(), raw_client.prompt_start(hertz=HERTZ), *raw_client.opening()[2:]),
    raw_client.event("probe"),
)
TONGUES = (PAGE, RAW)


def error_of(message: object) -> Json | None:
    """Return the error that a message of any dialect tells, None when it tells none."""
    if not isinstance(message, dict):
        return None
    event = message.get("event")
    nested: Sequence[object] = (event.get("error") if isinstance(event, dict) else None, message.get("error"), message.get("data"), message)
    is_error = message.get("type") == "error" or message.get("status") == "error" or nested[0] is not None
    return next((each for each in nested if is_error and isinstance(each, dict) and "code" in each), None)
