"""Bad input at the start: whatever is wrong, `--check` names the cause and the cure in one line, in time, and looks at the rest as well."""

import asyncio
import os
import socket
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from config import Settings
from nova_sonic_local import faults
from nova_sonic_local.envelope import SignatureCheck
from nova_sonic_local.options import Options
from nova_sonic_local.server import NovaSonicLocal
from s2s import failures
from s2s.errors import ModelError
from self_check import Finding, NotAsked, examine, try_credentials, try_model
from tests.s2s.aws_endpoints import Endpoints
from tests.server.process import ROOT, WITHOUT_AWS, run

SECONDS = 2.0
"""As long as --check has on a machine of the usual speed."""
SLACK = 0.5


@pytest.fixture(autouse=True)
def bare_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Give a key that nobody knows and no other source of credentials."""
    for name in [name for name in os.environ if name.startswith("AWS_") or name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDLOCAL")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "local-secret")


@pytest.fixture
async def emulator(tmp_path: Path) -> AsyncIterator[NovaSonicLocal]:
    options = Options(brain="echo", signatures=SignatureCheck.STRICT, secrets={"AKIDLOCAL": "local-secret"}, ca_dir=tmp_path / "ca")
    async with NovaSonicLocal(options) as emulator:
        yield emulator


def settings_of(tmp_path: Path, endpoint: str, ca_file: Path | None = None, **env: str) -> Settings:
    known = {"STORAGE": "sqlite", "SQLITE_PATH": str(tmp_path / "r.sqlite3"), "AWS_ENDPOINT_URL_BEDROCK_RUNTIME": endpoint}
    trusted = {"BEDROCK_CA_FILE": str(ca_file)} if ca_file else {}
    return Settings.from_env({**known, **trusted, **env})


async def findings_of(settings: Settings, seconds: float = SECONDS) -> dict[str, Finding]:
    """Return what is found, by part, and make sure that it comes in time."""
    began = time.monotonic()
    async with AsyncExitStack() as resources:
        found = {finding.part: finding for finding in await examine(settings, resources, seconds)}
        assert time.monotonic() - began < seconds + SLACK
    return found


@contextmanager
def silent_address() -> Iterator[str]:
    """Yield an address that answers nothing: the line of those who want to connect is full, and the system drops the rest."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        callers = [socket.socket() for _ in range(4)]
        for caller in callers:
            caller.setblocking(False)
            caller.connect_ex(listening.getsockname())
        try:
            yield f"https://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            for caller in callers:
                caller.close()


async def test_all_is_well(tmp_path: Path, emulator: NovaSonicLocal) -> None:
    found = await findings_of(settings_of(tmp_path, emulator.endpoint, emulator.ca_file))

    assert [finding.line for finding in found.values()] == [""] * 5
    assert list(found) == ["settings", "assistants", "credentials", "model", "storage"]


async def test_a_wrong_secret(tmp_path: Path, emulator: NovaSonicLocal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "another-secret")
    model = (await findings_of(settings_of(tmp_path, emulator.endpoint, emulator.ca_file)))["model"]

    assert model.code == "model_credentials"
    assert "AWS_SECRET_ACCESS_KEY" in model.line


async def test_a_key_that_aws_does_not_know(tmp_path: Path, emulator: NovaSonicLocal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "NOBODY")
    model = (await findings_of(settings_of(tmp_path, emulator.endpoint, emulator.ca_file)))["model"]

    assert model.code == "model_credentials"
    assert "AWS does not know this access key: check AWS_ACCESS_KEY_ID" in model.line


@pytest.mark.parametrize(
    ("refusal", "code", "named"),
    [
        (
            faults.HttpError(403, "ExpiredTokenException", "The security token included in the request is expired"),
            "model_credentials",
            "expired",
        ),
        (faults.HTTP_ERRORS[faults.Fault.HTTP_403], "model_access_denied", "Model access"),
        (
            faults.HttpError(403, "AccessDeniedException", "User: arn:aws:iam::1:user/u is not authorized to perform: bedrock:InvokeModel"),
            "model_access_denied",
            "bedrock:InvokeModel on arn:aws:bedrock:us-east-1::foundation-model/amazon.nova-2-sonic-v1:0",
        ),
        (faults.HTTP_ERRORS[faults.Fault.HTTP_429], "model_throttled", "quota"),
        (faults.HTTP_ERRORS[faults.Fault.HTTP_503], "model_unstable", "docs/reference/errors.md"),
    ],
)
async def test_a_refusal_of_the_service(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refusal: faults.HttpError, code: str, named: str
) -> None:
    monkeypatch.setitem(faults.HTTP_ERRORS, faults.Fault.HTTP_403, refusal)
    async with NovaSonicLocal(Options(brain="echo", fault="http_403", ca_dir=tmp_path / "ca")) as emulator:
        model = (await findings_of(settings_of(tmp_path, emulator.endpoint, emulator.ca_file)))["model"]

    assert model.code == code
    assert named in model.line


