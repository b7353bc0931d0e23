"""Whatever is sent, in whatever order: it is taken or refused, and nothing else happens."""

import base64
import contextlib

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nova_sonic_local.models import MODELS
from nova_sonic_local.order import OrderEngine
from nova_sonic_local.parsing import Checks, EventParser
from nova_sonic_local.refusals import Refused
from nova_sonic_local.states import State
from tests.emulator.wire import (
    PROMPT_END,
    SESSION_END,
    Json,
    audio_input,
    audio_start,
    content_end,
    opening,
    prompt_start,
    session_start,
    text_input,
    text_start,
    tool,
    tool_result,
)

EVENTS: list[Json] = [
    session_start(),
    prompt_start(),
    prompt_start(tools=[tool()]),
    *(
        text_start(name, role, interactive=interactive)
        for name in "SH"
        for role in ("SYSTEM", "USER", "ASSISTANT")
        for interactive in (True, False)
    ),
    *(text_input(name, "text") for name in "SHA"),
    *(content_end(name) for name in "SHAT"),
    audio_start(),
    audio_input(b"\0\0"),
    *tool_result("K", "{}"),
    PROMPT_END,
    SESSION_END,
    {"event": {"connectionEnd": {}}},
]
ORDER = list(State)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | st.text(),
    lambda inner: (
        st.lists(inner) | st.dictionaries(st.text() | st.sampled_from(["event", "promptName", "contentName", "type", "content"]), inner)
    ),
    max_leaves=12,
)
MODEL = MODELS["amazon.nova-2-sonic-v1"]


@given(st.lists(st.sampled_from(EVENTS), max_size=25), st.booleans(), st.sampled_from(Checks))
@settings(max_examples=400, deadline=None)
def test_any_order_of_events_moves_forward_or_is_refused(events: list[Json], is_open: bool, checks: Checks) -> None:  # noqa: FBT001 -- drawn by hypothesis
    parser, order = EventParser(MODEL, checks), OrderEngine("m", MODEL, checks, {"K"})
    with contextlib.suppress(Refused):
        for event in (opening() if is_open else []) + events:
            before = ORDER.index(order.state)
            order.accept(parser.parse(orjson.dumps(event)))

            assert ORDER.index(order.state) >= before


@given(st.sampled_from([event for event in EVENTS if "sessionEnd" not in event["event"]]), st.data())
@settings(max_examples=400, deadline=None)
def test_an_event_with_any_member_changed_is_taken_or_refused(event: Json, data: st.DataObject) -> None:
    ((name, body),) = event["event"].items()
    changed = body | {data.draw(st.sampled_from(sorted(body) or ["x"])): data.draw(JSON)}
    with contextlib.suppress(Refused):
        EventParser(MODEL, Checks.STRICT).parse(orjson.dumps({"event": {name: changed}}))


@given(JSON)
@settings(deadline=None)
def test_any_json_is_taken_or_refused(value: object) -> None:
    parser = EventParser(MODEL, Checks.STRICT)
    data = orjson.dumps(value)
    for chunk in (data, orjson.dumps({"bytes": base64.b64encode(data).decode()})):
        with contextlib.suppress(Refused):
            parser.parse_chunk(chunk)


@pytest.mark.parametrize(
    "payload",
    [b"", b"{", b"null", b"[]", b'{"bytes":1}', b'{"bytes":"?"}', b'{"bytes":null}', '{"bytes":"ñ"}'.encode(), b"\xff", b"[" * 100_000],
)
def test_a_payload_that_is_no_chunk_is_unparsable(payload: bytes) -> None:
    with pytest.raises(Refused, match="Unable to parse input chunk"):
        EventParser(MODEL, Checks.STRICT).parse_chunk(payload)


def test_a_schema_nested_without_end_is_refused() -> None:
    schema = '{"properties":{"a":' * 60 + "{}" + "}}" * 60

    with pytest.raises(Refused):
        EventParser(MODEL, Checks.STRICT).parse(orjson.dumps(prompt_start(tools=[tool(schema=schema)])))
