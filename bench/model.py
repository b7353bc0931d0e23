"""The benches' model: Nova Sonic Local's echo that writes its own time into every chunk.

Run as `python -m bench.model --folder DIR [--turn-every SECONDS]`; prints endpoint and certificate authority as one JSON line. Each line of
stdin is what goes wrong with the streams that are opened from then on, in the form of `nova_sonic_local/faults.py`.
"""

import argparse
import asyncio
import itertools
import json
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import uvloop

from bench.stamps import CHUNK_BYTES, CHUNK_SECONDS, stamp_at_model
from nova_sonic_local import stream
from nova_sonic_local.brains.echo import EchoEngine
from nova_sonic_local.emission import Emitter
from nova_sonic_local.options import Options
from nova_sonic_local.server import NovaSonicLocal

MAX_STREAMS = 400
PAUSE_BYTES = 8 * CHUNK_BYTES
GOLDEN = 0.618
"""Multiples of the golden section spread over a circle, however many there are."""
SENTENCE = "Your order number one has been on its way since this morning, and it will be with you tomorrow at ten."


class StampingEcho(EchoEngine):
    """Echo with the time at the model in the first bytes; now and then a new turn with its texts, as in a conversation.

    Args:
        emitter, output_hertz, room: as of EchoEngine.
    """

    turn_chunks = 0
    """How long a turn is; 0 is without end."""
    streams = itertools.count()

    def __init__(self, emitter: Emitter, output_hertz: int, room: Callable[[], Awaitable[None]]) -> None:
        super().__init__(emitter, output_hertz, room)
        self._texts = emitter
        self._heard = 0
        self._first = round(next(self.streams) * GOLDEN * self.turn_chunks) % max(1, self.turn_chunks)
        """After how many chunks the first turn begins: those of several callers fall into step no more than people do."""

    async def hear(self, pcm: bytes) -> None:
        """Send a piece back; silence that a server puts between chunks carries no stamp and stays away, and a long one ends the answer."""
        if len(pcm) != CHUNK_BYTES or pcm[8:16] == bytes(8):
            if len(pcm) >= PAUSE_BYTES:
                self.end_audio()  # a model that stopped in the middle of an answer would be taken for stuck
            return
        if self.turn_chunks and self._heard % self.turn_chunks == self._first:
            self._turn()
        self._heard += 1
        await super().hear(stamp_at_model(pcm))

    def _turn(self) -> None:
        if self._heard:
            self._texts.close_audio("END_TURN")
            self._texts.text("ASSISTANT", "FINAL", SENTENCE, "END_TURN")
        self._texts.text("USER", "FINAL", SENTENCE, "PARTIAL_TURN")
        self._texts.text("ASSISTANT", "SPECULATIVE", SENTENCE, "PARTIAL_TURN")


async def main() -> None:
    """Serve until killed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--turn-every", type=float, default=0.0, help="seconds; 0 is one turn without end")
    arguments = parser.parse_args()
    StampingEcho.turn_chunks = round(arguments.turn_every / CHUNK_SECONDS)
    stream.EchoEngine = StampingEcho  # type: ignore[attr-defined]  # the emulator has no need of its own for another echo
    faults = [""]
    options = Options(brain="echo", max_streams=MAX_STREAMS, ca_dir=arguments.folder, fault=lambda: faults[-1])
    async with NovaSonicLocal(options) as emulator:
        print(json.dumps({"endpoint": emulator.endpoint, "ca_file": str(emulator.ca_file)}), flush=True)
        while line := await asyncio.to_thread(sys.stdin.readline):
            faults[:] = [line.strip()]
        await asyncio.get_running_loop().create_future()


if __name__ == "__main__":
    uvloop.run(main())
