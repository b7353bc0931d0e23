"""An echoing model whose streams fail in turn in every way. The model of bench.soak.

Run as `python -m bench.failing_model --folder DIR`; prints endpoint and certificate authority as one JSON line, and for each line of stdin
another one that says how many streams live.
"""

import argparse
import asyncio
import itertools
import json
import sys
from pathlib import Path

import uvloop

from nova_sonic_local.options import Options
from nova_sonic_local.server import NovaSonicLocal

FAULTS = (
    *("http_403", "http_429", "http_500", "refuse_stream", "no_200", "exception@0"),
    *(
        "rst@12",
        "goaway@10",
        "tcp_drop@9",
        "exception:content_filter@12",
        "truncated_frame@11",
        "early_end@10",
        "stall@12",
        "slow_reader@8",
    ),
)
GOOD_STREAMS = 6
"""Between two that fail."""
MAX_STREAMS = 500


async def main() -> None:
    """Serve until killed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--folder", type=Path, required=True)
    faults = itertools.cycle([each for fault in FAULTS for each in (fault, *[""] * GOOD_STREAMS)])
    options = Options(brain="echo", max_streams=MAX_STREAMS, ca_dir=parser.parse_args().folder, fault=lambda: next(faults))
    async with NovaSonicLocal(options) as emulator:
        print(json.dumps({"endpoint": emulator.endpoint, "ca_file": str(emulator.ca_file)}), flush=True)
        while await asyncio.to_thread(sys.stdin.readline):
            print(json.dumps({"streams": emulator.live_streams}), flush=True)


if __name__ == "__main__":
    uvloop.run(main())
