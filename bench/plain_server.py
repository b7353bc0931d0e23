"""`server.py` as servers are that pass speech on as it comes, without pacing and with the kernel's usual buffers: a reference.

Run as `python -m bench.plain_server`, with the settings of `server.py`.
"""

import sys
from functools import partial

import server
from session import origin
from transports import sockets, websocket

FOR_EVER_MS = 1e9
USUAL_WRITE_LIMIT = 32_768
"""Of the websockets library."""


def main() -> int:
    """Take out what holds speech back, and run the server."""
    origin.PlaybackQueue = partial(origin.PlaybackQueue, lead_ms=FOR_EVER_MS)  # type: ignore[assignment,attr-defined]  # called alike
    sockets.UNSENT_BYTES = 2**31 - 1  # type: ignore[misc]  # the kernel's own
    sockets.SEND_BUFFER_BYTES = 1_048_576  # type: ignore[misc]  # what the kernel's own grows to
    websocket.WRITE_LIMIT_BYTES = USUAL_WRITE_LIMIT  # type: ignore[misc]
    return server.main([])


if __name__ == "__main__":
    sys.exit(main())
