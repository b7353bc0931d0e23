"""The composition root with parts of a test's choice."""

from pathlib import Path

import pytest
from aiohttp import ClientSession
from structlog.testing import capture_logs

from bootstrap import build, listen_on
from config import Settings
from parts import assistants
from parts.database import lend_local_credentials
from parts.errors import StartFailed
from parts.model import LOCAL_KEY
from session.events import SessionEvent, Start
from storage.orders import Orders
from storage.sqlite import open_sqlite
from storage.tables import orders_table
from tests.transports.doubles import NoTools, ScriptedModel
from transports.sockets import PortUnavailable, listen, port_of


def settings_of(folder: Path, **more: str) -> Settings:
    own = {"HOST": "127.0.0.1", "WS_PORT": "0", "HEALTH_PORT": "0", "STORAGE": "sqlite", "SQLITE_PATH": str(folder / "r.sqlite3")}
    return Settings.from_env({**own, **more})


class Witness:
    """An observer that keeps what it hears."""

    def __init__(self) -> None:
        self.events: list[SessionEvent] = []

    def on_event(self, session_id: str, event: SessionEvent) -> None:
        self.events.append(event)


async def test_every_part_can_be_replaced(tmp_path: Path) -> None:
    model, witness = ScriptedModel(), Witness()
    application = await build(settings_of(tmp_path), model=model, tools=NoTools(), observers=[witness])
    runner = application.registry.open(Start())
    await application.drain(0)
    await application.registry.run(runner)
    await application.stop()

    assert not (tmp_path / "r.sqlite3").exists(), "nothing of what was replaced is made"
    assert witness.events
    assert await application.health.dependencies() == {}


async def test_an_embedded_database_is_made_and_outside_of_local_stays_empty(tmp_path: Path) -> None:
    application = await build(settings_of(tmp_path), model=ScriptedModel())
    states = await application.health.dependencies()
    await application.stop()

    assert states == {"storage": "ok"}
    assert (tmp_path / "r.sqlite3").exists()
    database = open_sqlite(tmp_path / "r.sqlite3")
    assert await Orders(database.table(orders_table("nova-sonic-orders"))).get("1") is None
    await database.aclose()


async def test_outside_of_local_no_identity_number_is_proved_with_a_salt_that_everybody_knows(tmp_path: Path) -> None:
    told: list[list[str]] = []
    for more in ({}, {"DNI_SALT": "a-salt-that-is-only-for-tests"}):
        with capture_logs() as lines:
            application = await build(settings_of(tmp_path, **more), model=ScriptedModel())
            await application.stop()
        told.append([line["event"] for line in lines if line["event"] == "dni.refused_always"])

    assert told == [["dni.refused_always"], []]


@pytest.mark.req("S4-11", "S4-66")
async def test_a_local_database_has_examples_from_its_first_run_on(tmp_path: Path) -> None:
    settings = Settings.from_env({"SQLITE_PATH": str(tmp_path / "r.sqlite3")}, local=True)
    with capture_logs() as lines:
        for _ in range(2):
            application = await build(settings, model=ScriptedModel())
            await application.stop()

    assert [line["event"] for line in lines].count("examples.written") == 1
    database = open_sqlite(tmp_path / "r.sqlite3")
    order = await Orders(database.table(orders_table("nova-sonic-orders"))).get("1")
    await database.aclose()
    assert order is not None


async def test_the_page_learns_the_assistants(tmp_path: Path) -> None:
    settings = settings_of(tmp_path)
    listening = listen_on(settings)
    application = await build(settings, model=ScriptedModel(), tools=NoTools())
    await application.start(listening)
    async with ClientSession() as http:
        config = await (await http.get(f"http://127.0.0.1:{listening.port}/config")).json()
    await application.stop()

    assert config["default_assistant"] == "carlos"
    assert config["websocket_path"] == "/"
    assert config["local"] is False
    (carlos,) = [assistant for assistant in config["assistants"] if assistant["name"] == "carlos"]
    assert {"id": "es", "voice_id": "carlos"} in carlos["languages"]


async def test_an_assistant_that_cannot_be_used_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "broken.toml").write_text("name = 1", encoding="utf-8")
    monkeypatch.setattr(assistants, "ASSISTANTS", tmp_path)

    with pytest.raises(StartFailed, match=r"assistants/broken\.toml"):
        await build(settings_of(tmp_path), model=ScriptedModel(), tools=NoTools())


async def test_a_database_that_cannot_be_opened_is_told(tmp_path: Path) -> None:
    (tmp_path / "r.sqlite3").write_bytes(b"this is no database at all" * 100)

    with pytest.raises(StartFailed, match="records"):
        await build(settings_of(tmp_path), model=ScriptedModel())


def test_the_second_health_port_is_taken_when_the_first_cannot_be_had() -> None:
    taken = listen("127.0.0.1", 0)
    settings = Settings(host="127.0.0.1", ws_port=0, health_ports=(port_of(taken), 0))
    with capture_logs() as lines:
        listening = listen_on(settings)
    try:
        assert listening.health_port not in {port_of(taken), listening.port}
        assert [(line["event"], line["port"]) for line in lines] == [("health.port_replaced", port_of(taken))]
    finally:
        listening.close()
        for each in taken:
            each.close()


def test_a_health_port_that_was_asked_for_is_not_replaced(tmp_path: Path) -> None:
    taken = listen("127.0.0.1", 0)
    try:
        with pytest.raises(PortUnavailable, match=str(port_of(taken))):
            listen_on(settings_of(tmp_path, HEALTH_PORT=str(port_of(taken))))
    finally:
        for each in taken:
            each.close()


@pytest.mark.parametrize(
    ("env", "lends"),
    [
        ({"AWS_ENDPOINT_URL_DYNAMODB": "http://127.0.0.1:8000"}, True),
        ({"AWS_ENDPOINT_URL_DYNAMODB": "http://127.0.0.1:8000", "AWS_PROFILE": "mine"}, False),
        ({}, False),
    ],
)
def test_made_up_credentials_are_lent_to_a_local_dynamodb_alone(env: dict[str, str], *, lends: bool) -> None:
    lend_local_credentials(Settings.from_env(env, local=True), env)

    assert (env.get("AWS_ACCESS_KEY_ID") == LOCAL_KEY) is lends


def test_real_credentials_are_never_replaced() -> None:
    env = {"AWS_ENDPOINT_URL_DYNAMODB": "http://127.0.0.1:8000", "AWS_ACCESS_KEY_ID": "mine"}
    lend_local_credentials(Settings.from_env(env, local=True), env)
    lend_local_credentials(Settings.from_env(env), env)

    assert env["AWS_ACCESS_KEY_ID"] == "mine"
