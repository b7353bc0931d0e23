"""The images build, run without privileges on a read-only root, answer, and stop when told.

Run with `make container-check`: builds take minutes.
"""

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.processes import free_port
from tests.container import engine

pytestmark = [pytest.mark.container, pytest.mark.timeout(1800)]

USER = 10001
AWS = {"AWS_ACCESS_KEY_ID": "local", "AWS_SECRET_ACCESS_KEY": "local", "AWS_EC2_METADATA_DISABLED": "true"}


@pytest.fixture(scope="module")
def server_image() -> str:
    engine.require_programs()
    return engine.build("server")


@pytest.fixture
def ports() -> tuple[int, int]:
    return free_port(), free_port()


@pytest.fixture
def server(server_image: str, ports: tuple[int, int], tmp_path: Path) -> Iterator[engine.Container]:
    environment = {
        **AWS,
        "AUTH": "open",
        "WS_PORT": str(ports[0]),
        "HEALTH_PORT": str(ports[1]),
        "STORAGE": "sqlite",
        "SQLITE_PATH": "/tmp/records.sqlite3",
    }
    with engine.running(server_image, environment, tmp_path) as container:
        engine.wait_for(f"http://127.0.0.1:{ports[0]}/health", container)
        yield container


@pytest.mark.req("S4-85")
def test_the_image_carries_its_health_check_and_user(server_image: str) -> None:
    config = engine.configuration(server_image)

    assert config["User"] == f"{USER}:{USER}"
    assert config["Healthcheck"]["Test"][0] == "CMD"
    assert set(config["ExposedPorts"]) == {"8081/tcp", "8080/tcp"}
    assert config["Entrypoint"] == ["python", "server.py"]


@pytest.mark.req("S4-65")
def test_the_server_answers_health_on_both_ports(server: engine.Container, ports: tuple[int, int]) -> None:
    answers = [json.loads(engine.wait_for(f"http://127.0.0.1:{port}/health", server)) for port in ports]

    assert [answer["status"] for answer in answers] == ["healthy", "healthy"]


def test_the_server_serves_its_page(server: engine.Container, ports: tuple[int, int]) -> None:
    page = engine.wait_for(f"http://127.0.0.1:{ports[0]}/", server)

    assert b"<html" in page.lower()


def test_the_health_check_of_the_image_passes(server: engine.Container, server_image: str) -> None:
    command = engine.configuration(server_image)["Healthcheck"]["Test"][1:]

    assert server.execute(command) == 0


def test_the_server_runs_as_nobody_on_a_root_that_it_cannot_change(server: engine.Container) -> None:
    whoami = f"import os, sys; sys.exit(os.getuid() != {USER})"
    write = "import pathlib; pathlib.Path('/app/new').write_text('x')"

    assert server.execute(["python", "-c", whoami]) == 0
    assert server.execute(["python", "-c", write]) != 0


@pytest.mark.req("S4-85")
def test_sigterm_ends_the_server_with_status_0(server: engine.Container) -> None:
    started = time.monotonic()

    assert server.stop() == 0
    assert time.monotonic() - started < 10  # nobody is talking, so nothing is waited for


@pytest.mark.req("S0-56")
def test_the_image_serves_nobody_before_it_is_told_who_may_come_in(server_image: str, tmp_path: Path) -> None:
    with engine.running(server_image, AWS, tmp_path) as container:
        status = container.process.wait(engine.START_SECONDS)
        text = container.log.read_text(errors="replace")

    assert status == 2
    assert "AUTH=cognito" in text


def test_wrong_settings_end_the_container_with_status_2(server_image: str, tmp_path: Path) -> None:
    with engine.running(server_image, {**AWS, "AUTH": "open", "WS_PORT": "many", "MAX_SESSIONS": "-1"}, tmp_path) as container:
        status = container.process.wait(engine.START_SECONDS)
        text = container.log.read_text(errors="replace")

    assert status == 2
    assert "WS_PORT" in text
    assert "MAX_SESSIONS" in text
