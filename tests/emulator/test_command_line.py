"""`python -m nova_sonic_local` as a child process."""

import asyncio
import json
import os
import signal
import ssl
import sys
from pathlib import Path

import pytest

from tests.emulator.wire import RawClient, closing, opening, spoken_turn

ROOT = Path(__file__).parents[2]
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
    process = await start(*QUIET)
    assert process.stdout is not None
    async with asyncio.timeout(20):
        lines = [(await process.stdout.readline()).decode() for _ in range(11)]
    process.terminate()
    await process.communicate()
    exported = dict(line.removeprefix("export ").strip().split("=", 1) for line in lines if line.startswith("export"))

    assert exported["AWS_ENDPOINT_URL_BEDROCK_RUNTIME"].startswith("https://127.0.0.1:")
    assert exported["SSL_CERT_FILE"] == exported["NODE_EXTRA_CA_CERTS"] == exported["BEDROCK_CA_FILE"]
    assert (exported["AWS_ACCESS_KEY_ID"], exported["AWS_SECRET_ACCESS_KEY"]) == ("local", "local")
    assert [line[0] for line in lines if line not in map("export {}\n".format, map("=".join, exported.items()))] == ["#"] * 3
    assert lines[-1].startswith("# Admin endpoint: http://127.0.0.1:")


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (("--brain", "poet"), 2, "invalid choice: 'poet'"),
        (("--scenario", "/no/such/file.toml"), 2, "/no/such/file.toml: No such file"),
        (("--fault", "fire"), 2, "invalid"),
        (("--secret", "abc"), 2, "must be ID=SECRET"),
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
