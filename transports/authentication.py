"""Who comes in: a token in a header, in an offered subprotocol, or in the first message; before it, nothing else is looked at.

Browsers can set no header on a WebSocket, and what is in an address ends up in logs: a query never carries a token.
"""

import asyncio
import re
import secrets
import time
from collections.abc import Callable, Sequence
from http import HTTPStatus
from typing import Final
from urllib.parse import parse_qs, urlsplit
from weakref import WeakKeyDictionary

import structlog
from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

from auth.interfaces import Authenticator, KeysUnavailable, OtherUser, TokenOutdated, TokenRefused
from auth.principal import Principal
from session.errors import AuthenticationError, AuthUnavailable, BadFrame, Forbidden, NotAuthenticated, SessionError, TokenExpired
from telemetry.counters import Counters
from transports.dialects.auth_messages import MESSAGE_LIMIT_BYTES, accepted, is_auth, token_in
from transports.dialects.binary import BinaryDialect
from transports.dialects.detection import Clocks, by_subprotocol, dialect_of_stranger
from transports.dialects.interface import Dialect, Frame
from transports.refusals import refuse
from transports.standing import Standing

log = structlog.get_logger()

AUTH_SECONDS: Final = 5.0
GRACE_SECONDS: Final = 60.0
WAITING_LIMIT: Final = 200
"""Connections at once that have not said who they are; with what each of them may send they take 10 MB."""
TOKEN_SUBPROTOCOLS: Final = ("bearer.", "openai-insecure-api-key.")
"""Prefixes of subprotocols that carry a token; the second is what the client library of OpenAI offers in a browser."""
RETRY_AFTER_SECONDS: Final = "5"
CLAIM: Final = "userId"
"""Of the query: who the client says it is. Believed in development; else it has to be who the token says."""
_USER: Final = re.compile(r"(?!\()[^\x00-\x20\x7f]{1,128}")
"""In brackets are the names that records have for those whom nobody asked."""


def refusal(error: SessionError) -> Response:
    """Return the HTTP answer to a handshake that is refused (RFC 6750 3)."""
    status = HTTPStatus(error.status)
    if status is HTTPStatus.UNAUTHORIZED:
        return refuse(status, error.text, ("WWW-Authenticate", 'Bearer error="invalid_token"'))
    if status is HTTPStatus.SERVICE_UNAVAILABLE:
        return refuse(status, error.text, ("Retry-After", RETRY_AFTER_SECONDS))
    return refuse(status, error.text)


