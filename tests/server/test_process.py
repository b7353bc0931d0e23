"""The server as a process: what it prints, how it ends."""

import ast
import asyncio
import json
import re
import signal
import sys
from pathlib import Path

import pytest
from aiohttp import ClientSession
from websockets.asyncio.client import connect

from tests.server.process import ROOT, WITHOUT_AWS, run, running
from transports.sockets import listen, port_of


def ports_of(line: str) -> tuple[int, int]:
    """Return the ports of the page and of /health in the line that says that all is ready."""
    page, health = re.findall(r"http://localhost:(\d+)/", line)
    return int(page), int(health)


def log_of(folder: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (folder / "server.log").read_text(encoding="utf-8").splitlines()]


async def test_wrong_settings_are_all_named_and_end_with_2(tmp_path: Path) -> None:
    code, output, errors = await run(tmp_path, {"WS_PORT": "many", "LOGLEVEL": "loud", "MAX_SESSIONS": "0"})

    assert code == 2
    assert output == ""
    assert [line.split("=")[0] for line in errors.splitlines()] == ["WS_PORT", "MAX_SESSIONS", "LOGLEVEL"]


@pytest.mark.parametrize("variable", ["WS_PORT", "HEALTH_PORT"])
async def test_a_port_in_use_is_named_in_one_line_and_ends_with_2(tmp_path: Path, variable: str) -> None:
    sockets = listen("127.0.0.1", 0)
    try:
        port = str(port_of(sockets))
        code, _, errors = await run(tmp_path, {**WITHOUT_AWS, variable: port})
    finally:
        for each in sockets:
            each.close()

    assert code == 2
    assert errors == f"cannot listen on 127.0.0.1:{port}: address already in use\n"


async def test_without_credentials_one_line_says_what_to_do(tmp_path: Path) -> None:
    code, _, errors = await run(tmp_path, {"LOGLEVEL": "WARNING"})

    assert code == 2
    assert len(errors.splitlines()) == 1
    assert "AWS_ACCESS_KEY_ID" in errors
    assert "python server.py --local" in errors


async def test_an_unknown_flag_ends_with_2(tmp_path: Path) -> None:
    code, _, errors = await run(tmp_path, {}, "--loud")

    assert code == 2
    assert "--loud" in errors


@pytest.mark.req("S4-65", "S4-85", "S4-19")
async def test_it_answers_on_both_ports_and_ends_politely_on_sigterm(tmp_path: Path) -> None:
    async with running(tmp_path, WITHOUT_AWS, "--debug") as (process, line), ClientSession() as http:
        page_port, health_port = ports_of(line)
        for port in (page_port, health_port):
            response = await http.get(f"http://127.0.0.1:{port}/health")
            assert (await response.json())["status"] == "healthy"
        ready = await http.get(f"http://127.0.0.1:{health_port}/ready")
        page = await http.get(f"http://127.0.0.1:{page_port}/")
        config = await http.get(f"http://127.0.0.1:{page_port}/config")
        client = await connect(f"ws://127.0.0.1:{page_port}/")
        process.send_signal(signal.SIGTERM)
        await client.wait_closed()
        code = await process.wait()

        assert page_port != health_port
        assert (await ready.json())["dependencies"]["model"] == "model_unreachable"
        assert ready.status == 503
        assert page.content_type == "text/html"
        assert (await config.json())["default_assistant"] == "carlos"
        assert client.close_code == 1001
        assert code == 0
    events = [entry["event"] for entry in log_of(tmp_path)]
    assert events[-1] == "server.stopped"
    assert "session.closed" not in events


@pytest.mark.req("S4-65")
async def test_one_port_can_serve_everything(tmp_path: Path) -> None:
    sockets = listen("127.0.0.1", 0)
    port = str(port_of(sockets))
    for each in sockets:
        each.close()
    async with running(tmp_path, {**WITHOUT_AWS, "WS_PORT": port, "HEALTH_PORT": port}) as (process, line), ClientSession() as http:
        health = await http.get(f"http://127.0.0.1:{port}/health")
        page = await http.get(f"http://127.0.0.1:{port}/")
        process.send_signal(signal.SIGINT)
        code = await process.wait()

        assert ports_of(line) == (int(port), int(port))
        assert health.content_type == "application/json"
        assert page.content_type == "text/html"
        assert code == 0


@pytest.mark.req("S4-06")
async def test_a_model_that_cannot_be_reached_is_told_to_the_client(tmp_path: Path) -> None:
    async with running(tmp_path, WITHOUT_AWS) as (_, line):
        async with connect(f"ws://127.0.0.1:{ports_of(line)[0]}/", subprotocols=None) as client, asyncio.timeout(20):
            await client.send(b"")
            await client.send('{"type":"hello","protocol":1}')
            messages = [json.loads(await client.recv()) for _ in range(3)]

        assert [message["type"] for message in messages] == ["error", "error", "session.ended"]
        assert messages[1]["code"] == "model_unreachable"
        assert messages[1]["ref"] is not None
    closed = [entry for entry in log_of(tmp_path) if entry["event"] == "session.closed"]
    assert [(entry["reason"], entry["code"]) for entry in closed] == [("failed", "model_unreachable")]


def test_old_pythons_can_read_the_entry_point() -> None:
    source = (ROOT / "server.py").read_text(encoding="utf-8")

    assert isinstance(ast.parse(source, feature_version=(3, 7)), ast.Module)


@pytest.mark.req("S4-16")
async def test_an_old_python_is_told_in_one_line_what_is_needed(tmp_path: Path) -> None:
    pretend = "import runpy, sys; sys.version_info = (3, 9, 2); runpy.run_path('server.py', run_name='__main__')"
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", pretend, cwd=ROOT, stderr=asyncio.subprocess.PIPE)
    _, errors = await process.communicate()

    assert process.returncode == 2
    assert len(errors.splitlines()) == 1
    assert b"needs Python 3.12" in errors


async def test_missing_packages_are_told_in_one_line(tmp_path: Path) -> None:
    code, _, errors = await run(tmp_path, {}, python=("-S",))

    assert code == 2
    assert errors.splitlines() == ["The package structlog is not installed: use `make run`, or pip install -r requirements.txt"]
