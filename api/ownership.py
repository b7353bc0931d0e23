"""Whose records somebody may see: an operator all, anybody else their own, by user id or by verified e-mail address."""

from aiohttp import web

from api.authentication import PRINCIPAL
from api.kinds import ID
from api.requests import GIVEN
from auth.principal import Principal
from service.errors import UnknownSession
from storage.voice_session_items import VoiceSession
from storage.voice_sessions import VoiceSessions


def is_own(principal: Principal, user_id: str) -> bool:
    """Tell whether something of this user is the principal's to see."""
    return principal.is_operator or bool(user_id and principal.user_id == user_id)


async def own_voice_session(request: web.Request, sessions: VoiceSessions) -> VoiceSession:
    """Return the voice session of the address.

    Raises:
        UnknownSession: there is none, or it is somebody else's.
    """
    session = await sessions.get(request[GIVEN].path[ID])
    if session is None or not is_own(request[PRINCIPAL], session.user_id):
        raise UnknownSession
    return session


def may_see(principal: Principal, email: str) -> bool:
    """Tell whether a record of this e-mail address is the principal's to see."""
    return principal.is_operator or (principal.email is not None and principal.email.lower() == email.lower())


def visible_email(principal: Principal, wanted: str | None) -> str | None:
    """Return whose records a list may have; None for everybody's, and the empty text for nobody's.

    Args:
        principal: who asks.
        wanted: whose records are asked for, None for all that can be seen.
    """
    if principal.is_operator:
        return wanted.lower() if wanted is not None else None
    own = (principal.email or "").lower()
    return own if wanted is None or wanted.lower() == own else ""
