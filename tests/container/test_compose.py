"""The services of docker-compose.yml, as images with the settings that the file gives them, hold a conversation.

Without an engine the services share this machine's loopback, so their names become addresses, and MiniStack stands for DynamoDB Local.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from bench.processes import free_port
from tests import ministack
from tests.container import engine
from tests.e2e.clients import connected

pytestmark = [pytest.mark.container, pytest.mark.dynamodb, pytest.mark.timeout(1800)]

AUTHORITY = "nova-sonic-local-ca.pem"
QUESTION = "Quiero consultar el pedido número uno, mi DNI es 12345678"


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where the services are on this machine."""

    page: int
    health: int
    model: int
    dynamodb: str


def environment(service: str, at: Addresses) -> dict[str, str]:
    """Return a service's variables with the defaults of the file and addresses of this machine."""
    text = (engine.ROOT / "docker-compose.yml").read_text(encoding="utf-8")
    given = yaml.safe_load(re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", text))["services"][service]["environment"]
    names = {"http://dynamodb:8000": at.dynamodb, "https://nova-sonic-local:8443": f"https://127.0.0.1:{at.model}"}
    variables = {name: names.get(str(value), "" if value is None else str(value)) for name, value in given.items()}
    ports = {"WS_PORT": str(at.page), "HEALTH_PORT": str(at.health)}
    return variables | {name: port for name, port in ports.items() if name in variables}


@pytest.fixture(scope="module")
def images() -> dict[str, str]:
    engine.require_programs()
    return {target: engine.build(target) for target in ("server", "local")}


@pytest.fixture
def addresses() -> Iterator[Addresses]:
    with ministack.started() as dynamodb:
        yield Addresses(free_port(), free_port(), free_port(), dynamodb)


def seed(images: dict[str, str], at: Addresses, folder: Path) -> str:
    """Run the seed service to its end and return what it wrote."""
    command = ["python", "scripts/seed_data.py", "--create-tables"]
    with engine.running(images["server"], environment("seed", at), folder, entrypoint=command) as container:
        status = container.process.wait(engine.START_SECONDS)
        text = container.log.read_text(errors="replace")
    assert status == 0, text
    return text


@pytest.mark.req("S4-11")
async def test_the_services_of_the_compose_file_answer_a_question_from_the_database(
    images: dict[str, str], addresses: Addresses, tmp_path: Path
) -> None:
    authority = tmp_path / "ca"
    authority.mkdir()
    authority.chmod(0o777)  # a volume of an engine takes the owner that the folder has in the image
    shared = [engine.Mount(authority, "/ca")]
    model = ["--host", "127.0.0.1", "--port", str(addresses.model)]
    first, second = (seed(images, addresses, tmp_path) for _ in range(2))
    with engine.running(images["local"], {}, tmp_path, mounts=shared, arguments=model) as emulator:
        engine.wait_until((authority / AUTHORITY).exists, emulator)
        with engine.running(images["server"], environment("server", addresses), tmp_path, mounts=shared) as server:
            engine.wait_for(f"http://127.0.0.1:{addresses.health}/ready", server)
            async with connected(f"ws://127.0.0.1:{addresses.page}/") as client:
                await client.begin()
                await client.type(QUESTION)
                await client.until(lambda: bool(client.results()) and bool(client.speech), seconds=30)
            status = server.stop()

    assert "10 written" in first
    assert "10 kept" in second
    assert [result["success"] for result in client.results()] == [True]
    assert status == 0
