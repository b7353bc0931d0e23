"""Runs a migration that kills its own process before a write: python -m tests.scripts.killed FOLDER WRITES, settings as variables."""

import asyncio
import os
import signal
import sys
from pathlib import Path

from config import Settings
from scripts.upkeep.breaking import BreakingStore
from scripts.upkeep.journal import Journal
from scripts.upkeep.migration import Migration, Options
from scripts.upkeep.opening import open_store, tables_of
from scripts.upkeep.pace import Pace
from tests.scripts import foreign


class KillingStore(BreakingStore):
    """A store that one transaction never reaches."""

    async def count(self) -> None:
        self.left -= 1
        if self.left == -1:
            os.kill(os.getpid(), signal.SIGKILL)


async def run(folder: Path, writes: int) -> None:
    settings = Settings.from_env(os.environ)
    store = KillingStore(await open_store(settings), after=writes)
    options = Options(zone=settings.clinic_time_zone, pace=Pace(0, ()), now=lambda: foreign.NOW)
    await Migration(store, tables_of(settings, ("orders", "appointments")), Journal(folder), options).run()


if __name__ == "__main__":
    asyncio.run(run(Path(sys.argv[1]), int(sys.argv[2])))
