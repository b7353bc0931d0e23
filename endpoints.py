"""What plain HTTP offers: the operations of the API with what they work on, and the page."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import orjson
from aiohttp import web

from api import (
    alerts,
    appointments,
    audio,
    connections,
    conversations,
    events,
    notes,
    openapi,
    orders,
    patients,
    preferences,
    probes,
    recordings,
    sessions,
    site,
    voice_sessions,
)
from api import config as config_api
from api.app import build_app
from api.health import Health
from api.interfaces import Origins
from api.operations import Operation
from api.plain_http import PlainHttp
from api.recording_content import CONTENT_OPERATIONS
from auth.interfaces import Authenticator
from config import ROOT, Settings
from parts.recordings import is_recorded
from parts.records import RecordParts
from parts.tools import Records, salt_of
from publishing.interfaces import EventsKind
from session.assistant import AssistantProfile
from session.registry import SessionRegistry

VERSION: Final = "1.0.0"
"""Of the API: the first number changes when a client has to."""
ALWAYS: Final[tuple[Operation, ...]] = (*probes.OPERATIONS, *config_api.OPERATIONS, *openapi.OPERATIONS)
OF_RECORDS: Final[tuple[Operation, ...]] = (*orders.OPERATIONS, *appointments.OPERATIONS)
OF_CONNECTIONS: Final[tuple[Operation, ...]] = (*connections.OPERATIONS, *sessions.OPERATIONS)
OF_EVENTS: Final[tuple[Operation, ...]] = (*alerts.OPERATIONS, *events.OPERATIONS)
ALL: Final[tuple[Operation, ...]] = (
    *ALWAYS,
    *OF_RECORDS,
    *OF_CONNECTIONS,
    *voice_sessions.OPERATIONS,
    *audio.OPERATIONS,
    *notes.OPERATIONS,
    *conversations.OPERATIONS,
    *OF_EVENTS,
    *patients.OPERATIONS,
    *preferences.OPERATIONS,
    *recordings.OPERATIONS,
    *CONTENT_OPERATIONS,
)


@dataclass(frozen=True, slots=True)
class Offer:
    """What there is to be asked for."""

    health: Health
    assistants: Mapping[str, AssistantProfile]
    records: Records | None
    """None where tools were given that work on none of ours."""
    switchboard: connections.Switchboard | None
    """None where nobody writes connections down."""
    registry: SessionRegistry
    written: RecordParts


def plain_http(settings: Settings, offer: Offer, authenticator: Authenticator, origins: Origins) -> PlainHttp:
    """Return what serves everything that is no WebSocket."""
    operations = list(ALWAYS)
    parts: dict[web.AppKey[Any], object] = {
        probes.HEALTH: offer.health,
        config_api.CONFIG: orjson.dumps(front_end_config(settings, offer.assistants)),
    }
    if offer.records is not None:
        operations += OF_RECORDS
        parts[orders.SHOP] = orders.Shop(offer.records.orders, salt_of(settings))
        parts[appointments.CLINIC] = appointments.Clinic(offer.records.appointments, lambda: datetime.now(UTC))
    if offer.switchboard is not None:
        operations += OF_CONNECTIONS
        parts[connections.SWITCHBOARD] = offer.switchboard
        parts[sessions.DESK] = sessions.SessionDesk(offer.registry, offer.switchboard.trail)
    operations += [operation for group in offer.written.operations for operation in group]
    parts |= offer.written.api_parts
    stage = settings.api_stage
    parts[openapi.OPENAPI] = openapi.encode(operations, version=VERSION, stage=stage, needs_token=authenticator.needs_token)
    page = site.routes(site.load_assets(ROOT / "web"))
    return PlainHttp(build_app([operations], authenticator=authenticator, origins=origins, stage=stage, page=page, parts=parts))


def front_end_config(settings: Settings, assistants: Mapping[str, AssistantProfile]) -> dict[str, object]:
    """Return what a front end has to know: nothing of it is secret."""
    listed = [
        {
            "name": name,
            "languages": [{"id": key, "voice_id": language.voice_id} for key, language in profile.languages.items()],
            "is_recorded": is_recorded(settings, profile),
        }
        for name, profile in assistants.items()
    ]
    sign_in = {
        "mode": settings.auth.value,
        "user_pool_id": settings.cognito_user_pool_id or None,
        "client_ids": list(settings.cognito_client_ids),
        "token_use": settings.cognito_token_use.value,
    }
    return {
        "assistants": listed,
        "default_assistant": settings.assistant,
        "websocket_path": "/",
        "local": settings.local,
        "rest_path": "/",
        "stage_path": f"/{settings.api_stage}",
        "openapi_path": "/openapi.json",
        "clinic_time_zone": settings.clinic_time_zone.key,
        "region": settings.region,
        "model_id": settings.model_id,
        "websocket_api_id": settings.websocket_api_id or None,
        "auth": sign_in,
        "events": events_of(settings),
    }


def events_of(settings: Settings) -> dict[str, object]:
    """Return where a front end follows events: at this server's own address, at an Event API, or nowhere."""
    place = {
        EventsKind.OFF: None,
        EventsKind.LOCAL: "/event",
        EventsKind.APPSYNC: f"{settings.events_endpoint.removesuffix('/event')}/event",
    }
    return {"mode": settings.events.value, "endpoint": place[settings.events], "namespace": settings.events_namespace}
