"""The request, its signature, the head of the response, the messages, and how a stream ends on the wire."""

import asyncio
import base64
import json
import ssl
from binascii import crc32
from contextlib import suppress
from uuid import UUID

import pytest
from h2.errors import ErrorCodes
from h2.exceptions import ProtocolError

from nova_sonic_local.envelope import Envelope, SignatureCheck
from nova_sonic_local.framing import Header, HeaderType, encode_header, encode_message, text_header
from nova_sonic_local.signing import MessageChain
from tests.conformance.checks.refusals import refusal_of
from tests.conformance.facts import holds
from tests.conformance.recording import recorded
from tests.conformance.target import MODEL_ID, Setup, Target
from tests.emulator.signed_wire import Identity, path_of, signed_message
from tests.emulator.wire import RawClient, audio_input, closing, inner_message, opening, silence
from tests.s2s import vectors

SCRIPT = [*opening(), audio_input(silence(0.1))]
QUIET_SECONDS = 2.0
"""Long enough to say that nothing comes."""


async def assert_accepted(target: Target, path: str) -> None:
    async with target.raw() as client:
        stream = client.open(path)
        await stream.send(*SCRIPT)

        assert await stream.head() == 200, stream.body


@holds("wire.path")
async def _path(target: Target) -> None:
    await assert_accepted(target, path_of(MODEL_ID))


@holds("wire.path-without-question-mark")
async def _path_plain(target: Target) -> None:
    await assert_accepted(target, path_of(MODEL_ID).removesuffix("?"))


@holds("wire.arn")
async def _arn(target: Target) -> None:
    await assert_accepted(target, path_of(f"arn:aws:bedrock:{target.identity.region}::foundation-model/{MODEL_ID}"))


@holds("wire.alpn")
async def _alpn(target: Target) -> None:
    async with target.secure() as client:
        tls = client.writer.get_extra_info("ssl_object")

        assert isinstance(tls, ssl.SSLObject)
        assert tls.selected_alpn_protocol() == "h2"


@holds("wire.head-withheld")
async def _head_withheld(target: Target) -> None:
    async with target.raw() as client:
        stream = client.open()
        with suppress(TimeoutError):
            async with asyncio.timeout(QUIET_SECONDS if target.is_remote else 0.2):
                await stream.head()
        before = stream.status
        await stream.send(*SCRIPT)

        assert (before, await stream.head()) == (0, 200)


@holds("wire.head-fields")
async def _head_fields(target: Target) -> None:
    head = (await recorded(target, "typed")).ending.headers

    assert head[":status"] == "200"
    assert head["content-type"] == "application/vnd.amazon.eventstream"
    assert str(UUID(head["x-amzn-requestid"])) == head["x-amzn-requestid"]


async def assert_refused_identity(target: Target, identity: Identity, kinds: set[str]) -> None:
    async with target.raw(identity=identity) as client:
        stream = client.open()
        with suppress(ProtocolError):
            await stream.send(*SCRIPT)
        ending = await stream.ending()

        assert ending.status == 403
        assert ending.headers["x-amzn-errortype"].partition(":")[0] in kinds


@holds("wire.wrong-secret")
async def _wrong_secret(target: Target) -> None:
    await assert_refused_identity(
        target, Identity(target.identity.access_key, "wrong", target.identity.token), {"InvalidSignatureException"}
    )


@holds("wire.unknown-key")
async def _unknown_key(target: Target) -> None:
    await assert_refused_identity(target, Identity("AKIAIOSFODNN7EXAMPLE", vectors.SECRET), {"UnrecognizedClientException"})


@holds("wire.no-signature")
async def _no_signature(target: Target) -> None:
    async with target.raw() as client:
        ending = await RawClient.open(client, has_body=False).ending()

        assert (ending.status, ending.headers["x-amzn-errortype"].partition(":")[0]) == (403, "MissingAuthenticationTokenException")


@holds("wire.session-token")
async def _session_token(target: Target) -> None:
    identity = target.identity
    if target.is_remote and identity.token is None:
        pytest.skip("the credentials have no session token")
    async with target.raw(identity=Identity(identity.access_key, identity.secret, identity.token or "a-token")) as client:
        stream = client.open()
        await stream.send(*SCRIPT)

        assert await stream.head() == 200


