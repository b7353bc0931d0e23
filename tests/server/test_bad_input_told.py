"""Bad input while the server runs: a client is told by a code within three seconds, and the log says what to do."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from websockets.asyncio.client import connect

from nova_sonic_local.envelope import SignatureCheck
from nova_sonic_local.options import Options
from nova_sonic_local.server import NovaSonicLocal
from tests.server.process import WITHOUT_AWS, running
from tests.server.test_full_path import port_in

TOLD_SECONDS = 3.0


@pytest.fixture
async def emulator(tmp_path: Path) -> AsyncIterator[NovaSonicLocal]:
    options = Options(brain="echo", signatures=SignatureCheck.STRICT, secrets={"AKIDLOCAL": "local-secret"}, ca_dir=tmp_path / "ca")
    async with NovaSonicLocal(options) as emulator:
        yield emulator


@pytest.mark.parametrize(
    ("settings", "code", "in_the_log"),
    [
        ({"AWS_SECRET_ACCESS_KEY": "another"}, "model_refused", "model_credentials"),
        ({"AWS_ACCESS_KEY_ID": "NOBODY"}, "model_refused", "model_credentials"),
        ({"AWS_ACCESS_KEY_ID": "", "AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://127.0.0.1:9/"}, "model_refused", "model_credentials"),
        ({"MODEL_ID": "amazon.nova-9-sonic-v1:0"}, "model_refused", "model_unknown_id"),
        ({"BEDROCK_CA_FILE": ""}, "model_refused", "model_untrusted"),
        ({"AWS_ENDPOINT_URL_BEDROCK_RUNTIME": "https://no-such-host.invalid"}, "model_unreachable", "model_unreachable"),
    ],
)
async def test_a_client_is_told_by_a_code_in_time(
    tmp_path: Path, emulator: NovaSonicLocal, settings: dict[str, str], code: str, in_the_log: str
) -> None:
    usual = {"AWS_ACCESS_KEY_ID": "AKIDLOCAL", "AWS_SECRET_ACCESS_KEY": "local-secret"}
    trusted = {"AWS_ENDPOINT_URL_BEDROCK_RUNTIME": emulator.endpoint, "BEDROCK_CA_FILE": str(emulator.ca_file)}
    async with running(tmp_path, {**WITHOUT_AWS, **usual, **trusted, **settings}) as (_, line):
        async with connect(f"ws://127.0.0.1:{port_in(line)}/", compression=None) as client, asyncio.timeout(10):
            await client.send(b"")
            began = time.monotonic()
            await client.send('{"type":"hello","protocol":1}')
            messages = [json.loads(await client.recv()) for _ in range(3)]
            told = time.monotonic() - began

        assert (messages[1]["type"], messages[1]["code"]) == ("error", code)
        assert told < TOLD_SECONDS
    log = [json.loads(entry) for entry in (tmp_path / "server.log").read_text(encoding="utf-8").splitlines()]
    assert {entry["code"] for entry in log if entry["event"] == "stream.failed"} == {in_the_log}
