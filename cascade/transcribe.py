"""Amazon Transcribe Streaming (cascade.interfaces.Transcriber), over HTTP/2.

Source: Amazon Transcribe developer guide, "Setting up a streaming transcription".
"""

import asyncio
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any, Final

import orjson

from cascade.calls import Call, Calls
from cascade.faults import service_error, transport_error
from cascade.interfaces import Transcript
from cascade.messages import ServiceMessage, audio_message, read_message
from s2s import failures
from s2s.bedrock.event_stream import FramingError, MessageSplitter
from s2s.errors import ModelError

NAME: Final = "Transcribe"
SIGNING_NAME: Final = "transcribe"
STREAMS_PER_CONNECTION: Final = 1
"""The service takes no second stream on a connection (developer guide, as above)."""
WRITE_SECONDS: Final = 1.6
CLOSE_SECONDS: Final = 0.5
"""For the connection to take the end of the audio. Nobody waits for the last words: who closes does not want them."""
PIECE_BYTES: Final = 16 * 1024
"""Largest AudioEvent that is sent (developer guide: 32 KB at most)."""


def transcribe_endpoint(region: str) -> str:
    """Return the URI of the service in a region (AWS General Reference, "Amazon Transcribe endpoints and quotas")."""
    return f"https://transcribestreaming.{region}.amazonaws.com"


class TranscribeStreaming:
    """Opens streams to the recogniser.

    Args:
        calls: to the service.
    """

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    async def open(self, language: str, hertz: int) -> "TranscribeStream":
        """Open a stream.

        Raises:
            ModelError: it was refused, or cannot be reached.
        """
        headers = {
            "content-type": "application/vnd.amazon.eventstream",
            "x-amz-target": "com.amazonaws.transcribe.Transcribe.StartStreamTranscription",
            "x-amzn-transcribe-language-code": language,
            "x-amzn-transcribe-media-encoding": "pcm",
            "x-amzn-transcribe-sample-rate": str(hertz),
        }
        return TranscribeStream(await self._calls.open("/stream-transcription", headers))

    async def reach(self) -> None:
        """Make sure that the service can be reached.

        Raises:
            ModelError: it cannot.
        """
        await self._calls.reach()


class TranscribeStream:
    """One stream (cascade.interfaces.Transcription).

    Args:
        call: accepted.
    """

    def __init__(self, call: Call) -> None:
        self.signed_until: datetime | None = call.signed_until
        self._exchange, self._encoder = call.exchange, call.encoder
        self._splitter = MessageSplitter()
        self._closing: asyncio.Task[None] | None = None

    async def send(self, pcm: bytes) -> None:
        """Send audio.

        Raises:
            ModelError: the stream failed, or did not take it in time.
        """
        try:
            if not self._exchange.has_room:
                async with asyncio.timeout(WRITE_SECONDS):
                    await self._exchange.room()
            for start in range(0, len(pcm), PIECE_BYTES):
                message = audio_message(pcm[start : start + PIECE_BYTES])
                self._exchange.write(self._encoder.encode_inner(message, _now_ms()))
        except TimeoutError:
            raise failures.STALLED.error(f"{NAME}: nothing was taken for {WRITE_SECONDS:g} s") from None
        except OSError as error:
            raise transport_error(NAME, error) from error

    async def receive(self) -> Sequence[Transcript]:
        """Return what has been heard since the last call, waiting for the first of it.

        Raises:
            ModelError: the stream failed, or ended by itself.
        """
        found: list[Transcript] = []
        while not found:
            try:
                data = await self._exchange.read()
                if data is None:
                    raise failures.LOST.error(f"{NAME} ended the stream without being asked to")
                for message in self._splitter.feed(data):
                    found += _transcripts(read_message(message))
            except FramingError as error:
                raise failures.LOST.error(f"{NAME}: {error}") from error
            except OSError as error:
                raise transport_error(NAME, error) from error
        return found

    async def close(self) -> None:
        """Tell the end of the audio and let go of the stream. Returns in bounded time, also when called twice or cancelled."""
        if self._closing is None:
            self._closing = asyncio.get_running_loop().create_task(self._close(), name="transcribe-close")
        await asyncio.shield(self._closing)

    async def _close(self) -> None:
        with suppress(OSError, TimeoutError):
            async with asyncio.timeout(CLOSE_SECONDS):
                self._exchange.write(self._encoder.encode_end(_now_ms()))
                self._exchange.end_input()
                await self._exchange.room()
        await self._exchange.close()


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _transcripts(message: ServiceMessage) -> list[Transcript]:
    """Return what a message tells.

    Raises:
        ModelError: it tells an error.
    """
    document = _document(message.payload)
    name, text = message.error
    if name:
        raise _told(name, text, document)
    if message.event != "TranscriptEvent":
        return []
    results = document.get("Transcript", {})
    results = results.get("Results", []) if isinstance(results, dict) else []
    return [found for result in results if isinstance(result, dict) and (found := _transcript(result)) is not None]


def _told(name: str, text: str, document: Mapping[str, Any]) -> ModelError:
    return service_error(NAME, name[:1].upper() + name[1:], text or str(document.get("Message") or document.get("message") or ""))


def _document(payload: bytes) -> dict[str, Any]:
    try:
        document = orjson.loads(payload) if payload else {}
    except orjson.JSONDecodeError:
        return {}
    return document if isinstance(document, dict) else {}


def _transcript(result: Mapping[str, Any]) -> Transcript | None:
    match result:
        case {"ResultId": str(result_id), "Alternatives": [{"Transcript": str(text)}, *_]}:
            return Transcript(
                result_id, text, bool(result.get("IsPartial")), _milliseconds(result.get("StartTime")), _milliseconds(result.get("EndTime"))
            )
        case _:
            return None


def _milliseconds(seconds: object) -> int:
    return round(seconds * 1_000) if isinstance(seconds, int | float) else 0