@holds("wire.path-encoded-twice")
async def _path_encoded_twice(target: Target) -> None:
    # botocore encodes the path of the canonical request once more; signing the path of a colon is the same path encoded once.
    async with target.raw() as client:
        url = f"{client.url.scheme}://{client.url.netloc}{path_of(MODEL_ID).replace('%3A', ':')}"
        once = client.identity.head(url)
        ending = await RawClient.open(client, path_of(MODEL_ID), headers=list(once.items()), has_body=False).ending()

        assert (ending.status, ending.headers["x-amzn-errortype"].partition(":")[0]) == (403, "InvalidSignatureException")


@holds("wire.unknown-model")
async def _unknown_model(target: Target) -> None:
    async with target.raw() as client:
        ending = await client.open(path_of("amazon.nova-9-sonic-v1:0"), has_body=False).ending()

        assert ending.status == 400
        assert refusal_of(ending)[0] == "ValidationException"
        assert "The provided model identifier is invalid." in refusal_of(ending)[1]


@holds("wire.error-form")
async def _error_form(target: Target) -> None:
    async with target.raw() as client:
        ending = await client.open(path_of("amazon.nova-9-sonic-v1:0"), has_body=False).ending()

        assert ending.headers["x-amzn-errortype"]
        assert ending.headers["x-amzn-requestid"]
        assert ending.headers["content-type"] == "application/json"
        assert isinstance(json.loads(ending.body)["message"], str)


@holds("wire.several-streams")
async def _several_streams(target: Target) -> None:
    async with target.raw() as client:
        streams = [client.open() for _ in range(3)]
        for stream in streams:
            await stream.send(*SCRIPT)

        assert [await stream.head() for stream in streams] == [200, 200, 200]


@holds("wire.too-many-streams")
async def _too_many_streams(target: Target) -> None:
    limit = 20 if target.is_remote else 2
    async with target.raw(Setup(max_streams=limit)) as client:
        streams = [client.open() for _ in range(limit)]
        for stream in streams:
            await stream.send(*SCRIPT)
            await stream.head()
        one_more = client.open()
        with suppress(ProtocolError):
            await one_more.send(*SCRIPT)

        assert await one_more.head() == 429
        assert (await one_more.ending()).headers["x-amzn-errortype"].partition(":")[0] == "ThrottlingException"


@holds("wire.broken-chain")
async def _broken_chain(target: Target) -> None:
    async with target.raw() as client:
        stream = client.open()
        await stream.send(*SCRIPT)
        await stream.head()
        stream.chain.sign(0, b"a message that is not sent")
        with suppress(ProtocolError):
            await stream.send(SCRIPT[-1])
        ending = await stream.ending()

        assert ending.exception is not None or ending.reset_code not in (None, ErrorCodes.NO_ERROR)


# Messages.


@holds("framing.date-header")
async def _date_header(_target: Target) -> None:
    for row in vectors.DATE_HEADERS:
        assert encode_header(Header(":date", HeaderType.TIMESTAMP, row.date_ms)) == row.wire


@holds("framing.inner-message")
async def _inner_message(_target: Target) -> None:
    for row in vectors.INNER_MESSAGES:
        assert encode_message(tuple(text_header(name, value) for name, value in row.headers), row.payload) == row.wire


@holds("framing.signature-chain")
async def _signature_chain(_target: Target) -> None:
    first = vectors.SIGNED_MESSAGES[0]
    chain = MessageChain(vectors.SECRET, vectors.REGION, vectors.SERVICE, first.previous)

    assert [signed_message(chain, row.inner, row.date_ms) for row in vectors.SIGNED_MESSAGES] == [
        row.wire for row in vectors.SIGNED_MESSAGES
    ]


