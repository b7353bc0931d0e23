"""AWS's client for JavaScript on Node: it sends GOAWAY while its stream is open, and has to be served to the end all the same."""

import asyncio
import json
import os
from pathlib import Path

import pytest

from nova_sonic_local.server import NovaSonicLocal
from tests import needs
from tests.emulator.conversation import ACCESS_KEY, HEARD, SECRET_KEY, options, outline, steps_as_json
from tests.emulator.wire import Json

RUNS = 5
LARGEST_LINE_BYTES = 16 * 1024 * 1024
SCRIPT = Path(__file__).parent / "node" / "converse.mjs"
pytestmark = pytest.mark.timeout(60)


async def converse(endpoint: str, ca_file: Path) -> list[Json]:
    """Play the conversation several times in one process of Node, and return what it printed."""
    packages = needs.node_sdk()
    task = {"packages": str(packages), "endpoint": endpoint, "modelId": "amazon.nova-2-sonic-v1:0", "runs": RUNS, "steps": steps_as_json()}
    environment = {
        "PATH": os.environ["PATH"],
        "AWS_ACCESS_KEY_ID": ACCESS_KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
        "NODE_EXTRA_CA_CERTS": str(ca_file),
    }
    pipe = asyncio.subprocess.PIPE
    node = await asyncio.create_subprocess_exec(
        str(needs.node()), str(SCRIPT), stdin=pipe, stdout=pipe, stderr=pipe, env=environment, limit=LARGEST_LINE_BYTES
    )
    try:
        output, errors = await node.communicate(json.dumps(task).encode())
    finally:
        if node.returncode is None:
            node.kill()
            await node.wait()
    assert node.returncode == 0, errors.decode()
    return [json.loads(line) for line in output.splitlines()]


@pytest.mark.parametrize("scheme", ["https", "http"])
async def test_node_converses_again_and_again(scheme: str, tmp_path: Path) -> None:
    async with NovaSonicLocal(options(tmp_path)) as emulator:
        lines = await converse(emulator.endpoint if scheme == "https" else emulator.h2c_endpoint, emulator.ca_file)
        await emulator.quiet()
    heard = [outline(line["event"] for line in lines if line["run"] == run and "event" in line) for run in range(1, RUNS + 1)]

    assert heard == [HEARD] * RUNS
    assert [line["run"] for line in lines if "end" in line] == list(range(1, RUNS + 1))
