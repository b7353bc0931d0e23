"""Serves clients that follow events, in the protocol of AppSync Events: a front end needs no other code than for the service itself.

Who a client is stands in a header of the handshake or, for browsers, in a subprotocol. It is asked as soon as the connection is open, since
a browser shows nobody why a handshake was refused. A user may follow what is their own, an operator everything.
"""

import asyncio
import secrets
import time
from collections.abc import Callable
from typing import Final

import structlog
from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request as Handshake

from auth.principal import Principal
from publishing.local import BadEvents, LocalChannels, NoChannel, NotYours, Subscription
from session.errors import AuthenticationError, InternalError
from session.interfaces import Clock
from telemetry.counters import Counters
from transports import event_messages as messages
from transports.authentication import Gate, claimed_user, offered_by
from transports.event_messages import BadMessage, Request
from transports.flow import TokenBucket

log = structlog.get_logger()

SUBSCRIPTIONS: Final = 100
"""Of one connection (AWS general reference, "AWS AppSync quotas")."""
KEEP_ALIVE_SECONDS: Final = 60.0
MESSAGES_PER_SECOND: Final = 20.0
MESSAGE_BURST: Final = 200.0
MAX_MESSAGE_BYTES: Final = 256 * 1024
AT_ONCE: Final = 32
"""Messages of one subscription that are sent before the others have their turn."""
UNAUTHORIZED_CODE: Final = 4401
NO_EVENTS_CODE: Final = 4404


