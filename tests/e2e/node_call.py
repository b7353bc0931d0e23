"""A conversation by OpenAI's client library for JavaScript in a process of its own, through a TLS front: it speaks nothing else."""

import asyncio
import base64
import json
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from nova_sonic_local.certificates import server_context
from tests import needs

SCRIPT = Path(__file__).parent / "node" / "realtime.mjs"
AGENTS = SCRIPT.with_name("agents.mjs")
SECONDS = 90
LARGEST_LINE_BYTES = 16 * 1024 * 1024


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    except ConnectionError:
        pass
    finally:
        writer.close()


@asynccontextmanager
async def tls_front(port: int, folder: Path) -> AsyncIterator[tuple[int, Path]]:
    """Serve TLS in front of a port; yield the port of that, and whom to trust."""
    context, ca_file = server_context(folder / "tls")
    context.set_alpn_protocols(["http/1.1"])

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", port)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(_pass_on(reader, inner_writer))
            tasks.create_task(_pass_on(inner_reader, writer))

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    async with server:
        yield int(server.sockets[0].getsockname()[1]), ca_file


async def node_call(address: str, folder: Path, task: Mapping[str, object]) -> list[dict[str, Any]]:
    """Hold a conversation and return every event of it.

    Args:
        address: of the server, as ws://host:port/.
        folder: for the certificate.
        task: what tests/e2e/node/realtime.mjs is told, with speech as bytes.
    """
    packages = needs.openai_node()
    speech = task["speech"]
    assert isinstance(speech, bytes)
    async with tls_front(urlsplit(address).port or 0, folder) as (port, ca_file):
        own = {"packages": str(packages), "baseURL": f"https://127.0.0.1:{port}/v1", "speech": base64.b64encode(speech).decode()}
        return await _run(SCRIPT, {**task, **own}, {"NODE_EXTRA_CA_CERTS": str(ca_file)})


async def agents_call(address: str) -> dict[str, Any]:
    """Let two voice agents hold a conversation, one after the other; return what tests/e2e/node/agents.mjs saw.

    Args:
        address: of the server, as ws://host:port/.
    """
    (seen,) = await _run(AGENTS, {"packages": str(needs.agents_node()), "url": f"{address}v1/realtime?model=carlos"}, {})
    return seen


async def _run(script: Path, task: Mapping[str, object], environment: Mapping[str, str]) -> list[dict[str, Any]]:
    """Run a script with a task; return the lines of JSON that it prints."""
    pipe = asyncio.subprocess.PIPE
    node = await asyncio.create_subprocess_exec(
        *(str(needs.node()), str(script)),
        stdin=pipe,
        stdout=pipe,
        stderr=pipe,
        env={"PATH": os.environ["PATH"], **environment},
        limit=LARGEST_LINE_BYTES,
    )
    try:
        async with asyncio.timeout(SECONDS):
            output, errors = await node.communicate(json.dumps(task).encode())
    finally:
        if node.returncode is None:
            node.kill()
            await node.wait()
    assert node.returncode == 0, errors.decode()
    return [json.loads(line) for line in output.splitlines()]
