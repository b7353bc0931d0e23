"""The keys of an issuer, kept at hand: fetched before anybody needs them, and again when a token names one that is new.

Whoever makes up names of keys makes the server ask the issuer, so that is done by one at a time, and not more often than every ten seconds.
While the issuer does not answer, the keys that it published last are still good.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

import structlog
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from auth.interfaces import KeysUnavailable, TokenRefused
from auth.key_set import KeySetUnusable, parse_key_set

log = structlog.get_logger()

REFRESH_SECONDS: Final = 900.0
"""A key that the issuer no longer publishes is good for so long at most while it can be asked."""
RETRY_SECONDS: Final = 10.0
"""Between questions that were not answered, and between those for keys that nobody knows."""
FIRST_RETRY_SECONDS: Final = 1.0
"""The same while there is no key at all: nobody can come in."""
KEEP_SECONDS: Final = 24 * 3_600.0
"""How long keys are good without an answer of the issuer."""


class IssuerKeys:
    """Finds the key that a token names.

    Args:
        fetch: asks the issuer; raises KeysUnavailable.
        now: monotonic seconds.
        refresh_seconds: how old the keys become.
        retry_seconds: between questions for what is not there.
    """

    def __init__(
        self,
        fetch: Callable[[], Awaitable[bytes]],
        now: Callable[[], float],
        *,
        refresh_seconds: float = REFRESH_SECONDS,
        retry_seconds: float = RETRY_SECONDS,
    ) -> None:
        self._fetch = fetch
        self._now = now
        self._refresh_seconds = refresh_seconds
        self._retry_seconds = retry_seconds
        self._keys: Mapping[str, RSAPublicKey] = {}
        self._fetched_at = self._asked_at = float("-inf")
        self._failure = "the issuer was not asked yet"
        """Why the last question had no answer; empty when it had."""
        self._flight: asyncio.Task[None] | None = None
        self._refreshing: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Ask for the first time, and from now on before the keys are old; that there is no answer is no reason not to start."""
        await self._ask()
        if self._failure:
            log.warning("auth.keys_unavailable", reason=self._failure)
        self._refreshing = asyncio.create_task(self._refresh())

    async def aclose(self) -> None:
        """Ask no more."""
        tasks = [task for task in (self._refreshing, self._flight) if task is not None]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    @property
    def is_usable(self) -> bool:
        """Whether there are keys that are not too old."""
        return bool(self._keys) and self._now() - self._fetched_at < KEEP_SECONDS

    async def find(self, kid: str) -> RSAPublicKey:
        """Return the key of this name.

        Raises:
            TokenRefused: the issuer has none.
            KeysUnavailable: it cannot be asked.
        """
        if (key := self._known(kid)) is not None:
            return key
        pause = self._retry_seconds if self.is_usable else min(self._retry_seconds, FIRST_RETRY_SECONDS)
        if self._flight is not None or self._now() - self._asked_at >= pause:
            await self._ask()
        if (key := self._known(kid)) is not None:
            return key
        if self._failure:
            raise KeysUnavailable(self._failure)
        raise TokenRefused("kid is no key of the issuer")

    async def check(self) -> None:
        """See that tokens can be checked.

        Raises:
            KeysUnavailable: they cannot.
        """
        if not self.is_usable:
            raise KeysUnavailable(self._failure)

    def _known(self, kid: str) -> RSAPublicKey | None:
        return self._keys.get(kid) if self.is_usable else None

    async def _ask(self) -> None:
        """Ask the issuer, or wait with those who already do; whoever is cancelled while it waits leaves the others their answer."""
        if self._flight is None:
            self._flight = asyncio.create_task(self._fly())
        await asyncio.shield(self._flight)

    async def _fly(self) -> None:
        self._asked_at = self._now()
        try:
            keys = parse_key_set(await self._fetch())
        except (KeysUnavailable, KeySetUnusable) as error:
            self._failure = str(error)
        else:
            self._keys, self._fetched_at, self._failure = keys, self._now(), ""
        finally:
            self._flight = None

    async def _refresh(self) -> None:
        while True:
            await asyncio.sleep(self._retry_seconds if self._failure else self._refresh_seconds)
            was_well = not self._failure
            await self._ask()
            if self._failure and was_well:
                log.warning("auth.keys_unavailable", reason=self._failure)
            elif not self._failure and not was_well:
                log.info("auth.keys_found")
