"""What is asked of signatures."""

import asyncio

import pytest

from nova_sonic_local.envelope import SignatureCheck
from nova_sonic_local.framing import Header, HeaderType, encode_message
from nova_sonic_local.options import Options
from nova_sonic_local.server import NovaSonicLocal
from nova_sonic_local.signing import STREAM_PAYLOAD, Credential, MessageChain, SignatureError, parse_authorization, sign_request
from tests.emulator.conversation import ACCESS_KEY, SECRET_KEY
from tests.emulator.stock_sdk import StockStream, stock_client
from tests.emulator.wire import PATH, Ending, Json, RawClient, RawStream, audio_input, closing, inner_message, opening, silence

STRICT = Options(brain="echo", signatures=SignatureCheck.STRICT, secrets={ACCESS_KEY: SECRET_KEY})
LENIENT = Options(brain="echo", signatures=SignatureCheck.LENIENT)
DATE_MS = 1_767_323_045_678
SCRIPT = [*opening(), audio_input(silence(0.1)), *closing()]


def sign_head(
    client: RawClient, access_key: str = ACCESS_KEY, secret: str = SECRET_KEY, token: str = ""
) -> tuple[list[tuple[str, str]], Credential]:
    names = ("content-type", "host", "x-amz-content-sha256", "x-amz-date", *(["x-amz-security-token"] if token else []))
    credential = Credential(access_key, "20260102", "us-east-1", "bedrock", names, "")
    headers = {"x-amz-content-sha256": STREAM_PAYLOAD, "x-amz-date": "20260102T030405Z"} | (
        {"x-amz-security-token": token} if token else {}
    )
    known = headers | {"host": client.url.netloc, "content-type": "application/vnd.amazon.eventstream"}
    signature = sign_request(credential, secret, "POST", PATH, known)
    value = f"AWS4-HMAC-SHA256 Credential={access_key}/{credential.scope}, SignedHeaders={';'.join(names)}, Signature={signature}"
    return [*headers.items(), ("authorization", value)], parse_authorization(value)


def sign_message(chain: MessageChain, payload: bytes) -> bytes:
    signature = chain.sign(DATE_MS, payload)
    return encode_message(
        (Header(":date", HeaderType.TIMESTAMP, DATE_MS), Header(":chunk-signature", HeaderType.BYTES, signature)), payload
    )


def signed(credential: Credential, events: list[Json]) -> list[bytes]:
    chain = MessageChain(SECRET_KEY, "us-east-1", "bedrock", credential.signature)
    return [sign_message(chain, payload) for payload in [*map(inner_message, events), b""]]


async def play(stream: RawStream, messages: list[bytes]) -> Ending:
    await stream.write(b"".join(messages))
    return await stream.ending()


@pytest.mark.parametrize("token", ["", "a-session-token"])
async def test_a_stream_signed_throughout_is_served(token: str) -> None:
    async with NovaSonicLocal(STRICT) as emulator, RawClient(emulator.h2c_endpoint) as client:
        headers, credential = sign_head(client, token=token)
        ending = await play(client.open(headers=headers), signed(credential, SCRIPT))

        assert (ending.status, ending.exception) == (200, None)
        assert "completionEnd" in ending.events[-1]


@pytest.mark.parametrize("options", [STRICT, LENIENT], ids=["strict", "lenient"])
async def test_a_request_without_a_signature_is_refused(options: Options) -> None:
    async with NovaSonicLocal(options) as emulator, RawClient(emulator.h2c_endpoint) as client:
        ending = await client.open().ending()

        assert (ending.status, ending.headers["x-amzn-errortype"]) == (403, "MissingAuthenticationTokenException")


