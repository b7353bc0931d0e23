"""The server records conversations where an operator wants it to."""

import asyncio
import gzip
import json
import signal
import stat
from pathlib import Path

import pytest
from structlog.testing import capture_logs
from websockets.asyncio.client import connect
from websockets.typing import Subprotocol

from bench.replay import Replay, read_lines
from bootstrap import build
from nova_sonic_local.options import Options
from nova_sonic_local.server import NovaSonicLocal
from parts.errors import StartFailed
from session.events import End, Start
from tests.server.process import WITHOUT_AWS, running
from tests.server.test_bootstrap import settings_of
from tests.server.test_process import log_of, ports_of
from tests.transports.doubles import NoTools, ScriptedModel


async def test_without_a_folder_nothing_is_recorded_and_the_signal_says_so(tmp_path: Path) -> None:
    application = await build(settings_of(tmp_path), model=ScriptedModel(), tools=NoTools())
    with capture_logs() as lines:
        application.toggle_traces()
    await application.stop()

    assert [line["event"] for line in lines] == ["traces.unavailable"]


async def test_the_folder_of_the_settings_gets_a_trace_of_each_session(tmp_path: Path) -> None:
    folder = tmp_path / "traces"
    application = await build(settings_of(tmp_path, SESSION_TRACE_DIR=str(folder)), model=ScriptedModel(), tools=NoTools())
    with capture_logs() as lines:
        for _ in range(3):
            runner = application.registry.open(Start())
            task = asyncio.create_task(application.registry.run(runner))
            await runner.next_event()
            await runner.submit(End())
            await task
            application.toggle_traces()
    await application.stop()

    assert [line["event"] for line in lines if line["event"].startswith("traces.")] == ["traces.off", "traces.on", "traces.off"]
    assert len(list(folder.iterdir())) == 2
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {b'{"end":1}'} == {gzip.decompress(file.read_bytes()).splitlines()[-1] for file in folder.iterdir()}


async def test_a_folder_that_cannot_be_used_ends_the_start(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StartFailed, match="SESSION_TRACE_DIR"):
        await build(settings_of(tmp_path, SESSION_TRACE_DIR=str(tmp_path / "file")), model=ScriptedModel(), tools=NoTools())


async def test_a_server_that_is_killed_leaves_a_trace_up_to_its_last_second(tmp_path: Path) -> None:
    folder = tmp_path / "traces"
    async with NovaSonicLocal(Options(brain="demo", ca_dir=tmp_path / "ca")) as emulator:
        model = {"AWS_ENDPOINT_URL_BEDROCK_RUNTIME": emulator.endpoint, "BEDROCK_CA_FILE": str(emulator.ca_file)}
        recorder = {"SESSION_TRACE_DIR": str(folder), "SESSION_TRACE": "off", "SESSION_TRACE_MASK": "no"}
        async with running(tmp_path, {**WITHOUT_AWS, **model, **recorder}) as (process, line):
            process.send_signal(signal.SIGUSR1)
            async with connect(f"ws://127.0.0.1:{ports_of(line)[0]}/", subprotocols=[Subprotocol("nova-sonic.v1")]) as socket:
                await socket.send(json.dumps({"type": "hello", "protocol": 1, "input_hertz": 16_000, "output_hertz": 16_000}))
                await socket.send(json.dumps({"type": "text", "text": "¿Cómo está mi pedido?"}))
                async with asyncio.timeout(20):
                    while b"speech.started" not in (frame := await socket.recv(decode=False)):
                        assert b'"error"' not in frame
                [file] = await _files(folder, "SpeechStarted")
                process.kill()
                await process.wait()
    again = Replay(read_lines(file))
    again.run()

    assert "traces.on" in [line["event"] for line in log_of(tmp_path)]
    assert again.first is None
    assert (again.figures.complete, again.is_masked) == (0, False)
    assert again.figures.inputs > 3


async def _files(folder: Path, text: str) -> list[Path]:
    """Wait for a text in the files of a folder, and return them."""
    async with asyncio.timeout(10):
        while True:
            files = list(folder.iterdir())
            if any(text.encode() in line for file in files for line in read_lines(file)):
                return files
            await asyncio.sleep(0.05)
