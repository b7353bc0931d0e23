"""An emulator in a process of its own, so that what it holds is not counted with the client's."""

import http.client
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

ROOT = Path(__file__).resolve().parents[3]


class FarEmulator:
    """Steers it by its admin endpoint. Its calls block for a millisecond or two.

    Args:
        about: what it says of itself when it listens.
    """

    def __init__(self, about: dict[str, str]) -> None:
        self.endpoint, self.h2c_endpoint = about["endpoint"], about["h2c_endpoint"]
        self.ca_file = Path(about["ca_file"])
        self._admin = str(urlsplit(about["admin"]).netloc)

    def plan(self, fault: str) -> None:
        """Let all streams from now on have a fault; empty for none."""
        if fault:
            self._ask("PUT", "/v1/next", {"fault": fault, "times": 1_000_000})
        else:
            self._ask("DELETE", "/v1/next")

    @property
    def live_streams(self) -> int:
        """How many streams it serves now."""
        return int(self._ask("GET", "/v1/counters")["streams"]["live"])

    @property
    def opened_streams(self) -> int:
        """How many streams it has ever served."""
        return int(self._ask("GET", "/v1/counters")["streams"]["opened"])

    def _ask(self, method: str, path: str, body: object = None) -> dict[str, dict[str, int]]:
        connection = http.client.HTTPConnection(self._admin, timeout=10)
        try:
            headers = {"Content-Type": "application/json"} if body is not None else {}
            connection.request(method, path, json.dumps(body) if body is not None else None, headers)
            answer = connection.getresponse()
            text = answer.read()
        finally:
            connection.close()
        assert answer.status == 200, text
        answered: dict[str, dict[str, int]] = json.loads(text)
        return answered


@contextmanager
def far_emulator(folder: Path) -> Iterator[FarEmulator]:
    """Run an echo for up to a hundred streams at once."""
    command = [sys.executable, "-m", "nova_sonic_local", "--port", "0", "--brain", "echo", "--voice", "builtin", "--max-streams", "100"]
    with subprocess.Popen(
        [*command, "--ca-dir", str(folder), "--ready-json", "--exit-with-parent"],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        try:
            yield FarEmulator(json.loads(process.stdout.readline()))
        finally:
            process.stdin.close()
            process.terminate()
