"""MiniStack, a DynamoDB server for tests, in a virtual environment of its own because it pins another botocore.

`ensure` makes the environment in .local, `started` runs the server as a child process that ends with its parent.
"""

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

from tests import needs

VERSION = "1.5.33"
FOLDER = needs.ROOT / ".local" / "ministack-venv"
REGION = "us-east-1"
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "AKIAMADEUPFORTESTS00", "AWS_SECRET_ACCESS_KEY": "made-up-for-tests"}
START_SECONDS = 60.0
INSTALL_SECONDS = 240
_TRIES = 3

_PROGRAM = """
import os, sys, threading
def watch():
    sys.stdin.read()
    os._exit(0)
threading.Thread(target=watch, daemon=True).start()
from ministack.app import main
main()
"""
"""Ends when its standard input does: when the tests are killed, nothing stays behind."""


class Unavailable(Exception):
    """The environment could not be made, or the server did not start; the text says why."""


def find() -> Path | None:
    """Find the environment's interpreter."""
    found = list(FOLDER.glob(f"lib/python*/site-packages/ministack-{VERSION}.dist-info"))
    return FOLDER / "bin" / "python" if found else None


def ensure() -> Path:
    """Return the environment's interpreter, making the environment first if need be.

    Raises:
        Unavailable: it could not be made, for instance for want of a package index.
    """
    existing = find()
    if existing is not None:
        return existing
    building = FOLDER.with_name(f"{FOLDER.name}.{os.getpid()}")
    shutil.rmtree(building, ignore_errors=True)
    try:
        _build(building)
        shutil.rmtree(FOLDER, ignore_errors=True)
        building.rename(FOLDER)
    except OSError as error:
        # Another process may have been faster with the same environment.
        return find() or _unavailable(f"{FOLDER}: {error.strerror}")
    finally:
        shutil.rmtree(building, ignore_errors=True)
    return find() or _unavailable("MiniStack was installed and is not there")


@contextmanager
def started() -> Iterator[str]:
    """Run a server with empty tables and give its endpoint, to be put into AWS_ENDPOINT_URL_DYNAMODB.

    Raises:
        Unavailable: it cannot be had, or does not start.
    """
    python = ensure()
    process, endpoint = _start(python)
    try:
        yield endpoint
    finally:
        process.kill()
        process.wait()


def _start(python: Path) -> tuple["subprocess.Popen[bytes]", str]:
    for _ in range(_TRIES):
        # The server takes no port 0: another process may take the free port in between, hence the tries.
        port = _free_port()
        environment = {"PATH": os.environ.get("PATH", ""), "GATEWAY_PORT": str(port), "BIND_HOST": "127.0.0.1", "LOG_LEVEL": "ERROR"}
        environment |= {"SERVICES": "dynamodb,s3,sns,sqs", "S3_PERSIST": "0", "HOME": os.environ.get("HOME", "/"), **CREDENTIALS}
        process = subprocess.Popen(
            [str(python), "-c", _PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment
        )
        endpoint = f"http://127.0.0.1:{port}"
        if _answers(process, f"{endpoint}/_ministack/health"):
            return process, endpoint
        process.kill()
        process.wait()
    return _unavailable("MiniStack does not start")


def _answers(process: "subprocess.Popen[bytes]", url: str) -> bool:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=5):
                return True
        except (urllib.error.URLError, OSError):
            time.sleep(0.05)  # no signal tells when another process listens
    return False


def _build(folder: Path) -> None:
    uv = shutil.which("uv") or str(Path(sys.executable).with_name("uv"))
    requirement = f"ministack=={VERSION}"
    if Path(uv).is_file():
        _run([uv, "venv", "--quiet", "--python", sys.executable, str(folder)])
        _run([uv, "pip", "install", "--quiet", "--python", str(folder / "bin" / "python"), requirement])
        return
    _run([sys.executable, "-m", "venv", str(folder)])
    _run([str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", requirement])


def _run(command: list[str]) -> None:
    try:
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=INSTALL_SECONDS)
    except subprocess.CalledProcessError as error:
        lines = (error.stderr or error.stdout or "").strip().splitlines() or ["no output"]
        raise Unavailable(f"{' '.join(command[:4])}: {lines[-1]}") from error
    except subprocess.TimeoutExpired as error:
        raise Unavailable(f"{' '.join(command[:4])} took longer than {INSTALL_SECONDS} s") from error


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _unavailable(reason: str) -> NoReturn:
    raise Unavailable(reason)
