"""Whatever comes over the wire, the answer is one that is documented, nothing is logged as our own fault, and the next stream is served.

Documented are: an HTTP error with its name and a JSON message; events, perhaps followed by an exception of the table; for broken HTTP/2 a
GOAWAY or RST_STREAM. See docs/reference/conformance.md.
"""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from itertools import pairwise

import pytest
from h2.exceptions import ProtocolError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nova_sonic_local.envelope import SignatureCheck
from nova_sonic_local.manner import Manner
from nova_sonic_local.options import Options
from nova_sonic_local.refusals import HTTP_FORM, Member, Refusal
from nova_sonic_local.server import NovaSonicLocal
from tests.emulator.frames import PREFACE, Kind, Peer, frame
from tests.emulator.signed_wire import Identity, SignedClient, signed_message
from tests.emulator.wire import (
    Ending,
    Json,
    RawClient,
    RawStream,
    audio_input,
    closing,
    inner_bytes,
    inner_message,
    opening,
    silence,
    speech,
    text_block,
    tool,
    tool_result,
)

ME = Identity("AKIDLOCAL", "a-secret-of-this-test")
OPEN = Options(manner=Manner(speech_speed=0), max_streams=100)
STRICT = Options(brain="echo", signatures=SignatureCheck.STRICT, secrets={ME.access_key: ME.secret}, max_streams=100)
WORDS = {refusal.value.text.partition("{")[0].partition("[")[0] for refusal in Refusal}
HTTP_KINDS = {*HTTP_FORM.values(), (404, "UnknownOperationException"), (405, "UnknownOperationException")}
SIGNATURE_KINDS = {
    "IncompleteSignatureException",
    "InvalidSignatureException",
    "MissingAuthenticationTokenException",
    "UnrecognizedClientException",
}
ENDING_SECONDS = 5.0

SCRIPT: list[Json] = [
    *opening(*text_block("H", "USER", "hi"), tools=[tool()]),
    audio_input(silence(0.1)),
    audio_input(speech(0.3)),
    audio_input(silence(0.8)),
    *text_block("U", "USER", "hello", interactive=True),
    *tool_result("K", "{}"),
    *closing(),
]
WIRE = b"".join(map(inner_message, SCRIPT))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


def fuzz(examples: int) -> settings:
    """Return how many examples are tried; one emulator serves them all."""
    return settings(max_examples=examples, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])


@asynccontextmanager
async def serving(options: Options) -> AsyncIterator[NovaSonicLocal]:
    async with NovaSonicLocal(options) as emulator:
        yield emulator


@pytest.fixture
async def emulator() -> AsyncIterator[NovaSonicLocal]:
    async with serving(OPEN) as running:
        yield running


@pytest.fixture
async def strict_emulator() -> AsyncIterator[NovaSonicLocal]:
    async with serving(STRICT) as running:
        yield running


def assert_documented(ending: Ending) -> None:
    if ending.status == 200:
        if ending.exception is not None:
            kind, text = ending.exception
            assert kind in SIGNATURE_KINDS or any(words in text for words in WORDS), text
            assert kind in SIGNATURE_KINDS | set(Member)
    elif ending.status:
        kind = ending.headers["x-amzn-errortype"]
        assert isinstance(json.loads(ending.body)["message"], str)
        assert (ending.status, kind) in HTTP_KINDS or (ending.status == 403 and kind in SIGNATURE_KINDS)
    assert ending.is_ended or ending.reset_code is not None


async def assert_serves(emulator: NovaSonicLocal, caplog: pytest.LogCaptureFixture) -> None:
    """Fail when something went wrong inside, or when the next stream is not served."""
    others = "awscrt"  # tasks that the SDK's own client left behind in an earlier test, and that are collected only now
    assert [record for record in caplog.records if record.levelno >= logging.WARNING and others not in record.getMessage()] == []
    async with SignedClient(emulator.h2c_endpoint, ME) as client:
        stream = client.open()
        await stream.send(*opening()[:2])

        assert await stream.head() == 200


async def send_and_end(stream: RawStream, data: bytes) -> Ending:
    with suppress(ProtocolError):  # the stream may be over before the last byte
        await stream.write(data)
        stream.end()
    async with asyncio.timeout(ENDING_SECONDS):
        return await stream.ending()


