"""The Autobahn test suite, as kosoku runs its cases, against the real WebSocket server with an echo where clients are served."""

import asyncio
import json
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed

from tests.transports.doubles import running_server
from transports.websocket import WebSocketServer

KOSOKU = Path(sys.executable).with_name("kosoku")
CASES = ("1.*", "2.*", "3.*", "4.*", "5.*", "6.*", "7.*", "10.*", "9.1.1", "9.1.2", "9.2.1", "9.2.2", "9.7.*", "9.8.*")
"""All but compression, which is never agreed to, and messages over 256 KB, which are refused (test_rfc6455.py)."""
KNOWN_DEVIATIONS = {"7.1.5": "a close between the fragments of a message is answered by 1002 instead of 1000 (websockets)"}


async def echo(_server: WebSocketServer, connection: ServerConnection) -> None:
    """Send everything back."""
    with suppress(ConnectionClosed):
        async for message in connection:
            await connection.send(message)


@pytest.mark.req("S4-10", "S4-80")
async def test_the_cases_of_autobahn_are_passed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(WebSocketServer, "_serve_connection", echo)
    asked = [argument for case in CASES for argument in ("--include", case)]
    async with running_server() as rig:
        command = (*asked, "--parallelism", "4", "--outdir", str(tmp_path))
        suite = await asyncio.create_subprocess_exec(
            KOSOKU, *command, f"ws://127.0.0.1:{rig.port}/", stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
        )
        printed, _ = await suite.communicate()
    (results,) = json.loads((tmp_path / "index.json").read_text(encoding="utf-8")).values()
    failed = {case for case, result in results.items() if "FAILED" in (result["behavior"], result["behaviorClose"].split()[0])}
    unclean = {case for case, result in results.items() if result["behaviorClose"] not in ("OK", "INFORMATIONAL")}

    assert failed | unclean == set(KNOWN_DEVIATIONS), printed.decode()
    assert len(results) > 250
