"""`python -m bench.NAME [--quick]`: what every bench is on the command line."""

import argparse
import json
from collections.abc import Callable, Coroutine
from typing import Any, Protocol

import uvloop

type Loop = Callable[[Coroutine[Any, Any, dict[str, object]]], dict[str, object]]
"""Runs a coroutine to its end, as `asyncio.run` does."""


class Bench(Protocol):
    """Measures."""

    def __call__(self, *, quick: bool) -> Coroutine[Any, Any, dict[str, object]]:
        """Return the figures with `holds`; quick takes less than 50 s."""


def run_bench(bench: Bench, loop: Loop = uvloop.run) -> None:
    """Run a bench from the command line and print its figures as one JSON line, the last."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true", help="under 50 seconds")
    print(json.dumps(loop(bench(quick=parser.parse_args().quick))))
