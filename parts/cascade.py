"""The cascade: Transcribe, a text model on Bedrock and Polly, as the settings ask; and the text model alone, for notes."""

from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cascade import converse, polly, transcribe
from cascade.calls import Calls, Service
from cascade.client import CascadeClient, Crew
from cascade.converse import Converse
from cascade.polly import PollyVoice
from cascade.transcribe import TranscribeStreaming
from config import Settings
from parts.errors import StartFailed
from s2s.bedrock.client import region_endpoint
from s2s.bedrock.credentials import Credentials
from s2s.bedrock.http2.pool import Http2Exchanges
from s2s.bedrock.http2.proxy import Proxy, proxy_for
from s2s.errors import ModelError
from s2s.limits import TextProfile
from session.errors import model_failure

LOCAL_TEXT_MODEL: Final = "local-text-model"
"""What the emulator is asked for, which answers to any name."""


@dataclass(frozen=True, slots=True)
class ModelPlace:
    """Where the model's services are, and whom to trust and sign as there."""

    endpoint: str | None
    """Of Bedrock, or of the emulator; None for the region's own."""
    ca_file: Path | None
    credentials: Credentials


class NoteWriter:
    """Writes notes (service.notes.TextModel).

    Args:
        model: a text model.
    """

    def __init__(self, model: Converse) -> None:
        self._model = model

    async def complete(self, system: str, text: str) -> str:
        """Return what the model writes.

        Raises:
            ModelFailure: it cannot, now.
        """
        try:
            return await self._model.complete(system, text)
        except ModelError as error:
            raise model_failure(error.code, was_open=False) from error


def make_cascade(settings: Settings, place: ModelPlace, text_profile: TextProfile) -> CascadeClient:
    """Return the client of a cascade.

    Raises:
        StartFailed: the proxy is none that can be used.
    """
    local = place.endpoint if settings.local else None
    hearing = Service(
        transcribe.NAME,
        transcribe.SIGNING_NAME,
        settings.region,
        settings.transcribe_endpoint or local or transcribe.transcribe_endpoint(settings.region),
    )
    speaking = Service(
        polly.NAME, polly.SIGNING_NAME, settings.region, settings.polly_endpoint or local or polly.polly_endpoint(settings.region)
    )
    seconds = settings.opening_ms / 1000
    ears = _exchanges(settings, place, hearing, transcribe.STREAMS_PER_CONNECTION)
    voice = PollyVoice(speaking, place.credentials, _text(place.ca_file), _proxy(settings, speaking.endpoint))
    writer, bedrock = _make_writer(settings, place)
    crew = Crew(TranscribeStreaming(Calls(hearing, ears, place.credentials, seconds)), writer, voice)
    return CascadeClient(crew, (ears.close, bedrock.close, voice.aclose), opening_seconds=seconds, text_profile=text_profile)


def open_note_writer(settings: Settings, resources: AsyncExitStack, place: ModelPlace | None) -> NoteWriter | None:
    """Return what writes notes; None where no text model is set, or there is none to be had.

    Args:
        settings: as read.
        resources: close its connections.
        place: of the model's services; None where the model was given.

    Raises:
        StartFailed: the proxy is none that can be used.
    """
    if place is None or not settings.text_model_id:
        return None
    writer, exchanges = _make_writer(settings, place)
    resources.push_async_callback(exchanges.close)
    return NoteWriter(writer)


def _make_writer(settings: Settings, place: ModelPlace) -> tuple[Converse, Http2Exchanges]:
    endpoint = place.endpoint or region_endpoint(settings.region)
    service = Service(converse.NAME, converse.SIGNING_NAME, settings.region, endpoint)
    exchanges = _exchanges(settings, place, service, settings.streams_per_connection)
    calls = Calls(service, exchanges, place.credentials, converse.FIRST_SECONDS)
    patient = Calls(service, exchanges, place.credentials, converse.COMPLETE_SECONDS)
    return Converse(calls, settings.text_model_id or LOCAL_TEXT_MODEL, patient), exchanges


def _exchanges(settings: Settings, place: ModelPlace, service: Service, streams_per_connection: int) -> Http2Exchanges:
    return Http2Exchanges(
        service.endpoint,
        ca_file=_text(place.ca_file),
        streams_per_connection=streams_per_connection,
        proxy=_proxy(settings, service.endpoint),
    )


def _proxy(settings: Settings, endpoint: str) -> Proxy | None:
    if settings.local:
        return None
    try:
        return proxy_for(endpoint, {"https_proxy": settings.https_proxy or "", "no_proxy": settings.no_proxy})
    except ValueError as error:
        raise StartFailed(f"HTTPS_PROXY: {error}") from None


def _text(path: Path | None) -> str | None:
    return str(path) if path else None