def in_pieces(data: bytes, cuts: Iterable[int]) -> bytes:
    """Return the pieces between some cuts, in the other order."""
    places = [0, *sorted({cut % (len(data) + 1) for cut in cuts}), len(data)]
    return b"".join(data[start:end] for start, end in reversed(list(pairwise(places))))


MUTATIONS = st.one_of(
    st.tuples(st.just("flip"), st.integers(0, 10**6), st.integers(1, 255)),
    st.tuples(st.just("cut"), st.integers(0, 10**6), st.integers(1, 400)),
    st.tuples(st.just("insert"), st.integers(0, 10**6), st.binary(min_size=1, max_size=40)),
    st.tuples(st.just("repeat"), st.integers(0, 10**6), st.integers(1, 400)),
)


def mutated(data: bytes, mutations: list[tuple[str, int, int | bytes]]) -> bytes:
    for kind, number, what in mutations:
        place = number % max(1, len(data))
        match kind, what:
            case "flip", int():
                data = data[:place] + bytes([data[place] ^ what]) + data[place + 1 :] if data else data
            case "cut", int():
                data = data[:place] + data[place + what :]
            case "insert", bytes():
                data = data[:place] + what + data[place:]
            case "repeat", int():
                data = data[: place + what] + data[place:]
    return data


@given(data=st.binary(max_size=400))
@fuzz(80)
async def test_any_bytes_as_data_are_answered(emulator: NovaSonicLocal, caplog: pytest.LogCaptureFixture, data: bytes) -> None:
    async with RawClient(emulator.h2c_endpoint) as client:
        assert_documented(await send_and_end(client.open(), data))
    await assert_serves(emulator, caplog)


@given(mutations=st.lists(MUTATIONS, min_size=1, max_size=4), cuts=st.lists(st.integers(0, 10**6), max_size=2))
@fuzz(120)
async def test_a_conversation_with_damaged_bytes_is_answered(
    emulator: NovaSonicLocal, caplog: pytest.LogCaptureFixture, mutations: list[tuple[str, int, int | bytes]], cuts: list[int]
) -> None:
    async with RawClient(emulator.h2c_endpoint) as client:
        assert_documented(await send_and_end(client.open(), in_pieces(mutated(WIRE, mutations), cuts)))
    await assert_serves(emulator, caplog)


@given(mutations=st.lists(MUTATIONS, min_size=1, max_size=3))
@fuzz(60)
async def test_a_signed_conversation_with_damaged_bytes_is_answered(
    strict_emulator: NovaSonicLocal, caplog: pytest.LogCaptureFixture, mutations: list[tuple[str, int, int | bytes]]
) -> None:
    async with SignedClient(strict_emulator.h2c_endpoint, ME) as client:
        stream = client.open()
        wire = b"".join(signed_message(stream.chain, message) for message in [*map(inner_message, SCRIPT), b""])
        assert_documented(await send_and_end(stream, mutated(wire, mutations)))
    await assert_serves(strict_emulator, caplog)


@st.composite
def changed_events(draw: st.DrawFn) -> list[bytes]:
    """Return the conversation, with some members of one event, or the event itself, replaced by any JSON."""
    place = draw(st.integers(0, len(SCRIPT) - 1))
    ((name, body),) = SCRIPT[place]["event"].items()
    changed = dict(body)
    for member in draw(st.lists(st.sampled_from([*sorted(body), "x"]), min_size=1, max_size=2)):
        changed[member] = draw(JSON)
    replacement = draw(st.sampled_from([{"event": {name: changed}}, {"event": changed}, {name: changed}, changed]))
    return [inner_message(replacement if index == place else event) for index, event in enumerate(SCRIPT)]


@given(messages=changed_events())
@fuzz(150)
async def test_events_with_other_members_are_answered(
    emulator: NovaSonicLocal, caplog: pytest.LogCaptureFixture, messages: list[bytes]
) -> None:
    async with RawClient(emulator.h2c_endpoint) as client:
        assert_documented(await send_and_end(client.open(), b"".join(messages)))
    await assert_serves(emulator, caplog)


@given(text=st.binary(max_size=60) | st.text(alphabet='{}[]":,ev\\u0tnl1.-', max_size=60).map(str.encode), place=st.integers(0, 6))
@fuzz(80)
async def test_what_is_hardly_json_is_answered(emulator: NovaSonicLocal, caplog: pytest.LogCaptureFixture, text: bytes, place: int) -> None:
    async with RawClient(emulator.h2c_endpoint) as client:
        before = b"".join(map(inner_message, SCRIPT[:place]))
        assert_documented(await send_and_end(client.open(), before + inner_bytes(text)))
    await assert_serves(emulator, caplog)


