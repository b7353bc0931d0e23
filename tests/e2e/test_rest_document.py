"""A server process is held to its own OpenAPI document, with and without tokens, by a generator of good and bad requests."""

import asyncio
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import pytest

from nova_sonic_local.options import Options
from nova_sonic_local.server import NovaSonicLocal
from tests.auth.issuer import running_issuer
from tests.e2e.servers import ServerProcess, server
from tests.server.process import WITHOUT_AWS

EXAMPLES: Final = 2
SECONDS: Final = 170.0
"""Thousands of requests, beside other tests."""
CONFIGURATION: Final = """
[checks]
# What fits the document may still be against a rule (422), not as things stand (409), or of somebody else (404).
positive_data_acceptance.expected-statuses = ["2xx", 304, 401, 403, 404, 409, 412, 422]
"""
LEFT_OUT: Final = "^/speech$|^/transcriptions$|/audio$"
"""Each request has the model talk for a second or more; tests/service/test_api.py holds their answers to the document."""
SALT: Final = "a-salt-that-is-only-for-tests"


async def hold(running: ServerProcess, folder: Path, headers: Mapping[str, str]) -> str:
    """Try every operation with every check; return what was found, empty for nothing."""
    settings = folder / "schemathesis.toml"
    settings.write_text(CONFIGURATION, encoding="utf-8")
    options = [f"--header={name}:{value}" for name, value in headers.items()]
    options += [
        f"--exclude-path-regex={LEFT_OUT}",
        "--checks=all",
        f"--max-examples={EXAMPLES}",
        "--generation-deterministic",
        "--no-color",
        "--suppress-health-check=all",
    ]
    process = await asyncio.create_subprocess_exec(
        *(str(Path(sys.executable).with_name("schemathesis")), f"--config-file={settings}", "run"),
        *(f"http://127.0.0.1:{running.port}/openapi.json", *options),
        cwd=folder,
        env={**os.environ, "COLUMNS": "200"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(SECONDS):
            output, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return "" if process.returncode == 0 else output.decode(errors="replace")


@pytest.mark.req("S4-06", "S4-86")
@pytest.mark.timeout(200)
async def test_everybody_is_served_as_the_document_says(tmp_path: Path) -> None:
    async with NovaSonicLocal(Options(ca_dir=tmp_path / "ca")) as emulator:
        settings = {
            **WITHOUT_AWS,
            "AWS_ENDPOINT_URL_BEDROCK_RUNTIME": emulator.endpoint,
            "BEDROCK_CA_FILE": str(emulator.ca_file),
            "DNI_SALT": SALT,
        }
        async with server(tmp_path, settings) as running:
            found = await hold(running, tmp_path, {})
            log = running.log.read_text(encoding="utf-8")

    assert found == ""
    assert "request.crashed" not in log


@pytest.mark.req("S4-06", "S4-86")
@pytest.mark.timeout(200)
async def test_operators_are_served_as_the_document_says_and_strangers_are_not(tmp_path: Path) -> None:
    async with NovaSonicLocal(Options(ca_dir=tmp_path / "ca")) as emulator, running_issuer() as issuer:
        settings = {
            **WITHOUT_AWS,
            **issuer.settings,
            "AWS_ENDPOINT_URL_BEDROCK_RUNTIME": emulator.endpoint,
            "BEDROCK_CA_FILE": str(emulator.ca_file),
            "DNI_SALT": SALT,
        }
        async with server(tmp_path, settings) as running:
            found = await hold(running, tmp_path, {"Authorization": f"Bearer {issuer.token('ana', groups=['operators'])}"})
            log = running.log.read_text(encoding="utf-8")

    assert found == ""
    assert "request.crashed" not in log
    assert SALT not in log
