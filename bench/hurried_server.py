"""`server.py` with the limits of a stream scaled down, so that a bench sees in a minute what else takes days.

Run as `python -m bench.hurried_server NAME=SECONDS ...`; each name is one of LIMITS, by its own name in the code.
"""

import sys

import server
from session import continuation, registry

LIMITS = {
    "RENEW_SECONDS": continuation,
    "FORCE_SECONDS": continuation,
    "RETRY_SECONDS": continuation,
    "CHECK_SECONDS": continuation,
    "LINGER_SECONDS": continuation,
    "JITTER_SECONDS": registry,
}
"""Which module holds each."""


def main(arguments: list[str]) -> int:
    """Scale the limits and run the server."""
    for argument in arguments:
        name, _, value = argument.partition("=")
        if not hasattr(LIMITS[name], name):
            raise SystemExit(f"{name} is not in {LIMITS[name].__name__}")
        setattr(LIMITS[name], name, float(value))
    return server.main([])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
