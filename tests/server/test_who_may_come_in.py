"""The server as a process tells who may come in: at its start, in /config and /ready, and when it is asked to check itself."""

import json
import re
from pathlib import Path

import pytest
from aiohttp import ClientSession, web

from tests.auth.issuer import running_issuer
from tests.server.process import WITHOUT_AWS, run, running


def page_of(line: str) -> str:
    return f"http://127.0.0.1:{re.findall(r':([0-9]+)/', line)[0]}"


def log_of(folder: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (folder / "server.log").read_text(encoding="utf-8").splitlines()]


async def get(url: str) -> tuple[int, dict[str, object]]:
    async with ClientSession() as http, http.get(url) as response:
        return response.status, await response.json()


@pytest.mark.req("S0-56")
async def test_nobody_is_served_on_an_open_address_by_accident(tmp_path: Path) -> None:
    code, output, errors = await run(tmp_path, {**WITHOUT_AWS, "HOST": "0.0.0.0"})

    assert (code, output) == (2, "")
    assert len(errors.splitlines()) == 1
    assert "AUTH=cognito" in errors


@pytest.mark.parametrize(("auth", "host"), [("none", "127.0.0.1"), ("open", "0.0.0.0")])
async def test_that_everybody_may_come_in_is_warned_of_at_each_start(tmp_path: Path, auth: str, host: str) -> None:
    async with running(tmp_path, {**WITHOUT_AWS, "AUTH": auth, "HOST": host}) as (_, line):
        _, config = await get(f"{page_of(line)}/config")
    warned = [entry for entry in log_of(tmp_path) if entry["event"] == "auth.nobody_is_asked"]

    assert [entry["level"] for entry in warned] == ["warning"]
    assert f"HOST={host}" in str(warned[0]["reason"])
    assert isinstance(config["auth"], dict)
    assert config["auth"]["mode"] == auth


async def test_with_an_issuer_there_is_nothing_to_warn_of(tmp_path: Path) -> None:
    async with running_issuer() as issuer, running(tmp_path, {**WITHOUT_AWS, **issuer.settings}) as (_, line):
        _, ready = await get(f"{page_of(line)}/ready")
        _, config = await get(f"{page_of(line)}/config")

    assert isinstance(ready["dependencies"], dict)
    assert ready["dependencies"]["auth"] == "ok"
    assert isinstance(config["auth"], dict)
    assert config["auth"]["mode"] == "cognito"
    assert not [entry for entry in log_of(tmp_path) if str(entry["event"]).startswith("auth.")]


async def test_an_issuer_that_is_away_is_told_and_the_server_starts(tmp_path: Path) -> None:
    async with running_issuer() as issuer:
        issuer.answer = web.Response(status=503)
        async with running(tmp_path, {**WITHOUT_AWS, **issuer.settings}) as (_, line):
            status, ready = await get(f"{page_of(line)}/ready")

    assert status == 503
    assert isinstance(ready["dependencies"], dict)
    assert ready["dependencies"]["auth"] == "auth_unavailable"
    assert "auth.keys_unavailable" in [entry["event"] for entry in log_of(tmp_path)]


@pytest.mark.parametrize(
    ("answer", "word"),
    [
        (None, "ok"),
        (web.Response(status=404), "answers 404"),
        (web.Response(body=b"{}"), "no keys"),
    ],
    ids=["well", "another pool", "no keys"],
)
async def test_the_check_looks_at_the_keys_of_the_issuer(tmp_path: Path, answer: web.Response | None, word: str) -> None:
    async with running_issuer() as issuer:
        issuer.answer = answer
        code, output, _ = await run(tmp_path, {**WITHOUT_AWS, **issuer.settings}, "--check")
    (line,) = [line for line in output.splitlines() if line.startswith("auth ")]

    assert code == 1  # there is no model
    assert word in line
    assert ("COGNITO_USER_POOL_ID" in line) == (answer is not None)


async def test_the_check_does_not_ask_for_keys_that_nobody_needs(tmp_path: Path) -> None:
    _, output, _ = await run(tmp_path, WITHOUT_AWS, "--check")

    assert "auth" not in output
