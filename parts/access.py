"""Who may come in, and how much they may take."""

import time
from contextlib import AsyncExitStack

import structlog

from api.health import Check
from auth.anonymous import AnonymousAuthenticator
from auth.claims import TokenRules
from auth.cognito import CognitoAuthenticator
from auth.interfaces import Authenticator
from auth.issuer_keys import IssuerKeys
from auth.key_endpoint import KeyEndpoint
from config import AuthMode, Settings
from parts.errors import StartFailed
from s2s.bedrock.http2.proxy import proxy_for
from transports.limits import Limits

log = structlog.get_logger()


def limits_of(settings: Settings) -> Limits:
    """Return what one client may take."""
    return Limits(
        proxy_hops=settings.trusted_proxy_hops,
        connections=settings.max_connections,
        connections_per_address=settings.max_connections_per_address,
        plain_connections=settings.max_http_connections,
        plain_per_second_per_address=settings.http_requests_per_second_per_address,
        handshakes_per_second=settings.handshakes_per_second,
        handshakes_per_second_per_address=settings.handshakes_per_second_per_address,
        sessions_per_user=settings.max_sessions_per_user,
        sessions_per_address=settings.max_sessions_per_address,
        frame_bytes=settings.max_frame_bytes,
        frames_per_second=settings.max_frames_per_second,
        bytes_per_second=settings.max_bytes_per_second,
        text_bytes=settings.max_text_bytes,
        flood_seconds=settings.flood_seconds,
    )


async def open_authenticator(settings: Settings, resources: AsyncExitStack, checks: dict[str, Check]) -> Authenticator:
    """Return what tells who a client is, and add its check where there is something to look at.

    That the issuer of tokens does not answer is no reason not to start: nobody comes in until it does.

    Raises:
        StartFailed: the proxy on the way to the issuer is none that can be used.
    """
    if settings.auth is not AuthMode.COGNITO:
        log.warning("auth.nobody_is_asked", reason=f"AUTH={settings.auth}: who reaches HOST={settings.host} may do everything")
        return AnonymousAuthenticator()
    keys = IssuerKeys(key_endpoint(settings).fetch, time.monotonic)
    resources.push_async_callback(keys.aclose)
    await keys.start()
    checks["auth"] = keys.check
    client_ids = frozenset(settings.cognito_client_ids)
    return CognitoAuthenticator(keys, TokenRules(settings.issuer, client_ids, settings.cognito_token_use, settings.operators_group))


def key_endpoint(settings: Settings) -> KeyEndpoint:
    """Return where the issuer of tokens publishes its keys.

    Raises:
        StartFailed: the proxy is none that can be used.
    """
    try:
        proxy = proxy_for(settings.issuer, {"https_proxy": settings.https_proxy or "", "no_proxy": settings.no_proxy})
    except ValueError as error:
        raise StartFailed(f"HTTPS_PROXY: {error}") from None
    if proxy is None:
        return KeyEndpoint(settings.issuer)
    return KeyEndpoint(settings.issuer, f"http://{proxy}", {"Proxy-Authorization": proxy.authorization} if proxy.authorization else None)
