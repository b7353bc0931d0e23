"""`python -m nova_sonic_local` as a child process."""

import asyncio
import contextlib
import json
import os
import re
import signal
import ssl
import sys
import textwrap
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from tests import needs
from tests.emulator.wire import RawClient, closing, opening, spoken_turn

ROOT = Path(__file__).parents[2]
GUIDE = ROOT / "docs" / "how-to" / "use-nova-sonic-local.md"
GREETING_LINES = 14
QUIET = ("--brain", "script", "--voice", "builtin", "--port", "0")


async def start(*arguments: str, stdin: int | None = asyncio.subprocess.PIPE) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "nova_sonic_local", *arguments),
        cwd=ROOT,
        stdin=stdin,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def ready(process: asyncio.subprocess.Process) -> dict[str, str]:
    assert process.stdout is not None
    async with asyncio.timeout(20):
        line: dict[str, str] = json.loads(await process.stdout.readline())
    return line


async def test_it_serves_until_sigterm(tmp_path: Path) -> None:
    process = await start(*QUIET, "--ready-json", "--ca-dir", str(tmp_path))
    line = await ready(process)
    async with RawClient(line["endpoint"], Path(line["ca_file"])) as client:
        stream = client.open()
        await stream.send(*opening(), *spoken_turn(), *closing())
        ending = await stream.ending()
    process.send_signal(signal.SIGTERM)
    async with asyncio.timeout(10):
        _, errors = await process.communicate()

    assert (line["brain"], line["voice"]) == ("script", "BabbleVoice")
    assert line["h2c_endpoint"].startswith("http://127.0.0.1:")
    assert Path(line["ca_file"]).parent == tmp_path
    assert (ending.status, process.returncode, errors.decode()) == (200, 0, "")