async def test_an_unknown_model(tmp_path: Path, emulator: NovaSonicLocal) -> None:
    settings = settings_of(tmp_path, emulator.endpoint, emulator.ca_file, MODEL_ID="amazon.nova-9-sonic-v1:0")
    model = (await findings_of(settings))["model"]

    assert model.code == "model_unknown_id"
    assert "There is no model amazon.nova-9-sonic-v1:0" in model.line
    assert "check MODEL_ID and AWS_REGION" in model.line


async def test_a_model_that_takes_the_stream_and_says_nothing(tmp_path: Path) -> None:
    async with NovaSonicLocal(Options(brain="echo", fault="no_200", ca_dir=tmp_path / "ca")) as emulator:
        model = (await findings_of(settings_of(tmp_path, emulator.endpoint, emulator.ca_file)))["model"]

    assert model.code == "model_timeout_opening"
    assert emulator.endpoint in model.line


@pytest.mark.parametrize("transport", ["h2", "crt"])
async def test_an_endpoint_that_refuses(tmp_path: Path, transport: str) -> None:
    model = (await findings_of(settings_of(tmp_path, "https://127.0.0.1:9", BEDROCK_TRANSPORT=transport)))["model"]

    assert model.code == "model_unreachable"
    assert "Nobody listens at https://127.0.0.1:9" in model.line


@pytest.mark.parametrize("transport", ["h2", "crt"])
async def test_a_host_that_does_not_exist(tmp_path: Path, transport: str) -> None:
    model = (await findings_of(settings_of(tmp_path, "https://no-such-host.invalid", BEDROCK_TRANSPORT=transport)))["model"]

    assert model.code == "model_unreachable"
    assert "no-such-host.invalid" in model.line
    assert "AWS_ENDPOINT_URL_BEDROCK_RUNTIME" in model.line


@pytest.mark.parametrize("transport", ["h2", "crt"])
async def test_an_address_that_answers_nothing(tmp_path: Path, transport: str) -> None:
    with silent_address() as address:
        model = (await findings_of(settings_of(tmp_path, address, BEDROCK_TRANSPORT=transport)))["model"]

    assert model.code == "model_unreachable"
    assert "firewall" in model.line


@pytest.mark.parametrize("transport", ["h2", "crt"])
async def test_an_authority_that_is_not_trusted(tmp_path: Path, emulator: NovaSonicLocal, transport: str) -> None:
    model = (await findings_of(settings_of(tmp_path, emulator.endpoint, BEDROCK_TRANSPORT=transport)))["model"]

    assert model.code == "model_untrusted"
    assert "BEDROCK_CA_FILE" in model.line


async def test_a_file_that_holds_no_authority(tmp_path: Path, emulator: NovaSonicLocal) -> None:
    (tmp_path / "empty.pem").write_text("nothing of the kind")
    model = (await findings_of(settings_of(tmp_path, emulator.endpoint, tmp_path / "empty.pem")))["model"]

    assert model.code == "model_untrusted"
    assert f"check {tmp_path / 'empty.pem'}" in model.line


async def test_an_endpoint_without_tls(tmp_path: Path) -> None:
    with Endpoints() as web:
        model = (await findings_of(settings_of(tmp_path, web.uri.replace("http:", "https:"))))["model"]

    assert model.code == "model_unreachable"
    assert "no TLS with HTTP/2" in model.line


async def test_without_credentials_the_endpoint_is_still_looked_at(
    tmp_path: Path, emulator: NovaSonicLocal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    found = await findings_of(settings_of(tmp_path, emulator.endpoint, emulator.ca_file))

    assert (found["credentials"].code, found["model"].code) == ("model_credentials", "not_asked")
    assert "AWS_ACCESS_KEY_ID" in found["credentials"].line
    assert "The endpoint can be reached" in found["model"].line


async def test_everything_broken_at_once_is_told_in_the_same_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with Endpoints() as hanging, silent_address() as silence:
        hanging.held.clear()
        monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"{hanging.uri}/credentials")
        monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", silence.replace("https:", "http:"))
        found = await findings_of(settings_of(tmp_path, silence, STORAGE="dynamodb"))
        hanging.held.set()

    assert [finding.code for finding in found.values()] == ["ok", "ok", "model_credentials", "model_unreachable", "timeout"]
    assert "does not answer" in found["credentials"].line
    assert "AWS_ENDPOINT_URL_DYNAMODB" in found["storage"].line


