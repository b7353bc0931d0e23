"""Who asks: the token of a request, before anything is read for it."""

from typing import Final

import structlog
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from api.operations import Access
from api.requests import OPERATION
from auth.interfaces import Authenticator, KeysUnavailable, TokenOutdated, TokenRefused
from auth.principal import Principal
from session.errors import AuthUnavailable, Forbidden, NotAuthenticated, TokenExpired

log = structlog.get_logger()

PRINCIPAL: Final = web.RequestKey("principal", Principal)
"""Who asks: `request[PRINCIPAL]`, in every operation that is not public."""
_SCHEME: Final = "bearer "


def authenticating(authenticator: Authenticator) -> Middleware:
    """Return what lets a request reach its handler once it is known who asks."""

    @web.middleware
    async def authenticate(request: web.Request, handler: Handler) -> web.StreamResponse:
        operation = request.get(OPERATION)
        if operation is None or operation.access is Access.PUBLIC:
            return await handler(request)
        principal = await _who(request, authenticator)
        if operation.access is Access.OPERATOR and not principal.is_operator:
            raise Forbidden
        request[PRINCIPAL] = principal
        return await handler(request)

    return authenticate


async def _who(request: web.Request, authenticator: Authenticator) -> Principal:
    token = _token_of(request)
    if not token and authenticator.needs_token:
        raise NotAuthenticated
    try:
        return await authenticator.authenticate(token)
    except KeysUnavailable as error:
        log.info("request.not_authenticated", detail=str(error))
        raise AuthUnavailable from error
    except TokenOutdated as error:
        raise TokenExpired from error
    except TokenRefused as error:
        log.info("request.not_authenticated", detail=str(error))
        raise NotAuthenticated from error


def _token_of(request: web.Request) -> str:
    """Return the token of a request; a query never carries one, since addresses end up in logs."""
    values = request.headers.getall("Authorization", ())
    if len(values) > 1:
        raise NotAuthenticated("There is more than one token.")
    value = values[0] if values else ""
    return value[len(_SCHEME) :].strip() if value.lower().startswith(_SCHEME) else ""