@holds("framing.empty-message-ends-input")
async def _empty_message(target: Target) -> None:
    last = vectors.SIGNED_MESSAGES[-1]
    envelope = Envelope(SignatureCheck.STRICT, MessageChain(vectors.SECRET, vectors.REGION, vectors.SERVICE, last.previous))
    assert list(envelope.feed(last.wire)) == [None]

    async with target.raw() as client:
        stream = client.open()
        await stream.send(*SCRIPT)
        await stream.head()
        await stream.write(signed_message(stream.chain, b""))
        ending = await stream.ending()

        assert ending.is_ended or ending.reset_code is not None


@holds("framing.output-headers")
async def _output_headers(target: Target) -> None:
    for message in (await recorded(target, "typed")).messages:
        assert message.value(":message-type") == "event"
        assert message.value(":event-type") == "chunk"
        assert message.value(":content-type") == "application/json"


@holds("framing.output-payload")
async def _output_payload(target: Target) -> None:
    for message in (await recorded(target, "typed")).messages:
        event = json.loads(base64.b64decode(json.loads(message.payload)["bytes"], validate=True))

        assert list(event) == ["event"]
        assert len(event["event"]) == 1


@holds("framing.exception-message")
async def _exception_message(target: Target) -> None:
    async with target.raw() as client:
        stream = client.open()
        await stream.send(*opening()[:5])
        await stream.head()
        with suppress(ProtocolError):
            await stream.send(audio_input(silence(0.1)))
        await stream.ending()
        last = stream.messages[-1]

        assert last.value(":message-type") == "exception"
        assert last.value(":exception-type") == "validationException"
        assert last.value(":content-type") == "application/json"
        assert isinstance(json.loads(last.payload)["message"], str)


@holds("framing.bad-checksum")
async def _bad_checksum(target: Target) -> None:
    async with target.raw() as client:
        stream = client.open()
        await stream.send(*SCRIPT)
        await stream.head()
        wrong = bytearray(signed_message(stream.chain, inner_message(SCRIPT[-1])))
        wrong[-1] ^= 0xFF
        with suppress(ProtocolError):
            await stream.write(bytes(wrong))
        ending = await stream.ending()

        assert ending.exception is not None or ending.reset_code not in (None, ErrorCodes.NO_ERROR)


@holds("framing.any-split")
async def _any_split(target: Target) -> None:
    async with target.raw() as client:
        stream = client.open()
        wire = b"".join(signed_message(stream.chain, inner_message(event)) for event in SCRIPT)
        for start in range(0, len(wire), 97):
            await stream.write(wire[start : start + 97])

        assert await stream.head() == 200


@holds("framing.checksums")
async def _checksums(_target: Target) -> None:
    wire = vectors.CHUNKS[0].wire

    assert crc32(wire[:8]) == int.from_bytes(wire[8:12])
    assert crc32(wire[:-4]) == int.from_bytes(wire[-4:])


# Ends.


@holds("end.in-order")
async def _in_order(target: Target) -> None:
    ending = (await recorded(target, "typed")).ending

    assert ending.is_ended
    assert ending.exception is None


@holds("end.without-session-end")
async def _without_session_end(target: Target) -> None:
    async with target.raw() as client:
        stream = client.open()
        await stream.send(*SCRIPT)
        await stream.head()
        await stream.finish()
        ending = await stream.ending()

        assert ending.is_ended or ending.reset_code is not None


@holds("end.without-empty-message")
async def _without_empty_message(target: Target) -> None:
    async with target.raw() as client:
        stream = client.open()
        await stream.send(*SCRIPT, *closing())
        await stream.head()
        stream.end()
        ending = await stream.ending()

        assert ending.is_ended
        assert ending.exception is None


@holds("end.client-reset")
async def _client_reset(target: Target) -> None:
    async with target.raw() as client:
        stream, other = client.open(), client.open()
        await stream.send(*SCRIPT)
        await stream.head()
        client.h2.reset_stream(stream.stream_id, ErrorCodes.CANCEL)
        client.flush()
        await other.send(*SCRIPT)

        assert await other.head() == 200


@holds("end.client-goaway")
async def _client_goaway(target: Target) -> None:
    async with target.raw() as client:
        stream = client.open()
        client.writer.write(bytes.fromhex("0000080700000000000000000000000000"))
        await stream.send(*SCRIPT)

        assert await stream.head() == 200
