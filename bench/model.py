"""The benches' model: Nova Sonic Local's echo that writes its own time into every chunk.

Run as `python -m bench.model --folder DIR`; prints endpoint and certificate authority as one JSON line. Each line of stdin is what goes
wrong with the streams that are opened from then on, in the form of `nova_sonic_local/faults.py`.
"""

import argparse
import asyncio
import json
import sys
from pathlib import Path

import uvloop

from bench.stamps import CHUNK_BYTES, stamp_at_model
from nova_sonic_local import stream
from nova_sonic_local.brains.echo import EchoEngine
from nova_sonic_local.options import Options
from nova_sonic_local.server import NovaSonicLocal

MAX_STREAMS = 400


class StampingEcho(EchoEngine):
    """Echo with the time at the model in the first bytes."""

    async def hear(self, pcm: bytes) -> None:
        """Send a piece back; silence that a server puts between chunks carries no stamp and stays away."""
        if len(pcm) == CHUNK_BYTES and pcm[8:16] != bytes(8):
            await super().hear(stamp_at_model(pcm))


async def main() -> None:
    """Serve until killed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--folder", type=Path, required=True)
    stream.EchoEngine = StampingEcho  # type: ignore[attr-defined]  # the emulator has no need of its own for another echo
    faults = [""]
    options = Options(brain="echo", max_streams=MAX_STREAMS, ca_dir=parser.parse_args().folder, fault=lambda: faults[-1])
    async with NovaSonicLocal(options) as emulator:
        print(json.dumps({"endpoint": emulator.endpoint, "ca_file": str(emulator.ca_file)}), flush=True)
        while line := await asyncio.to_thread(sys.stdin.readline):
            faults[:] = [line.strip()]
        await asyncio.get_running_loop().create_future()


if __name__ == "__main__":
    uvloop.run(main())
