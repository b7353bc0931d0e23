"""A model that calls a tool again and again, as soon as the last call was answered, once it was spoken to.

Run as `python -m bench.busy_model --folder DIR`; prints endpoint and certificate authority as one JSON line, and for each line of stdin how
many calls were answered since the line before.
"""

import argparse
import asyncio
import json
import sys
from pathlib import Path

import uvloop

from nova_sonic_local.brains.interface import Listener, Prompt, Reply, UserTurn
from nova_sonic_local.options import Options
from nova_sonic_local.server import NovaSonicLocal

CALL = ("consultarOrder", {"orderId": "1", "customerName": "Ana Lopez"})
MAX_STREAMS = 200


class BusyBrain:
    """Calls a tool for ever."""

    answered = 0
    """By all of them."""

    def __init__(self, prompt: Prompt) -> None:
        del prompt

    def listen(self) -> Listener | None:
        """Need no words."""
        return None

    async def answer(self, turn: UserTurn, reply: Reply) -> None:
        """Call, and call again."""
        del turn
        while True:
            await reply.call_tools([CALL])
            BusyBrain.answered += 1

    async def close(self) -> None:
        """Hold nothing."""


async def main() -> None:
    """Serve until killed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--folder", type=Path, required=True)
    options = Options(brain=BusyBrain, max_streams=MAX_STREAMS, ca_dir=parser.parse_args().folder)
    async with NovaSonicLocal(options) as emulator:
        print(json.dumps({"endpoint": emulator.endpoint, "ca_file": str(emulator.ca_file)}), flush=True)
        while await asyncio.to_thread(sys.stdin.readline):
            print(json.dumps({"answered": BusyBrain.answered}), flush=True)
            BusyBrain.answered = 0


if __name__ == "__main__":
    uvloop.run(main())
