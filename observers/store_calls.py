"""What is asked of a store now and then, beside conversations: one that is away is told of once, and is asked again the next time."""

import asyncio
from collections.abc import Callable, Coroutine

import structlog

log = structlog.get_logger()


class StoreCalls:
    """Asks one store.

    Args:
        name: for logs.
        seconds: a store that takes longer counts as away.
    """

    def __init__(self, name: str, seconds: float) -> None:
        self._name = name
        self._seconds = seconds
        self._is_away = False

    async def ask(self, work: Callable[[], Coroutine[None, None, None]]) -> None:
        """Do something with the store, if that is possible now."""
        try:
            async with asyncio.timeout(self._seconds):
                await work()
        except Exception as error:  # noqa: BLE001 - whatever is wrong with the store, conversations go on without it
            if not self._is_away:
                log.warning("store.away", name=self._name, reason=type(error).__name__)
            self._is_away = True
        else:
            self._is_away = False
