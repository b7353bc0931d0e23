"""/users/{id}/preferences: with which voice somebody likes to be answered. It is their own; operators reach everybody's.

Somebody else is answered like somebody who does not exist.
"""

from dataclasses import dataclass
from typing import Final

from aiohttp import web

from api.answers import answer
from api.authentication import PRINCIPAL
from api.errors import NotFound, RuleBroken
from api.kinds import MAX_USER
from api.operations import Operation, Success
from api.ownership import is_own
from api.requests import GIVEN
from api.schema import Instant, Member, Nullable, Record, Text
from s2s.models import ModelCapabilities
from storage.models import Json, format_instant
from storage.preferences import MAX_VOICE, Preferences, UserPreferences


@dataclass(frozen=True, slots=True)
class PreferenceDesk:
    """What the operations work with."""

    preferences: UserPreferences
    model: ModelCapabilities


DESK: Final = web.AppKey("preference_desk", PreferenceDesk)
USER: Final = Member("id", Text(MAX_USER), "User id.", is_required=True)
VOICE: Final = Member("voiceId", Text(MAX_VOICE, pattern="^[A-Za-z0-9_-]+$", example="tiffany"), "One of the model's.", is_required=True)


async def get_preferences(request: web.Request) -> web.Response:
    """Tell what a user prefers."""
    user = _user(request)
    return answer(_json(user, await request.app[DESK].preferences.get(user)), "Retrieved the preferences successfully")


async def set_preferences(request: web.Request) -> web.Response:
    """Note what a user prefers, from the next conversation on."""
    desk, user, voice = request.app[DESK], _user(request), request[GIVEN].body[VOICE]
    if not desk.model.may_have_voice(voice):
        raise RuleBroken(f"The model has no voice {voice[:40]!r}.")
    return answer(_json(user, await desk.preferences.set_voice(user, voice)), "The preferences are noted")


async def forget_preferences(request: web.Request) -> web.Response:
    """Remove what a user prefers."""
    user = _user(request)
    await request.app[DESK].preferences.forget(user)
    return answer(_json(user, None), "The preferences are removed")


def _user(request: web.Request) -> str:
    """Return whose preferences are meant.

    Raises:
        NotFound: somebody else's.
    """
    user = request[GIVEN].path[USER]
    if not is_own(request[PRINCIPAL], user):
        raise NotFound("There is no such user.")
    return user


def _json(user: str, found: Preferences | None) -> dict[str, Json]:
    told: dict[str, Json] = {"userId": user, "voiceId": None if found is None else found.voice_id}
    return told if found is None else told | {"updatedAt": format_instant(found.updated_at)}


_TOLD: Final = Record(
    "Preferences",
    (
        Member("userId", Text(MAX_USER), "Whose they are.", is_required=True),
        Member("voiceId", Nullable(Text(MAX_VOICE)), "The voice that is liked best; null for none.", is_required=True),
        Member("updatedAt", Instant(), "When that was said."),
    ),
)
_NOW: Final = Success(description="What is preferred now", data=_TOLD)
_MISSING: Final = {404: "It is somebody else"}

OPERATIONS: Final = (
    Operation(
        method="GET",
        path="/users/{id}/preferences",
        handler=get_preferences,
        summary="What a user prefers",
        parts=(USER,),
        success=_NOW,
        refusals=_MISSING,
    ),
    Operation(
        method="PUT",
        path="/users/{id}/preferences",
        handler=set_preferences,
        summary="Say with which voice a user likes to be answered",
        parts=(USER,),
        body=Record("NewPreferences", (VOICE,)),
        success=_NOW,
        refusals={**_MISSING, 422: "The model has no such voice"},
    ),
    Operation(
        method="DELETE",
        path="/users/{id}/preferences",
        handler=forget_preferences,
        summary="Forget what a user prefers",
        parts=(USER,),
        success=_NOW,
        refusals=_MISSING,
    ),
)