class Gate:
    """Asks every client who it is.

    Args:
        authenticator: tells who has a token.
        counters: gets `auth_*`.
        seconds: for the first message of a client whose handshake had no token.
        grace_seconds: how long a conversation may go on when its token has expired.
        waiting_limit: connections at once that have not said who they are.
        wall: seconds since 1970.
    """

    def __init__(
        self,
        authenticator: Authenticator,
        counters: Counters,
        *,
        seconds: float = AUTH_SECONDS,
        grace_seconds: float = GRACE_SECONDS,
        waiting_limit: int = WAITING_LIMIT,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._grace_seconds = grace_seconds
        self._authenticator = authenticator
        self._counters = counters
        self._seconds = seconds
        self._waiting_limit = waiting_limit
        self._wall = wall
        self._waiting = 0
        self._known: WeakKeyDictionary[ServerConnection, Principal] = WeakKeyDictionary()
        """Who said in the handshake who they are."""

    async def admit(self, connection: ServerConnection, request: Request) -> Response | None:
        """Look at a handshake; return its refusal, None when it may go on."""
        try:
            claimed = claimed_user(request)
            tokens = tokens_in(request)
            if len(tokens) > 1:
                raise NotAuthenticated("There is more than one token.")
            if tokens or not self._authenticator.needs_token:
                self._known[connection] = await self.authenticate(tokens.pop() if tokens else "", claimed)
            elif self._waiting >= self._waiting_limit:
                raise AuthUnavailable
        except SessionError as error:
            return refusal(error)
        return None

    async def enter(self, connection: ServerConnection, clocks: Clocks, dialect: Dialect | None = None) -> Standing | None:
        """Return who a client is, asking it to say so if it has not; None when it did not, and the connection is closed.

        Args:
            connection: whose handshake is over.
            clocks: for what is told of a refusal.
            dialect: what the client speaks, if its address says so.
        """
        principal = self._known.pop(connection, None)
        if principal is not None:
            return self._standing_of(principal)
        frame: Frame | None = None
        try:
            try:
                frame = await self._first_frame(connection)
                return self._standing_of(await self._take_token(connection, frame))
            except AuthenticationError as error:
                await _turn_away(connection, error, dialect or _dialect_for(connection, frame, clocks))
        except ConnectionClosed:
            pass
        return None

    async def authenticate(self, token: str, claimed: str = "") -> Principal:
        """Return who has a token.

        Args:
            token: as the client sent it.
            claimed: who the client says it is.

        Raises:
            AuthenticationError: nobody, or it cannot be told now.
        """
        try:
            return await self._authenticator.authenticate(token, claimed)
        except KeysUnavailable as reason:
            error: AuthenticationError = AuthUnavailable()
            detail = str(reason)
        except TokenRefused as reason:
            error, detail = _refused(reason), str(reason)
        self._counters.add("auth_refused")
        log.info("client.not_authenticated", code=error.code, detail=detail)
        raise error

    def _standing_of(self, principal: Principal) -> Standing:
        return Standing(principal, self.authenticate, self._grace_seconds, self._wall)

    async def _first_frame(self, connection: ServerConnection) -> Frame:
        """Wait for the message that says who the client is; until it is there, not much can be sent."""
        if self._waiting >= self._waiting_limit:
            raise AuthUnavailable
        self._waiting += 1
        limits = connection.protocol
        usual, limits.max_message_size = limits.max_message_size, MESSAGE_LIMIT_BYTES
        try:
            async with asyncio.timeout(self._seconds):
                return await connection.recv()
        except TimeoutError:
            raise NotAuthenticated("The first message has to say who you are, and did not come.") from None
        finally:
            self._waiting -= 1
            limits.max_message_size = usual

    async def _take_token(self, connection: ServerConnection, frame: Frame) -> Principal:
        try:
            token = token_in(frame)
        except BadFrame as error:
            raise NotAuthenticated(error.text) from None
        if token is None:
            raise NotAuthenticated
        principal = await self.authenticate(token, claimed_user(connection.request))
        await connection.send(accepted(principal.user_id, principal.expires_at))
        return principal


def _dialect_for(connection: ServerConnection, frame: Frame | None, clocks: Clocks) -> Dialect | None:
    """Return what a refusal is told in; None where nothing shows what the client speaks."""
    if frame is None:
        return by_subprotocol(connection.subprotocol, clocks)
    if (dialect := by_subprotocol(connection.subprotocol, clocks)) is not None:
        return dialect
    return BinaryDialect(clocks.monotonic_ms) if is_auth(frame) else dialect_of_stranger(frame, clocks)


async def _turn_away(connection: ServerConnection, error: AuthenticationError, dialect: Dialect | None) -> None:
    """Tell a client why it is not served, and close."""
    for frame in dialect.answer(error.event(secrets.token_hex(6))) if dialect else ():
        await connection.send(frame)
    await connection.close(error.close_code, error.code)


def _refused(reason: TokenRefused) -> AuthenticationError:
    match reason:
        case TokenOutdated():
            return TokenExpired()
        case OtherUser():
            return Forbidden("The token is somebody else's.")
        case _:
            return NotAuthenticated("The token is not accepted.")


def tokens_in(request: Request) -> set[str]:
    """Return the tokens of a handshake: of its Authorization headers and of the subprotocols that it offers."""
    headers = [value.partition(" ") for value in request.headers.get_all("Authorization")]
    found = {token.strip() for scheme, _, token in headers if scheme.lower() == "bearer"}
    for name in offered_by(request):
        found.update(name.removeprefix(prefix) for prefix in TOKEN_SUBPROTOCOLS if name.startswith(prefix))
    return found


def offered_by(request: Request) -> list[str]:
    """Return the subprotocols that a handshake offers."""
    return [part.strip() for value in request.headers.get_all("Sec-WebSocket-Protocol") for part in value.split(",")]


def claimed_user(request: Request | None) -> str:
    """Return who a client says it is, empty if it does not.

    Raises:
        BadFrame: nobody is called so.
    """
    query = urlsplit(request.path).query if request is not None else ""
    try:
        claims = set(parse_qs(query, max_num_fields=20).get(CLAIM, ()))
    except ValueError:
        raise BadFrame("The query has too many fields.") from None
    if not claims:
        return ""
    if len(claims) > 1 or not _USER.fullmatch(claim := claims.pop()):
        raise BadFrame(f"{CLAIM} is no name of a user.")
    return claim


def without_tokens(offered: Sequence[Subprotocol]) -> list[Subprotocol]:
    """Return the subprotocols that can be answered with: a token is never sent back."""
    return [name for name in offered if not name.startswith(TOKEN_SUBPROTOCOLS)]