@given(
    order=st.lists(st.integers(0, len(SCRIPT) - 1), max_size=25),
    opened=st.integers(0, len(SCRIPT)),
)
@fuzz(150)
async def test_events_in_any_order_are_answered(
    emulator: NovaSonicLocal, caplog: pytest.LogCaptureFixture, order: list[int], opened: int
) -> None:
    async with RawClient(emulator.h2c_endpoint) as client:
        events = [*SCRIPT[:opened], *(SCRIPT[index] for index in order)]
        assert_documented(await send_and_end(client.open(), b"".join(map(inner_message, events))))
    await assert_serves(emulator, caplog)


PRINTABLE = st.characters(min_codepoint=0x21, max_codepoint=0x7E)
HEADER_NAMES = st.sampled_from(
    ["authorization", "content-type", "content-length", "x-amz-date", "x-amz-content-sha256", "x-nova-sonic-local-fault", "host", "te", "x"]
) | st.text(alphabet=PRINTABLE, min_size=1, max_size=12)
HEADER_VALUES = (
    st.text(max_size=40)
    | st.sampled_from(["-1", "999999999999", "AWS4-HMAC-SHA256 ", "AWS4-HMAC-SHA256 Credential=a/b/c/d/e, SignedHeaders=;, Signature=ñ"])
    | st.just("x" * 5_000)
)


@dataclass(frozen=True)
class Head:
    path: str
    fields: list[tuple[str, str]]
    is_signed: bool


PATHS = st.text(alphabet=PRINTABLE, max_size=60).map("/model/{}/invoke-with-bidirectional-stream".format) | st.text(max_size=30)
HEADS = st.builds(Head, PATHS, st.lists(st.tuples(HEADER_NAMES, HEADER_VALUES), max_size=6), st.booleans())


@given(head=HEADS)
@fuzz(150)
async def test_any_head_is_answered(
    emulator: NovaSonicLocal, strict_emulator: NovaSonicLocal, caplog: pytest.LogCaptureFixture, head: Head
) -> None:
    server = strict_emulator if head.is_signed else emulator
    async with Peer(server.h2c_endpoint) as peer:
        peer.send(peer.head(1, [*peer.request(method="POST", path=head.path), *head.fields]))
        answer = await peer.until(lambda found: found.stream_id == 1 or found.kind == Kind.GOAWAY)

        assert answer.kind in (Kind.HEADERS, Kind.RST_STREAM, Kind.GOAWAY)
        if answer.kind == Kind.HEADERS:
            assert 400 <= await peer.status(1) < 500
    await assert_serves(server, caplog)


FRAMES = st.builds(
    frame,
    st.integers(0, 10) | st.integers(0, 255),
    st.integers(0, 255),
    st.sampled_from([0, 1, 1, 1, 2, 3, 5, 2**31 - 1]),
    st.binary(max_size=40) | st.integers(0, 2**32 - 1).map(lambda number: number.to_bytes(4)),
)


@given(frames=st.lists(FRAMES, min_size=1, max_size=8), has_stream=st.booleans(), has_preface=st.booleans())
@fuzz(200)
async def test_any_frames_are_answered_or_end_the_connection(
    emulator: NovaSonicLocal,
    caplog: pytest.LogCaptureFixture,
    frames: list[bytes],
    has_stream: bool,  # noqa: FBT001 -- drawn by hypothesis
    has_preface: bool,  # noqa: FBT001 -- drawn by hypothesis
) -> None:
    async with Peer(emulator.h2c_endpoint, has_preface=has_preface) as peer:
        if not has_preface:
            peer.send(PREFACE)
        if has_stream and has_preface:
            peer.send(peer.head(1, peer.stream_request(), 0x4))
        peer.send(*frames)
        peer.writer.write_eof()
        await peer.closed()
    await emulator.quiet()
    await assert_serves(emulator, caplog)


async def test_a_request_that_is_never_finished_holds_up_nobody(emulator: NovaSonicLocal, caplog: pytest.LogCaptureFixture) -> None:
    async with RawClient(emulator.h2c_endpoint) as client:
        stream = client.open()
        await stream.write(inner_message(SCRIPT[0])[:-1])
        await assert_serves(emulator, caplog)

        assert not stream.is_over
