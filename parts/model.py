"""The model: Nova Sonic on Bedrock, or its emulator, or a cascade at either."""

from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

from api.health import Check
from cascade.client import CascadeClient
from config import LOCAL_FOLDER, ModelHistory, Settings
from local_emulator import EmulatorFailed, LocalEmulator
from parts.cascade import LOCAL_TEXT_MODEL, ModelPlace, make_cascade
from parts.errors import NoCredentials, StartFailed
from s2s.bedrock.client import NovaSonicClient, region_endpoint
from s2s.bedrock.credentials import Credentials, StaticCredentials, find_credentials
from s2s.bedrock.http2.proxy import proxy_for
from s2s.bedrock.stream import Timeouts
from s2s.cures import Place, explain
from s2s.errors import ModelError
from s2s.limits import RELAXED, STRICT
from s2s.models import CASCADE_MODEL_ID
from session.interfaces import ModelClient
from session.stream_quota import StreamQuota
from telemetry.counters import Counters

LOCAL_KEY: Final = "local"
"""The made-up credentials of --local: the emulator takes any."""
TEXT_PROFILES: Final = {ModelHistory.STRICT: STRICT, ModelHistory.RELAXED: RELAXED}
SPARE_STREAMS: Final = 5
"""Streams that the emulator takes beyond the sessions: one may still be closing when the next opens."""


def make_client(
    settings: Settings, endpoint: str | None, ca_file: Path | None, credentials: Credentials
) -> NovaSonicClient | CascadeClient:
    """Return the client of the model that the settings ask for.

    Raises:
        StartFailed: the proxy is none that can be used.
    """
    if settings.model_id == CASCADE_MODEL_ID:
        return make_cascade(settings, ModelPlace(endpoint, ca_file, credentials), TEXT_PROFILES[settings.model_history])
    proxies = {"https_proxy": settings.https_proxy or "", "no_proxy": settings.no_proxy}
    try:
        proxy = None if settings.local else proxy_for(endpoint or region_endpoint(settings.region), proxies)
    except ValueError as error:
        raise StartFailed(f"HTTPS_PROXY: {error}") from None
    return NovaSonicClient(
        settings.region,
        settings.model_id,
        endpoint,
        str(ca_file) if ca_file else None,
        credentials,
        transport=settings.model_transport,
        timeouts=Timeouts(opening=settings.opening_ms / 1000),
        streams_per_connection=settings.streams_per_connection,
        proxy=proxy,
        text_profile=TEXT_PROFILES[settings.model_history],
    )


def place_of(settings: Settings) -> Place:
    """Return what the settings ask of the model's service, for messages to name."""
    ca_file = str(settings.model_ca_file) if settings.model_ca_file else None
    endpoint = settings.model_endpoint or region_endpoint(settings.region)
    model_id = settings.text_model_id or LOCAL_TEXT_MODEL if settings.model_id == CASCADE_MODEL_ID else settings.model_id
    return Place(model_id=model_id, region=settings.region, endpoint=endpoint, ca_file=ca_file)


async def open_endpoint(settings: Settings, resources: AsyncExitStack) -> tuple[str | None, Path | None]:
    """Return where the model is and whom to trust for that, starting the emulator where it is the model.

    Raises:
        StartFailed: the emulator does not start.
    """
    if not settings.local or settings.model_endpoint is not None:
        return settings.model_endpoint, settings.model_ca_file
    emulator = LocalEmulator(LOCAL_FOLDER / "emulator", ("--max-streams", str(settings.max_sessions + SPARE_STREAMS)))
    try:
        local = await emulator.start()
    except EmulatorFailed as error:
        raise StartFailed(str(error)) from error
    resources.push_async_callback(emulator.stop)
    return local.uri, local.ca_file


async def open_model(settings: Settings, resources: AsyncExitStack, checks: dict[str, Check]) -> tuple[ModelClient, ModelPlace]:
    """Return the model that the settings ask for, and where it is; add its check.

    Raises:
        StartFailed: there are no credentials, or the emulator does not start.
    """
    credentials: Credentials = StaticCredentials(LOCAL_KEY, LOCAL_KEY)
    if not settings.local:
        try:
            credentials = found = await find_credentials(region=settings.region)
        except ModelError as error:
            raise NoCredentials(explain(error, place_of(settings))) from error
        resources.push_async_callback(found.aclose)
    place = ModelPlace(*await open_endpoint(settings, resources), credentials)
    client = make_client(settings, place.endpoint, place.ca_file, credentials)
    resources.push_async_callback(client.aclose)
    checks["model"] = client.ping
    return client, place


def stream_quota(settings: Settings, model: ModelClient, counters: Counters) -> StreamQuota:
    """Return what has sessions take turns at the model's streams."""
    return StreamQuota(model, counters, max_streams=settings.model_max_streams, wait_seconds=settings.model_wait_ms / 1000)
