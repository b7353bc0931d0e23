"""Liveness and readiness, answered by the event loop that carries the audio: a health thread would say yes over a dead loop."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import Final

import orjson
import structlog

from session.interfaces import Clock
from session.registry import SessionRegistry
from telemetry.counters import Counters

log = structlog.get_logger()

type Check = Callable[[], Awaitable[None]]
"""Reaches out to a dependency; raises when it cannot be used."""

CHECK_SECONDS: Final = 3.0
"""A dependency that takes longer counts as away."""
REMEMBER_SECONDS: Final = 2.0
"""Several pollers share one look at the dependencies."""


class Health:
    """Knows how the server is.

    Args:
        checks: by the dependency's name.
        registry: the live sessions.
        counters: what has been counted.
        clock: monotonic seconds.
    """

    def __init__(self, *, checks: Mapping[str, Check], registry: SessionRegistry, counters: Counters, clock: Clock) -> None:
        self._checks = checks
        self._registry = registry
        self._counters = counters
        self._clock = clock
        self._started_at = clock.now()
        self._states: dict[str, str] = {}
        self._looked_at = float("-inf")
        self._looking = asyncio.Lock()

    async def alive(self) -> tuple[int, bytes]:
        """Return the answer of /health: that it comes is the point of it."""
        uptime = round(self._clock.now() - self._started_at)
        body = {"status": "healthy", "uptime_seconds": uptime, "sessions": self._registry.live, "counters": self._counters.read()}
        return HTTPStatus.OK, orjson.dumps(body)

    async def ready(self) -> tuple[int, bytes]:
        """Return the answer of /ready: 200 when a session that begins now would work, else 503."""
        states = await self.dependencies()
        states["capacity"] = "overloaded" if self._registry.is_overloaded else "full"
        if self._registry.has_room or self._registry.is_leaving:
            states["capacity"] = "ok"
        states["draining"] = "leaving" if self._registry.is_leaving else "ok"
        is_ready = all(state == "ok" for state in states.values())
        body = {"status": "ready" if is_ready else "not_ready", "dependencies": states, "sessions": self._registry.live}
        return HTTPStatus.OK if is_ready else HTTPStatus.SERVICE_UNAVAILABLE, orjson.dumps(body)

    async def dependencies(self) -> dict[str, str]:
        """Return `ok`, or the kind of failure, of each dependency."""
        async with self._looking:
            if self._clock.now() - self._looked_at > REMEMBER_SECONDS:
                outcomes = await asyncio.gather(*(self._look(check) for check in self._checks.values()), return_exceptions=True)
                self._states = {name: _state(name, outcome) for name, outcome in zip(self._checks, outcomes, strict=True)}
                self._looked_at = self._clock.now()
            return dict(self._states)

    async def _look(self, check: Check) -> None:
        async with asyncio.timeout(CHECK_SECONDS):
            await check()


def _state(name: str, outcome: BaseException | None) -> str:
    if outcome is None:
        return "ok"
    state = "timeout" if isinstance(outcome, TimeoutError) else str(getattr(outcome, "code", "failed"))
    log.warning("dependency.failed", dependency=name, state=state, detail=str(outcome))
    return state
