"""Amazon Polly's SynthesizeSpeech: the emulator's synthesiser speaks, as 16-bit little-endian mono samples.

Shapes, rates and errors: Amazon Polly API reference, "SynthesizeSpeech"; 3,000 characters: developer guide, "Quotas".
"""

import re
from dataclasses import dataclass
from typing import Final

import orjson

from nova_sonic_local.cascade.call import Call
from nova_sonic_local.cascade.failures import ServiceError
from nova_sonic_local.cascade.polly_voices import STAND_INS

LARGEST_BODY_BYTES: Final = 64 * 1024
LONGEST_TEXT: Final = 3_000
"""Characters of one request."""
PIECE_BYTES: Final = 8 * 1024
RATES: Final = ("8000", "16000")
"""Of the output format pcm; the last is the usual one."""
_ENGINES: Final = ("standard", "neural", "long-form", "generative")
_KNOWN: Final = {"Engine", "LanguageCode", "LexiconNames", "OutputFormat", "SampleRate", "SpeechMarkTypes", "Text", "TextType", "VoiceId"}
_GROUP: Final = re.compile(r"\S(?:.{0,398}\S)?(?=\s|$)|\S{1,400}", re.DOTALL)
"""What is synthesised at once: whole words, at most 400 characters, so that speech begins early and no synthesiser takes long."""
_SENTENCES: Final = re.compile(r"(?<=[.!?])\s+")


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be spoken."""

    text: str
    voice_id: str
    """Of Nova Sonic."""
    hertz: int


async def serve_polly(call: Call, _match: re.Match[str]) -> None:
    """Serve one request: the sound of each group of words as soon as it is there."""
    order = parse_order(await call.read_body(LARGEST_BODY_BYTES))
    for group in groups(order.text):
        pcm = await call.house.voice.speak(group, order.voice_id, order.hertz)
        call.open("audio/pcm", [("x-amzn-requestcharacters", str(len(order.text)))])
        for start in range(0, len(pcm), PIECE_BYTES):
            await call.write(pcm[start : start + PIECE_BYTES], "audio")


def groups(text: str) -> list[str]:
    """Return the parts of a text that are synthesised one after the other: its sentences, and long ones in parts."""
    return [group for sentence in _SENTENCES.split(text) for group in _GROUP.findall(sentence)]


def parse_order(body: bytes) -> Order:
    """Return what a request asks for.

    Raises:
        ServiceError: it makes no sense, or asks for what is not emulated.
    """
    try:
        members = orjson.loads(body or b"null")
    except orjson.JSONDecodeError as error:
        raise ServiceError(400, "SerializationException", "The request body is not valid JSON.") from error
    if not isinstance(members, dict) or not all(isinstance(value, str) for value in _texts(members)):
        raise ServiceError(400, "SerializationException", "The request body must be an object, and its members must be texts.")
    if unknown := sorted(members.keys() - _KNOWN):
        raise _invalid(f"{unknown[0][:64]!r} is not known.")
    _check_format(members)
    text, voice = members.get("Text", ""), members.get("VoiceId", "")
    if not text.strip():
        raise _invalid("Text must not be empty.")
    if len(text) > LONGEST_TEXT:
        raise ServiceError(400, "TextLengthExceededException", "Maximum text length has been exceeded")
    if voice not in STAND_INS:
        raise _invalid(f"The voice {voice[:64]!r} is not emulated; there are {', '.join(sorted(STAND_INS))}.")
    hertz = members.get("SampleRate", RATES[-1])
    if hertz not in RATES:
        raise ServiceError(400, "InvalidSampleRateException", f"The specified sample rate is not valid; pcm has {' and '.join(RATES)}.")
    return Order(text, STAND_INS[voice], int(hertz))


def _texts(members: dict[str, object]) -> list[object]:
    return [value for name, value in members.items() if name not in ("LexiconNames", "SpeechMarkTypes")]


def _check_format(members: dict[str, str]) -> None:
    """Refuse every form of speech that is not emulated."""
    output = members.get("OutputFormat", "")
    if members.get("SpeechMarkTypes") and output != "json":
        raise ServiceError(400, "MarksNotSupportedForFormatException", "Speech marks are not supported for this output format.")
    if output != "pcm":
        raise _invalid(f"OutputFormat {output[:64]!r} is not emulated; pcm is.")
    if members.get("TextType", "text") != "text":
        raise ServiceError(400, "InvalidSsmlException", "SSML is not emulated; TextType text is.")
    if members.get("LexiconNames"):
        raise ServiceError(404, "LexiconNotFoundException", "Lexicons are not emulated.")
    if members.get("Engine", "standard") not in _ENGINES:
        raise _invalid(f"Engine must be one of {', '.join(_ENGINES)}.")


def _invalid(message: str) -> ServiceError:
    return ServiceError(400, "ValidationException", message)