@pytest.mark.parametrize(
    ("access_key", "secret", "kind"),
    [(ACCESS_KEY, "another secret", "InvalidSignatureException"), ("AKIDOTHER", SECRET_KEY, "UnrecognizedClientException")],
)
async def test_a_wrong_key_is_refused(access_key: str, secret: str, kind: str) -> None:
    async with NovaSonicLocal(STRICT) as emulator, RawClient(emulator.h2c_endpoint) as client:
        ending = await client.open(headers=sign_head(client, access_key, secret)[0]).ending()

        assert (ending.status, ending.headers["x-amzn-errortype"]) == (403, kind)


@pytest.mark.parametrize("authorization", ["Basic abc", "AWS4-HMAC-SHA256 Credential=a/b, Signature=0", "AWS4-HMAC-SHA256"])
async def test_a_malformed_authorization_is_refused(authorization: str) -> None:
    async with NovaSonicLocal(STRICT) as emulator, RawClient(emulator.h2c_endpoint) as client:
        ending = await client.open(headers=[("authorization", authorization)]).ending()

        assert (ending.status, ending.headers["x-amzn-errortype"]) == (403, "IncompleteSignatureException")


async def test_messages_out_of_their_order_break_the_chain() -> None:
    async with NovaSonicLocal(STRICT) as emulator, RawClient(emulator.h2c_endpoint) as client:
        headers, credential = sign_head(client)
        messages = signed(credential, SCRIPT)
        messages[2], messages[3] = messages[3], messages[2]
        ending = await play(client.open(headers=headers), messages)

        assert ending.exception is not None
        assert ending.exception[0] == "InvalidSignatureException"
        assert ending.is_ended


async def test_an_unsigned_message_in_a_signed_stream_is_refused() -> None:
    async with NovaSonicLocal(LENIENT) as emulator, RawClient(emulator.h2c_endpoint) as client:
        headers, _ = sign_head(client)
        ending = await play(client.open(headers=headers), [inner_message(SCRIPT[0])])

        assert (ending.status, ending.headers["x-amzn-errortype"]) == (403, "MissingAuthenticationTokenException")


async def test_the_lenient_check_takes_any_signature() -> None:
    async with NovaSonicLocal(LENIENT) as emulator, RawClient(emulator.h2c_endpoint) as client:
        headers, credential = sign_head(client, "AKIDOTHER", "another secret")
        ending = await play(client.open(headers=headers), signed(credential, SCRIPT))

        assert (ending.status, ending.exception) == (200, None)


async def test_a_signed_empty_message_ends_the_input() -> None:
    async with NovaSonicLocal(STRICT) as emulator, RawClient(emulator.h2c_endpoint) as client:
        headers, credential = sign_head(client)
        ending = await play(client.open(headers=headers), signed(credential, SCRIPT[:-2]))

        assert (ending.exception, ending.is_ended) == (None, True)


@pytest.mark.timeout(30)
async def test_a_wrong_secret_of_the_stock_client_is_refused() -> None:
    async with NovaSonicLocal(STRICT) as emulator:
        stream = await StockStream.open(await stock_client(emulator.endpoint, emulator.ca_file, "wrong"))
        receiving = asyncio.create_task(stream.receive())
        await stream.send(SCRIPT[0])
        done, _ = await asyncio.wait((receiving,))

        assert "InvalidSignatureException" in str(done.pop().exception())


def test_no_authorization_is_missing() -> None:
    with pytest.raises(SignatureError, match="Missing Authentication Token"):
        parse_authorization(None)


def test_the_request_signature_is_that_of_a_public_example() -> None:
    """Amazon S3 API reference, "Examples: Signature calculations", GET Bucket (List Objects)."""
    secret = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
    credential = Credential("AKIAIOSFODNN7EXAMPLE", "20130524", "us-east-1", "s3", ("host", "x-amz-content-sha256", "x-amz-date"), "")
    headers = {
        "host": "examplebucket.s3.amazonaws.com",
        "x-amz-content-sha256": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "x-amz-date": "20130524T000000Z",
    }

    signature = "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"
    assert sign_request(credential, secret, "GET", "/?max-keys=2&prefix=J", headers) == signature
