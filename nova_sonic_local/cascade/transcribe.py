"""Amazon Transcribe's StartStreamTranscription: the emulator's recogniser writes down what is said.

Shapes, headers and errors: Amazon Transcribe streaming API reference, "StartStreamTranscription".
"""

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from nova_sonic_local.admission import open_envelope
from nova_sonic_local.brains.interface import Brain, Listener, Monolingual, Prompt
from nova_sonic_local.cascade.call import STREAM_TYPE, Call
from nova_sonic_local.cascade.failures import ServiceError
from nova_sonic_local.cascade.segments import Began, Ended, Segments, Sound, Step
from nova_sonic_local.cascade.transcripts import HEARD, INAUDIBLE, result
from nova_sonic_local.envelope import Envelope
from nova_sonic_local.heads import VERSION
from nova_sonic_local.replay import Recording

SILENT_SECONDS: Final = 15.0
"""Without an audio event; the service's own words name the time."""
LARGEST_CHUNK_BYTES: Final = 256 * 1024
"""Of one audio event: eight seconds at 16 kHz."""
PARTIAL_MS: Final = 500
"""Speech between two partial results."""
RATES: Final = (8_000, 16_000, 24_000)
_HEADER: Final = "x-amzn-transcribe-"
_NOT_EMULATED: Final = (
    *("identify-language", "identify-multiple-languages", "enable-channel-identification", "show-speaker-label"),
    *("content-identification-type", "content-redaction-type", "language-model-name"),
)
_SESSION_ID: Final = re.compile(r"[a-zA-Z0-9-]{1,64}")
_VOCABULARY: Final = re.compile(r"[0-9a-zA-Z._-]{1,200}")
_VOICES: Final = {"en": "amy", "es": "carlos", "fr": "florian", "it": "lorenzo", "de": "lennart", "pt": "leo"}
"""Language -> a voice that speaks it alone, by which brains know the language of a conversation."""


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be written down."""

    language_code: str
    hertz: int
    session_id: str
    vocabulary: str
    """Chooses a scenario as a word of the system prompt would; empty for none."""


async def serve_transcribe(call: Call, _match: re.Match[str]) -> None:
    """Serve one stream to its end."""
    headers = call.exchange.headers
    if VERSION in headers:
        raise ServiceError(505, "HTTPVersionNotSupportedException", "Streams in both directions need HTTP/2.")
    envelope = open_envelope(call.house.options, headers, "AudioEvent")
    order = parse_order(headers, call.ids.new())
    role = call.cast.role
    if role is None or isinstance(role, Recording):
        raise call.refuse(f"The brain {call.cast.name!r} knows no words; choose demo, script or chat.")
    system = f"Takes dictation. {re.sub(r'[._-]', ' ', order.vocabulary)}"
    prompt = Prompt("transcribe", _VOICES[order.language_code[:2]], order.hertz, 0, system, hears_everything=True)
    brain = role(prompt)
    try:
        if isinstance(brain, Monolingual) and brain.language != order.language_code[:2]:
            raise call.refuse(f"The scenario has no words in the language {order.language_code!r}.")
        call.is_stream = True
        call.open(STREAM_TYPE, _answer_headers(order))
        async with asyncio.TaskGroup() as tasks:
            scribe = Scribe(call, brain, Segments(order.hertz), tasks)
            try:
                await _listen(call, envelope, scribe)
                await scribe.finish()
            finally:
                await scribe.abandon()
    finally:
        await brain.close()


async def _listen(call: Call, envelope: Envelope, scribe: "Scribe") -> None:
    """Hear the sound until it ends: with an empty event, signed or not, or with the request."""
    while (data := await _read(call)) is not None:
        for chunk in envelope.feed(data):
            if not chunk:
                return
            if len(chunk) > LARGEST_CHUNK_BYTES:
                raise call.refuse(f"An audio event may have {LARGEST_CHUNK_BYTES} bytes.")
            await scribe.hear(chunk)
            call.took("AudioEvent")


async def _read(call: Call) -> bytes | None:
    seconds = SILENT_SECONDS * call.house.options.time_scale
    try:
        async with asyncio.timeout(seconds):
            return await call.exchange.read()
    except TimeoutError as error:
        raise call.refuse(f"Your request timed out because no new audio was received for {SILENT_SECONDS:g} seconds.") from error


def parse_order(headers: Mapping[str, str], session_id: str) -> Order:
    """Return what a request asks for.

    Args:
        headers: of the request.
        session_id: for a request that has none.

    Raises:
        ServiceError: it makes no sense, or asks for what is not emulated.
    """

    def header(name: str) -> str:
        return headers.get(f"{_HEADER}{name}", "")

    for name in _NOT_EMULATED:
        if header(name) not in ("", "false"):
            raise _invalid(f"{_HEADER}{name} is not emulated.")
    if header("media-encoding") != "pcm":
        raise _invalid(f"{_HEADER}media-encoding {header('media-encoding')[:64]!r} is not emulated; pcm is.")
    language, rate = header("language-code"), header("sample-rate")
    if not re.fullmatch(r"[a-z]{2}-[A-Z]{2}", language) or language[:2] not in _VOICES:
        raise _invalid(f"{_HEADER}language-code {language[:64]!r} is not emulated; there are {', '.join(sorted(_VOICES))}, as in en-US.")
    if rate not in map(str, RATES):
        raise _invalid(f"{_HEADER}sample-rate {rate[:64]!r} is not emulated; there are {', '.join(map(str, RATES))}.")
    chosen = header("session-id") or session_id
    if not _SESSION_ID.fullmatch(chosen):
        raise _invalid(f"{_HEADER}session-id must match [a-zA-Z0-9-] and have 64 characters at most.")
    if header("vocabulary-name") and not _VOCABULARY.fullmatch(header("vocabulary-name")):
        raise _invalid(f"{_HEADER}vocabulary-name must match [0-9a-zA-Z._-] and have 200 characters at most.")
    return Order(language, int(rate), chosen, header("vocabulary-name"))


def _answer_headers(order: Order) -> list[tuple[str, str]]:
    said = {"language-code": order.language_code, "sample-rate": str(order.hertz), "media-encoding": "pcm", "session-id": order.session_id}
    return [(f"{_HEADER}{name}", value) for name, value in said.items()]


def _invalid(message: str) -> ServiceError:
    return ServiceError(400, "BadRequestException", message)


class Scribe:
    """Writes down one stream.

    Args:
        call: what the results go to.
        brain: understands the words.
        segments: finds who speaks when.
        tasks: for what is recognised while more is heard.
    """

    def __init__(self, call: Call, brain: Brain, segments: Segments, tasks: asyncio.TaskGroup) -> None:
        self._call = call
        self._brain = brain
        self._segments = segments
        self._tasks = tasks
        self._listener: Listener | None = None
        self._result_id = ""
        self._began_ms = 0
        self._told_ms = 0
        self._order = asyncio.Lock()
        """Held by the result that is to be told next."""

    async def hear(self, pcm: bytes) -> None:
        """Take the next samples."""
        for step in self._segments.feed(pcm):
            await self._take(step)

    async def finish(self) -> None:
        """Take what was said so far as complete, and wait until everything is told."""
        for step in self._segments.finish():
            await self._take(step)
        async with self._order:
            return

    async def abandon(self) -> None:
        """Let go of speech that was not heard to its end."""
        listener, self._listener = self._listener, None
        if listener is not None:
            await listener.finish()

    async def _take(self, step: Step) -> None:
        match step:
            case Began():
                self._listener = self._brain.listen()
                self._result_id, self._began_ms, self._told_ms = self._call.ids.new(), step.at_ms, step.at_ms
            case Sound():
                if self._listener is not None:
                    await self._listener.feed(step.pcm)
                if self._told_ms == self._began_ms or step.until_ms - self._told_ms >= PARTIAL_MS:
                    self._told_ms = step.until_ms
                    partial = result(self._result_id, self._began_ms, step.until_ms, HEARD, is_partial=True)
                    await self._call.send_event("TranscriptEvent", partial)
            case Ended():
                await self._order.acquire()  # one result at a time: while it is recognised, the next speech is heard already
                self._tasks.create_task(self._tell(self._listener, self._result_id, self._began_ms, step.at_ms))
                self._listener = None

    async def _tell(self, listener: Listener | None, result_id: str, start_ms: int, end_ms: int) -> None:
        try:
            text = await listener.finish() if listener is not None else None
            event = result(result_id, start_ms, end_ms, text or INAUDIBLE, is_partial=False)
            await self._call.send_event("TranscriptEvent", event)
        finally:
            self._order.release()
