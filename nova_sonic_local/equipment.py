"""What a turn engine works with."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from nova_sonic_local.brains.interface import Brain, Voice
from nova_sonic_local.clock import Clock
from nova_sonic_local.emission import Emitter
from nova_sonic_local.ids import Ids
from nova_sonic_local.manner import Manner
from nova_sonic_local.models import Model


@dataclass(frozen=True, slots=True)
class Equipment:
    """What a turn engine works with."""

    model: Model
    brain: Brain
    voice: Voice
    emitter: Emitter
    ids: Ids
    clock: Clock
    tasks: asyncio.TaskGroup
    room: Callable[[], Awaitable[None]]
    """Waits until the client takes more."""
    inject: Callable[[str], None]
    """Lets a fault happen; raises ValueError when there is no such fault."""

    @property
    def manner(self) -> Manner:
        """How to behave, which may change at any time."""
        return self.emitter.manner