async def test_a_database_file_that_is_none(tmp_path: Path, emulator: NovaSonicLocal) -> None:
    (tmp_path / "r.sqlite3").write_bytes(b"this is no database at all" * 100)
    storage = (await findings_of(settings_of(tmp_path, emulator.endpoint, emulator.ca_file)))["storage"]

    assert storage.code == "failed"
    assert f"check SQLITE_PATH={tmp_path / 'r.sqlite3'}" in storage.line


@dataclass
class Model:
    """Does as told, and writes down what it was asked."""

    failure: ModelError | None = None
    asked: list[str] = field(default_factory=list)

    async def ping(self) -> None:
        self.asked.append("ping")
        if self.failure is not None:
            raise self.failure

    async def try_out(self) -> None:
        self.asked.append("try_out")


async def outcome(code: str) -> Finding:
    return Finding("credentials", code)


async def test_a_model_that_cannot_be_reached_is_not_asked() -> None:
    model, probe = Model(), Model(failures.UNREACHABLE.error("refused"))
    with pytest.raises(ModelError, match="refused"):
        await try_model(model, probe, asyncio.create_task(outcome("ok")), 1)

    assert (model.asked, probe.asked) == ([], ["ping"])


@pytest.mark.parametrize(("code", "asked"), [("ok", ["try_out"]), ("model_credentials", [])])
async def test_a_model_is_asked_only_when_there_is_somebody_to_sign_as(code: str, asked: list[str]) -> None:
    model = Model()
    outcomes = await asyncio.gather(try_model(model, Model(), asyncio.create_task(outcome(code)), 1), return_exceptions=True)

    assert model.asked == asked
    assert isinstance(outcomes[0], NotAsked) is (code != "ok")


async def test_credentials_that_come_too_late_are_told_with_their_source() -> None:
    class Slow:
        source = "container-role"

        async def identity(self) -> object:
            return await asyncio.Event().wait()

        def forget(self) -> None:
            """Do nothing."""

    with pytest.raises(ModelError, match=r"container-role: no answer within 0\.0 s"):
        await try_credentials(Slow(), 0.01)  # type: ignore[arg-type]


async def test_the_process_prints_a_line_for_each_part_and_ends_with_1(tmp_path: Path) -> None:
    began = time.monotonic()
    code, output, _ = await run(tmp_path, WITHOUT_AWS, "--check")

    assert time.monotonic() - began < 10  # a process that has to load everything, on a machine with other work
    assert code == 1
    lines = dict(line.split(maxsplit=1) for line in output.splitlines())
    assert lines.pop("model").startswith("model_unreachable: Nobody listens at https://127.0.0.1:9: check AWS_ENDPOINT_URL_BEDROCK_RUNTIME")
    assert lines == {"settings": "ok", "assistants": "ok", "credentials": "ok", "storage": "ok"}


async def test_a_start_with_a_profile_that_does_not_exist_says_so(tmp_path: Path) -> None:
    code, _, errors = await run(tmp_path, {"AWS_PROFILE": "nowhere", "LOGLEVEL": "WARNING"})

    assert code == 2
    assert errors.splitlines() == [errors.rstrip("\n")]
    assert "AWS_PROFILE" in errors
    assert "nowhere" in errors


@pytest.mark.parametrize("arguments", [(), ("--check",), ("--local",)])
async def test_an_older_sdk_is_told_before_it_can_fail(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    (tmp_path / "aws_sdk_bedrock_runtime").mkdir()
    (tmp_path / "aws_sdk_bedrock_runtime" / "__init__.py").touch()
    metadata = tmp_path / "aws_sdk_bedrock_runtime-0.7.0.dist-info" / "METADATA"
    metadata.parent.mkdir()
    metadata.write_text("Metadata-Version: 2.1\nName: aws-sdk-bedrock-runtime\nVersion: 0.7.0\n")
    code, output, errors = await run(tmp_path, {"PYTHONPATH": str(tmp_path)}, *arguments)

    assert (code, output) == (2, "")
    assert errors.splitlines() == [
        "aws-sdk-bedrock-runtime 0.7.0 is installed, and 0.12 is needed: run `make setup`, or pip install -r requirements.txt"
    ]
    assert (ROOT / "requirements.txt").is_file()
