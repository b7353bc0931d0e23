"""/health and /ready."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from aiohttp.test_utils import TestClient, TestServer
from structlog.testing import capture_logs

from api.health import CHECK_SECONDS, REMEMBER_SECONDS, Health
from api.health_server import HealthServer, build_app
from s2s.errors import ModelError, Remedy
from session.events import Start
from session.registry import SessionRegistry
from telemetry.counters import Counters
from tests.transports.doubles import ScriptedModel, registry_of
from transports.sockets import listen, port_of


class SetClock:
    """A clock that the test sets."""

    def __init__(self) -> None:
        self.seconds = 100.0

    def now(self) -> float:
        return self.seconds


class Dependency:
    """Can be made to fail, and counts how often it was asked."""

    def __init__(self) -> None:
        self.failure: Exception | None = None
        self.asked = 0

    async def __call__(self) -> None:
        self.asked += 1
        if self.failure:
            raise self.failure


class Rig:
    """An application with two dependencies."""

    def __init__(self) -> None:
        self.clock = SetClock()
        self.model, self.storage = Dependency(), Dependency()
        self.counters = Counters()
        self.registry: SessionRegistry = registry_of(ScriptedModel(), max_sessions=1)
        self.health = Health(
            checks={"model": self.model, "storage": self.storage}, registry=self.registry, counters=self.counters, clock=self.clock
        )


@pytest.fixture
async def rig() -> Rig:
    return Rig()


@pytest.fixture
async def http(rig: Rig) -> AsyncIterator[TestClient]:  # type: ignore[type-arg]  # aiohttp's own default
    async with TestClient(TestServer(build_app(rig.health))) as client:
        yield client


@pytest.mark.req("S4-65")
@pytest.mark.parametrize("path", ["/health", "/", "/ping"])
async def test_the_server_says_that_it_is_healthy(http: TestClient, rig: Rig, path: str) -> None:  # type: ignore[type-arg]
    rig.clock.seconds += 12
    rig.counters.add("session_started", 3)

    response = await http.get(path)

    assert response.status == 200
    assert response.content_type == "application/json"
    assert await response.json() == {"status": "healthy", "uptime_seconds": 12, "sessions": 0, "counters": {"session_started": 3}}
    assert "Server" not in response.headers


async def test_health_asks_no_dependency(http: TestClient, rig: Rig) -> None:  # type: ignore[type-arg]
    rig.model.failure = OSError("away")

    assert (await http.get("/health")).status == 200
    assert rig.model.asked == 0


async def test_ready_tells_each_dependency(http: TestClient) -> None:  # type: ignore[type-arg]
    response = await http.get("/ready")

    assert response.status == 200
    assert await response.json() == {
        "status": "ready",
        "dependencies": {"model": "ok", "storage": "ok", "capacity": "ok", "draining": "ok"},
        "sessions": 0,
    }


@pytest.mark.parametrize(
    ("failure", "state"),
    [
        (ModelError("model_unreachable", Remedy.BACKOFF, "secret detail"), "model_unreachable"),
        (OSError("secret detail"), "failed"),
        (TimeoutError(), "timeout"),
    ],
)
async def test_a_dependency_that_fails_makes_the_server_unready_without_telling_details(
    http: TestClient,  # type: ignore[type-arg]
    rig: Rig,
    failure: Exception,
    state: str,
) -> None:
    rig.model.failure = failure

    response = await http.get("/ready")

    assert response.status == 503
    assert (await response.json())["dependencies"] == {"model": state, "storage": "ok", "capacity": "ok", "draining": "ok"}
    assert "secret" not in await response.text()


async def test_a_dependency_that_comes_back_is_seen(rig: Rig) -> None:
    rig.model.failure = OSError()
    first, _ = await rig.health.ready()
    rig.model.failure = None
    rig.clock.seconds += REMEMBER_SECONDS + 0.1
    second, _ = await rig.health.ready()

    assert (first, second) == (503, 200)


async def test_several_pollers_share_one_look(rig: Rig) -> None:
    await asyncio.gather(*(rig.health.ready() for _ in range(20)))

    assert rig.model.asked == 1


async def test_a_dependency_that_hangs_counts_as_away(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    async def hang() -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr("api.health.CHECK_SECONDS", 0.01)
    health = Health(checks={"model": hang}, registry=rig.registry, counters=rig.counters, clock=rig.clock)

    assert await health.dependencies() == {"model": "timeout"}
    assert CHECK_SECONDS < 5, "a load balancer waits 5 s"


async def test_a_full_server_and_a_leaving_one_are_not_ready(rig: Rig) -> None:
    rig.registry.open(Start())
    status, full = await rig.health.ready()
    await rig.registry.drain(0)
    leaving_status, leaving = await rig.health.ready()

    assert status == leaving_status == 503
    assert b'"capacity":"full"' in full
    assert b'"draining":"leaving"' in leaving


async def test_a_server_that_cannot_serve_more_than_it_has_is_not_ready(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rig.registry, "_is_overloaded", lambda: True)
    idle_status, _ = await rig.health.ready()
    rig.registry.open(Start())
    status, busy = await rig.health.ready()

    assert (idle_status, status) == (200, 503)
    assert b'"capacity":"overloaded"' in busy


@pytest.mark.req("S4-06")
async def test_a_failure_is_logged_with_its_details(rig: Rig) -> None:
    rig.model.failure = ModelError("model_unreachable", Remedy.BACKOFF, "connection refused")

    with capture_logs() as lines:
        await rig.health.ready()

    assert [(line["event"], line["dependency"], line["state"]) for line in lines] == [("dependency.failed", "model", "model_unreachable")]
    assert "connection refused" in lines[0]["detail"]


async def test_other_paths_do_not_exist(http: TestClient) -> None:  # type: ignore[type-arg]
    assert (await http.get("/config")).status == 404


async def test_the_server_listens_and_lets_go_of_its_port(rig: Rig) -> None:
    sockets = listen("127.0.0.1", 0)
    port = port_of(sockets)
    server = HealthServer(sockets, rig.health)
    await server.start()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET /health HTTP/1.0\r\n\r\n")
    answer = await reader.read()
    writer.close()
    await server.stop()

    assert answer.startswith(b"HTTP/1.0 200 ")
    for each in listen("127.0.0.1", port):
        each.close()
