"""An echoing model that calls tools, takes silence for the end of its turn, and counts what it was given.

Run as `python -m bench.echo_model --folder DIR [--tool-every SECONDS] [--fault FAULT --faulty N]`; prints endpoint and certificate
authority as one JSON line, and for each line on stdin another one with its counts.
"""

import argparse
import asyncio
import itertools
import json
import sys
import uuid
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path

import uvloop

from nova_sonic_local import stream
from nova_sonic_local.brains.echo import EchoEngine
from nova_sonic_local.emission import Emitter
from nova_sonic_local.options import Options
from nova_sonic_local.server import NovaSonicLocal
from telemetry.loop_stalls import favour_loop

MAX_STREAMS = 400
TOOL = "consultarOrder"
PAUSE_BYTES = 32_000
"""A second of silence ends an answer: one that goes on without a sound looks like a model that hangs."""
ARGUMENTS = json.dumps({"orderId": "1", "customerName": "Ana"})


class Account:
    """What all streams of the model saw."""

    def __init__(self) -> None:
        self.opened = 0
        self.closed = 0
        self.called: set[str] = set()
        self.answers: Counter[str] = Counter()

    def figures(self) -> dict[str, int]:
        """Return the counts."""
        return {
            "streams_opened": self.opened,
            "streams_open": self.opened - self.closed,
            "tools_called": len(self.called),
            "tools_unanswered": len(self.called - self.answers.keys()),
            "tools_answered_twice": sum(count > 1 for count in self.answers.values()),
        }


class CallingEcho(EchoEngine):
    """Echo of everything that is no silence, which calls a tool now and then.

    Args:
        emitter, output_hertz, room: as of EchoEngine.
    """

    account = Account()
    tool_every = 0.0
    """Seconds; 0 is never."""

    def __init__(self, emitter: Emitter, output_hertz: int, room: Callable[[], Awaitable[None]]) -> None:
        super().__init__(emitter, output_hertz, room)
        self._tools = emitter
        self._called_at = asyncio.get_running_loop().time()
        self._silent_bytes = 0
        self.account.opened += 1

    async def hear(self, pcm: bytes) -> None:
        """Send a piece back, and call a tool now and then while somebody speaks; silence that a server puts between chunks stays away."""
        if not any(pcm):
            was_silent, self._silent_bytes = self._silent_bytes, self._silent_bytes + len(pcm)
            if was_silent < PAUSE_BYTES <= self._silent_bytes:
                self._tools.close_audio("END_TURN")
            return
        self._silent_bytes = 0
        now = asyncio.get_running_loop().time()
        if self.tool_every and now - self._called_at > self.tool_every:
            self._called_at = now
            tool_use_id = str(uuid.uuid4())
            self.account.called.add(tool_use_id)
            self._tools.close_audio("END_TURN")
            self._tools.tool_use(TOOL, tool_use_id, ARGUMENTS)
        await super().hear(pcm)

    def take_result(self, tool_use_id: str, _result: dict[str, object]) -> None:
        """Count a result."""
        self.account.answers[tool_use_id] += 1

    async def close(self) -> None:
        """Count the end of the stream."""
        self.account.closed += 1


async def main() -> None:
    """Serve until killed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--tool-every", type=float, default=0.0)
    parser.add_argument("--fault", default="")
    parser.add_argument("--faulty", type=int, default=0, help="how many streams have the fault; those after them have none")
    arguments = parser.parse_args()
    CallingEcho.tool_every = arguments.tool_every
    stream.EchoEngine = CallingEcho  # type: ignore[attr-defined]  # the emulator has no need of its own for another echo
    faults = itertools.chain(itertools.repeat(arguments.fault, arguments.faulty), itertools.repeat(""))
    options = Options(brain="echo", max_streams=MAX_STREAMS, ca_dir=arguments.folder, fault=lambda: next(faults))
    async with NovaSonicLocal(options) as emulator:
        favour_loop()  # what is measured is the server, not this process
        print(json.dumps({"endpoint": emulator.endpoint, "ca_file": str(emulator.ca_file)}), flush=True)
        while await asyncio.to_thread(sys.stdin.readline):
            print(json.dumps(CallingEcho.account.figures()), flush=True)


if __name__ == "__main__":
    uvloop.run(main())
