"""How long a client is who it is: until its token expires, unless it sends another one in time."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from auth.principal import Principal
from session.errors import TokenExpired

LOOK_SECONDS: Final = 60.0
"""How long at most is slept without a look at the wall clock, which may be set meanwhile."""

type Authenticate = Callable[[str, str], Awaitable[Principal]]
"""Returns who has a token, who claims to be a user; raises AuthenticationError."""


class Standing:
    """The principal of one connection.

    Args:
        principal: who the client is now.
        authenticate: tells who has a new token.
        grace_seconds: how long an expired one is put up with.
        wall: seconds since 1970.
    """

    def __init__(self, principal: Principal, authenticate: Authenticate, grace_seconds: float, wall: Callable[[], float]) -> None:
        self.principal = principal
        self.grace_seconds = grace_seconds
        self._authenticate = authenticate
        self._wall = wall
        self._renewed = asyncio.Event()

    @property
    def seconds_left(self) -> float:
        """How long the token is good; negative when it has expired, infinite when it never does."""
        expires_at = self.principal.expires_at
        return float("inf") if expires_at is None else expires_at - self._wall()

    def check(self) -> None:
        """See that the client is who it was.

        Raises:
            TokenExpired: it has to say so again.
        """
        if self.seconds_left <= 0:
            raise TokenExpired

    async def renew(self, token: str) -> Principal:
        """Take another token of the same user.

        Raises:
            Forbidden: it is somebody else's.
            AuthenticationError: nobody has it, or it cannot be told now.
        """
        self.principal = await self._authenticate(token, self.principal.user_id)
        self._renewed.set()
        return self.principal

    async def until_expired(self) -> None:
        """Return when the token has expired."""
        while (left := self.seconds_left) > 0:
            await self._wait(min(left, LOOK_SECONDS))

    async def is_renewed_within(self, seconds: float) -> bool:
        """Wait for a token that is good, and return whether one came in time."""
        until = asyncio.get_running_loop().time() + seconds
        while self.seconds_left <= 0:
            left = until - asyncio.get_running_loop().time()
            if left <= 0:
                return False
            await self._wait(left)
        return True

    async def is_renewed_before(self, other: asyncio.Task[None], seconds: float) -> bool:
        """Wait for a token that is good, until something else has ended; return whether one came in time."""
        renewal = asyncio.ensure_future(self.is_renewed_within(seconds))
        try:
            await asyncio.wait((renewal, other), return_when=asyncio.FIRST_COMPLETED)
        finally:
            renewal.cancel()
        return self.seconds_left > 0

    async def _wait(self, seconds: float) -> None:
        self._renewed.clear()
        try:
            async with asyncio.timeout(seconds):
                await self._renewed.wait()
        except TimeoutError:
            pass
