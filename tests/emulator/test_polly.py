"""Polly's SynthesizeSpeech by boto3, and by hand over HTTP/2."""

import json
from typing import Any

import pytest

from nova_sonic_local.cascade.polly import groups
from nova_sonic_local.envelope import SignatureCheck
from nova_sonic_local.options import Options
from nova_sonic_local.server import NovaSonicLocal
from tests.emulator.cascade_clients import refused, with_boto
from tests.emulator.conversation import ACCESS_KEY, SECRET_KEY
from tests.emulator.wire import RawClient

pytestmark = pytest.mark.timeout(30)
ECHO = Options(brain="echo")
HELLO = {"Text": "hello there", "VoiceId": "Lupe", "OutputFormat": "pcm"}


class CountingVoice:
    """Speaks each character for a hundredth of a second, as a sample of its own."""

    def __init__(self) -> None:
        self.spoken: list[tuple[str, str, int]] = []

    async def speak(self, text: str, voice_id: str, hertz: int) -> bytes:
        self.spoken.append((text, voice_id, hertz))
        return b"".join(ord(character).to_bytes(2, "little") * (hertz // 100) for character in text)


async def synthesise(emulator: NovaSonicLocal, *, has_tls: bool = True, **order: object) -> tuple[bytes, str, str]:
    def use(client: Any) -> tuple[bytes, str, str]:
        answer = client.synthesize_speech(**HELLO | order)
        return answer["AudioStream"].read(), answer["ContentType"], answer["RequestCharacters"]

    return await with_boto("polly", emulator, use, has_tls=has_tls)


@pytest.mark.parametrize("has_tls", [True, False], ids=["tls", "plain"])
@pytest.mark.parametrize("hertz", [8_000, 16_000])
async def test_a_text_is_spoken_at_the_rate_that_was_asked_for(hertz: int, *, has_tls: bool) -> None:
    voice = CountingVoice()
    async with NovaSonicLocal(Options(brain="echo", voice=voice)) as emulator:
        pcm, kind, characters = await synthesise(emulator, has_tls=has_tls, SampleRate=str(hertz), Engine="neural", LanguageCode="es-US")

        assert voice.spoken == [("hello there", "lupe", hertz)]
        assert len(pcm) == 2 * len("hello there") * hertz // 100
        assert pcm[: hertz // 50] == b"h\0" * (hertz // 100)
        assert (kind, str(characters)) == ("audio/pcm", "11")


async def test_the_usual_rate_is_16_khz() -> None:
    voice = CountingVoice()
    async with NovaSonicLocal(Options(brain="echo", voice=voice)) as emulator:
        await synthesise(emulator)

        assert [hertz for _text, _voice, hertz in voice.spoken] == [16_000]


async def test_a_long_text_is_spoken_in_order_to_its_end() -> None:
    voice = CountingVoice()
    text = "This is a sentence. " * 149 + "x" * 20
    async with NovaSonicLocal(Options(brain="echo", voice=voice)) as emulator:
        pcm, _kind, _characters = await synthesise(emulator, Text=text, SampleRate="8000")
        said = pcm[:: 2 * 80].decode()

        assert said == "This is a sentence." * 149 + "x" * 20


def test_no_group_of_words_is_long_and_none_is_lost() -> None:
    text = "word " * 300 + "y" * 1_000
    found = groups(text)

    assert max(map(len, found)) <= 400
    assert "".join("".join(found).split()) == "".join(text.split())


@pytest.mark.parametrize(
    ("order", "kind"),
    [
        ({"SampleRate": "22050"}, "InvalidSampleRateException"),
        ({"SampleRate": "8"}, "InvalidSampleRateException"),
        ({"Text": "x" * 3_001}, "TextLengthExceededException"),
        ({"OutputFormat": "mp3"}, "ValidationException"),
        ({"OutputFormat": "ogg_vorbis"}, "ValidationException"),
        ({"TextType": "ssml", "Text": "<speak>hi</speak>"}, "InvalidSsmlException"),
        ({"VoiceId": "Mizuki"}, "ValidationException"),
        ({"Engine": "steam"}, "ValidationException"),
        ({"Text": " "}, "ValidationException"),
        ({"SpeechMarkTypes": ["word"]}, "MarksNotSupportedForFormatException"),
    ],
)
async def test_what_is_not_emulated_is_refused(order: dict[str, object], kind: str) -> None:
    async with NovaSonicLocal(ECHO) as emulator:
        status, code, message = await refused("polly", emulator, lambda client: client.synthesize_speech(**HELLO | order))

        assert (status, code) == (400, kind)
        assert message


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"Text": 1}', b'{"Text": {"a": 1}}', b"\xff", b'{"Colour": "red"}'])
async def test_a_hostile_body_is_refused(body: bytes) -> None:
    async with NovaSonicLocal(ECHO) as emulator, RawClient(emulator.h2c_endpoint) as client:
        request = client.open("/v1/speech")
        await request.write(body)
        request.end()
        ending = await request.ending()

        assert ending.status == 400
        assert ending.headers["x-amzn-errortype"] in ("SerializationException", "ValidationException")


async def test_it_speaks_over_http2_too() -> None:
    voice = CountingVoice()
    async with NovaSonicLocal(Options(brain="echo", voice=voice)) as emulator, RawClient(emulator.h2c_endpoint) as client:
        request = client.open("/v1/speech")
        await request.write(json.dumps(HELLO).encode())
        request.end()
        ending = await request.ending()

        assert (ending.status, ending.headers["content-type"]) == (200, "audio/pcm")
        assert len(ending.body) == 2 * 160 * len("hello there")


async def test_signatures_are_checked() -> None:
    right = Options(brain="echo", signatures=SignatureCheck.STRICT, secrets={ACCESS_KEY: SECRET_KEY})
    wrong = Options(brain="echo", signatures=SignatureCheck.STRICT, secrets={ACCESS_KEY: "another"})
    async with NovaSonicLocal(right) as taking, NovaSonicLocal(wrong) as refusing:
        pcm, _kind, _characters = await synthesise(taking)
        status, code, _message = await refused("polly", refusing, lambda client: client.synthesize_speech(**HELLO))

        assert pcm
        assert (status, code) == (403, "InvalidSignatureException")
