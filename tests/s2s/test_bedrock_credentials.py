"""Credentials from botocore's chain: found, cached, renewed ahead of time, and never on the event loop."""

import asyncio
import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from s2s.bedrock.credentials import ChainCredentials, PinnedIdentity, StaticCredentials, find_credentials
from s2s.errors import ModelError

HOUR = 3600


class Container:
    """An endpoint as ECS has it, which counts its calls."""

    def __init__(self) -> None:
        self.calls = 0
        self.seconds_left = HOUR
        self.is_down = False
        outer = self

        class Answer(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.calls += 1
                self.send_response(500 if outer.is_down else 200)
                self.end_headers()
                self.wfile.write(b"" if outer.is_down else outer.body())

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)

    def body(self) -> bytes:
        until = datetime.now(UTC) + timedelta(seconds=self.seconds_left)
        return json.dumps(
            {
                "AccessKeyId": f"KEY{self.calls}",
                "SecretAccessKey": "secret",
                "Token": "token",
                "Expiration": until.strftime("%Y-%m-%dT%H:%M:%SZ"),
            }
        ).encode()


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in (
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
        "AWS_PROFILE",
        "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))


@pytest.fixture
def container(monkeypatch: pytest.MonkeyPatch) -> Iterator[Container]:
    container = Container()
    thread = threading.Thread(target=container.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"http://127.0.0.1:{container.server.server_port}/credentials")
    yield container
    container.server.shutdown()
    container.server.server_close()
    thread.join()


async def test_a_bare_machine_has_no_credentials() -> None:
    assert await find_credentials() is None


async def test_without_credentials_the_error_says_so() -> None:
    with pytest.raises(ModelError) as told:
        await ChainCredentials().identity()

    assert told.value.code == "model_credentials"


@pytest.mark.req("S4-18")
async def test_credentials_of_the_environment_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKID")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "token")
    found = await find_credentials()

    assert found is not None
    identity = await found.identity()
    assert (identity.access_key_id, identity.secret_access_key, identity.session_token) == ("AKID", "secret", "token")
    assert found.source == "env"


async def test_a_profile_with_a_process_is_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    answer = tmp_path / "answer.json"
    answer.write_text('{"Version":1,"AccessKeyId":"FROMPROCESS","SecretAccessKey":"s"}')
    (tmp_path / "config").write_text(f"[profile local]\ncredential_process = cat {answer}\n")
    monkeypatch.setenv("AWS_PROFILE", "local")
    found = await find_credentials()

    assert found is not None
    assert (await found.identity()).access_key_id == "FROMPROCESS"


async def test_a_profile_that_does_not_exist_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "nowhere")
    with pytest.raises(ModelError) as told:
        await ChainCredentials().identity()

    assert "nowhere" in told.value.detail


@pytest.mark.req("S4-18")
async def test_fifty_sessions_at_once_ask_the_source_once(container: Container) -> None:
    credentials = ChainCredentials()
    identities = await asyncio.gather(*(credentials.identity() for _ in range(50)))

    assert ({"KEY1"}, 1) == ({identity.access_key_id for identity in identities}, container.calls)


async def test_credentials_are_renewed_ahead_of_their_end_without_anybody_waiting(container: Container) -> None:
    container.seconds_left = 600
    credentials = ChainCredentials()
    first = await credentials.identity()
    container.seconds_left = HOUR
    at_once = await credentials.identity()
    await credentials.aclose()
    afterwards = await credentials.identity()

    assert at_once is first
    assert afterwards.access_key_id == f"KEY{container.calls}" != first.access_key_id


async def test_credentials_too_short_for_a_stream_are_renewed_first(container: Container) -> None:
    container.seconds_left = 300
    credentials = ChainCredentials()
    first = await credentials.identity()
    container.seconds_left = HOUR
    second = await credentials.identity()

    assert second.access_key_id == f"KEY{container.calls}" != first.access_key_id


async def test_a_source_that_is_down_does_not_matter_while_the_credentials_hold(container: Container) -> None:
    container.seconds_left = 300
    credentials = ChainCredentials()
    first = await credentials.identity()
    container.is_down = True

    assert await credentials.identity() is first


async def test_the_loop_goes_on_while_a_source_is_asked(container: Container) -> None:
    asking = asyncio.create_task(ChainCredentials().identity())
    turns = 0
    while not asking.done():
        turns += 1
        await asyncio.sleep(0)

    assert turns > 10


async def test_a_caller_that_gives_up_does_not_stop_the_others(container: Container) -> None:
    credentials = ChainCredentials()
    first, second = asyncio.create_task(credentials.identity()), asyncio.create_task(credentials.identity())
    await asyncio.sleep(0)
    first.cancel()
    identity = await second

    assert (identity.access_key_id, container.calls) == ("KEY1", 1)


async def test_a_stream_keeps_the_identity_that_it_was_opened_with() -> None:
    identity = await StaticCredentials("A", "B", "C").identity()

    assert identity is await PinnedIdentity(identity).get_identity(properties={})