class EventDesk:
    """Serves the connections that follow events.

    Args:
        channels: of this process.
        counters: gets `subscriber_*`.
        clock: monotonic seconds.
        keep_alive_seconds: how often a client is told that the connection lives.
        wall: seconds since 1970.
    """

    def __init__(
        self,
        channels: LocalChannels,
        counters: Counters,
        clock: Clock,
        *,
        keep_alive_seconds: float = KEEP_ALIVE_SECONDS,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.channels = channels
        self.counters = counters
        self.clock = clock
        self.keep_alive_seconds = keep_alive_seconds
        self.wall = wall

    async def serve(self, connection: ServerConnection, gate: Gate) -> None:
        """Serve a connection to its end.

        Args:
            connection: whose handshake is over.
            gate: tells who the client is.
        """
        connection.protocol.max_message_size = MAX_MESSAGE_BYTES
        self.counters.add("subscriber_connected")
        try:
            try:
                token, claimed = _introduction(connection.request)
                principal = await gate.authenticate(token, claimed)
            except (AuthenticationError, BadMessage) as error:
                code = error.code if isinstance(error, AuthenticationError) else "bad_frame"
                await connection.send(messages.not_connected(messages.UNAUTHORIZED, "You are not authorized to make this call."))
                await connection.close(UNAUTHORIZED_CODE, code)
                return
            await _Subscriber(self, connection, gate, principal, token).run()
        except ConnectionClosed:
            pass
        finally:
            self.counters.add("subscriber_left")


def _introduction(request: Handshake | None) -> tuple[str, str]:
    """Return the token of a handshake, and who the client says it is."""
    if request is None:
        return "", ""
    carried = messages.headers_of(offered_by(request))
    own = request.headers.get_all("Authorization")
    tokens = {messages.token_of(carried), *(messages.token_of({"authorization": value}) for value in own)} - {""}
    if len(tokens) > 1:
        raise BadMessage("There is more than one token.")
    return (tokens.pop() if tokens else ""), claimed_user(request)


class _Subscriber:
    """One client."""

    def __init__(self, desk: EventDesk, connection: ServerConnection, gate: Gate, principal: Principal, token: str) -> None:
        self._desk = desk
        self._connection = connection
        self._gate = gate
        self._principal = principal
        self._token = token
        self._subscriptions: dict[str, Subscription] = {}
        self._came = asyncio.Event()
        self._is_begun = False

    async def run(self) -> None:
        """Read and write until the client goes, or its token ends."""
        try:
            async with asyncio.TaskGroup() as tasks:
                both = {tasks.create_task(self._read()), tasks.create_task(self._write())}
                await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
                for task in both:
                    task.cancel()
        except* ConnectionClosed:
            pass
        except* Exception as failure:  # noqa: BLE001 - the task root of a connection that follows events
            await self._crashed(failure.exceptions[0])
        finally:
            for subscription in self._subscriptions.values():
                self._desk.channels.leave(subscription)

    async def _crashed(self, error: Exception) -> None:
        """Close after a bug of ours: the log has the details, the client the reference."""
        ref = secrets.token_hex(6)
        log.error("connection.crashed", ref=ref, exc_info=error)
        await self._connection.close(InternalError.close_code, ref)

    async def _read(self) -> None:
        flow = TokenBucket(MESSAGES_PER_SECOND, MESSAGE_BURST, self._desk.clock.now())
        async for frame in self._connection:
            if wait := flow.take(1, self._desk.clock.now()):
                await asyncio.sleep(wait)  # TCP pushes the client back meanwhile
            await self._connection.send(await self._answer(frame))

    async def _answer(self, frame: str | bytes) -> str:
        try:
            request = messages.read(frame)
        except BadMessage as error:
            return messages.wrong(messages.UNSUPPORTED, str(error))
        if request.kind == "connection_init":
            self._is_begun = True
            return messages.acknowledged()
        if not self._is_begun:
            return messages.failed(request, messages.BAD_REQUEST, "connection_init comes first.")
        if not await self._is_theirs(request):
            return messages.failed(request, messages.UNAUTHORIZED, "You are not authorized to make this call.")
        match request.kind:
            case "subscribe":
                return self._subscribe(request)
            case "unsubscribe":
                return self._unsubscribe(request)
            case _:
                return self._publish(request)

    async def _is_theirs(self, request: Request) -> bool:
        """Tell whether an operation is this client's; a newer token of the same user takes the place of the one before."""
        token = messages.token_of(request.authorization)
        if not token or token == self._token:
            return True
        try:
            principal = await self._gate.authenticate(token, self._principal.user_id)
        except AuthenticationError:
            return False
        if principal.user_id != self._principal.user_id:
            return False
        self._principal, self._token = principal, token
        self._came.set()
        return True

    def _subscribe(self, request: Request) -> str:
        if request.id in self._subscriptions:
            return messages.failed(request, messages.BAD_REQUEST, "There is a subscription with this id.")
        if len(self._subscriptions) >= SUBSCRIPTIONS:
            return messages.failed(request, messages.LIMIT, f"A connection has at most {SUBSCRIPTIONS} subscriptions.")
        viewer = None if self._principal.is_operator else self._principal.user_id
        try:
            self._subscriptions[request.id] = self._desk.channels.subscribe(request.channel, viewer, self._came.set)
        except NoChannel:
            return messages.failed(request, messages.BAD_REQUEST, "There is no such channel.")
        except NotYours:
            self._desk.counters.add("subscriber_refused")
            return messages.failed(request, messages.UNAUTHORIZED, "You are not authorized to make this call.")
        return messages.done(request)

    def _unsubscribe(self, request: Request) -> str:
        subscription = self._subscriptions.pop(request.id, None)
        if subscription is None:
            return messages.failed(request, messages.UNKNOWN_OPERATION, "There is no subscription with this id.")
        self._desk.channels.leave(subscription)
        return messages.done(request)

    def _publish(self, request: Request) -> str:
        if not self._principal.is_operator:
            self._desk.counters.add("subscriber_refused")
            return messages.failed(request, messages.UNAUTHORIZED, "You are not authorized to make this call.")
        try:
            self._desk.channels.post(request.channel, request.events)
        except NoChannel:
            return messages.failed(request, messages.BAD_REQUEST, "There is no such channel.")
        except BadEvents as error:
            return messages.failed(request, messages.BAD_REQUEST, f"The events cannot be published: {error}.")
        return messages.done(request)

    async def _write(self) -> None:
        """Send what came, and a word now and then that the connection lives."""
        send, desk = self._connection.send, self._desk
        while True:
            expires_at = self._principal.expires_at
            left = float("inf") if expires_at is None else expires_at - desk.wall()
            if left <= 0:
                await self._connection.close(UNAUTHORIZED_CODE, "token_expired")
                return
            try:
                async with asyncio.timeout(min(left, desk.keep_alive_seconds)):
                    await self._came.wait()
            except TimeoutError:
                if self._is_begun and left > desk.keep_alive_seconds:
                    await send(messages.keep_alive())
                continue
            self._came.clear()
            for name, subscription in tuple(self._subscriptions.items()):
                await self._drain(name, subscription)

    async def _drain(self, name: str, subscription: Subscription) -> None:
        """Send what one subscription waits for, but not all at once."""
        if dropped := subscription.take_dropped():
            await self._connection.send(messages.lost(name, dropped))
        for _ in range(AT_ONCE):
            text = subscription.take()
            if text is None or self._subscriptions.get(name) is not subscription:
                return
            await self._connection.send(messages.data(name, text))
        self._came.set()