async def shell(script: str) -> str:
    """Run a script in a shell that knows nothing else, and return what it says."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec("sh", "-ec", script, stdout=pipe, stderr=pipe, env={"PATH": os.environ["PATH"]})
    async with asyncio.timeout(30):
        output, errors = await process.communicate()
    assert process.returncode == 0, errors.decode()
    return output.decode()


def example(language: str) -> str:
    """Return the client in a language from the guide."""
    found = re.search(rf"^   ```{language}\n(.*?)^   ```$", GUIDE.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    assert found is not None
    return textwrap.dedent(found[1])


@contextlib.asynccontextmanager
async def greeted(*arguments: str) -> AsyncIterator[str]:
    """Run the program, and give the lines that it greets with."""
    process = await start(*QUIET, *arguments)
    assert process.stdout is not None
    async with asyncio.timeout(20):
        lines = [(await process.stdout.readline()).decode() for _ in range(GREETING_LINES)]
    try:
        yield "".join(lines)
    finally:
        process.terminate()
        await process.communicate()


async def test_pasting_the_greeting_is_enough_for_the_client_of_the_guide_in_python(tmp_path: Path) -> None:
    (tmp_path / "client.py").write_text(example("python"))
    async with greeted() as greeting:
        assert await shell(f"{greeting}\n{sys.executable} {tmp_path / 'client.py'}") == "connected\n"


async def test_pasting_the_greeting_is_enough_for_the_client_of_the_guide_in_javascript(tmp_path: Path) -> None:
    (tmp_path / "node_modules").symlink_to(needs.node_sdk() / "node_modules")
    (tmp_path / "client.mjs").write_text(example("js"))
    async with greeted() as greeting:
        assert await shell(f"{greeting}\n{needs.node()} {tmp_path / 'client.mjs'}") == "connected\n"


async def test_the_greeting_quotes_what_a_shell_would_take_apart(tmp_path: Path) -> None:
    folder = tmp_path / "a folder; with $signs"
    async with greeted("--ca-dir", str(folder)) as greeting:
        assert await shell(f'{greeting}\necho "$SSL_CERT_FILE"') == f"{folder / 'nova-sonic-local-ca.pem'}\n"


async def test_the_ready_line_and_the_greeting_name_the_admin_endpoint() -> None:
    process = await start(*QUIET, "--ready-json")
    line = await ready(process)
    async with aiohttp.ClientSession() as http, http.get(f"{line['admin']}/v1") as response:
        about = await response.json()
    process.terminate()
    await process.communicate()
    async with greeted("--admin-port", "off") as without:
        pass

    assert about == line
    assert without.endswith("# Admin endpoint: off\n")


async def test_a_recording_made_by_one_run_is_replayed_by_another(tmp_path: Path) -> None:
    events = []
    for number, arguments in enumerate((("--record", str(tmp_path)), ("--replay",))):
        process = await start(*QUIET, "--ready-json", *arguments, *map(str, tmp_path.iterdir() if number else ()))
        line = await ready(process)
        async with RawClient(line["h2c_endpoint"]) as client:
            stream = client.open()
            await stream.send(*opening(), *spoken_turn())
            await stream.until("contentEnd", type="AUDIO", stopReason="END_TURN")
            await stream.send(*closing())
            await stream.ending()
            events.append([next(iter(event)) for event in stream.events()])
        process.terminate()
        await process.communicate()

    assert line["brain"] == "replay"
    assert events[0] == events[1]


async def test_it_ends_when_its_parent_is_gone() -> None:
    reading, writing = os.pipe()
    process = await start(*QUIET, "--ready-json", "--exit-with-parent", stdin=reading)
    os.close(reading)
    await ready(process)
    os.close(writing)
    async with asyncio.timeout(10):
        await process.communicate()

    assert process.returncode == 0


async def test_it_tells_a_person_where_it_listens() -> None:
    async with greeted("--secret", "id=a secret") as greeting:
        lines = greeting.splitlines()
    exported = dict(line.removeprefix("export ").split("=", 1) for line in lines if line.startswith("export "))

    assert exported["AWS_ENDPOINT_URL_BEDROCK_RUNTIME"].startswith("https://127.0.0.1:")
    assert exported["SSL_CERT_FILE"] == exported["NODE_EXTRA_CA_CERTS"] == exported["BEDROCK_CA_FILE"]
    assert (exported["AWS_ACCESS_KEY_ID"], exported["AWS_SECRET_ACCESS_KEY"]) == ("id", "'a secret'")
    assert [line[0] for line in lines if not line.startswith("export ")] == ["#"] * 3
    assert lines[-1].startswith("# Admin endpoint: http://127.0.0.1:")


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (("--brain", "poet"), 2, "invalid choice: 'poet'"),
        (("--scenario", "/no/such/file.toml"), 2, "/no/such/file.toml: No such file"),
        (("--fault", "fire"), 2, "invalid"),
        (("--secret", "abc"), 2, "must be ID=SECRET"),
        (("--admin-port", "front"), 2, "--admin-port: must be a port, or off"),
        (("--scenario-dir", "/no/such/folder"), 2, "/no/such/folder: no such folder"),
        (("--replay", "/no/such/file"), 2, "/no/such/file: No such file"),
        (("--replay", "pyproject.toml"), 2, "pyproject.toml: line 1: not JSON"),
        (("--record", "pyproject.toml"), 1, "pyproject.toml"),
        (("--host", "203.0.113.1"), 1, "203.0.113.1"),
    ],
)
async def test_wrong_options_are_told_in_one_line(arguments: tuple[str, ...], status: int, message: str) -> None:
    process = await start(*QUIET, *arguments)
    async with asyncio.timeout(20):
        _, errors = await process.communicate()

    assert process.returncode == status
    assert message in errors.decode()
    assert "Traceback" not in errors.decode()


async def test_the_authority_is_kept_and_used_again(tmp_path: Path) -> None:
    authorities = []
    for _ in range(2):
        process = await start(*QUIET, "--ready-json", "--ca-dir", str(tmp_path))
        line = await ready(process)
        authorities.append(Path(line["ca_file"]).read_bytes())
        process.terminate()
        await process.communicate()

    assert authorities[0] == authorities[1]
    assert ssl.PEM_cert_to_DER_cert(authorities[0].decode())
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "nova-sonic-local-ca.key",
        "nova-sonic-local-ca.pem",
        "nova-sonic-local-ca.pem.lock",
    ]
    assert (tmp_path / "nova-sonic-local-ca.key").stat().st_mode & 0o777 == 0o600
