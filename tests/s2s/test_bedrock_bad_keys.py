"""Keys that the service refuses: told by a code, and read anew from where they come from, so that nobody has to start again."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from nova_sonic_local.envelope import SignatureCheck
from nova_sonic_local.options import Options
from nova_sonic_local.server import NovaSonicLocal
from s2s.bedrock import sdk_version
from s2s.bedrock.client import NovaSonicClient
from s2s.bedrock.credentials import ChainCredentials, Credentials, StaticCredentials
from s2s.errors import ModelError, Remedy
from s2s.models import DEFAULT_MODEL_ID
from tests.s2s.conversation import opening

KEY, SECRET = "AKIDLOCAL", "local-secret"
STRICT = Options(brain="echo", signatures=SignatureCheck.STRICT, secrets={KEY: SECRET})
PROFILE = "[default]\naws_access_key_id = {}\naws_secret_access_key = {}\n"


@pytest.fixture
def profile(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    return tmp_path / "credentials"


@asynccontextmanager
async def signing_as(credentials: Credentials) -> AsyncIterator[NovaSonicClient]:
    """Run an emulator that checks all signatures, and a client for it."""
    async with NovaSonicLocal(STRICT) as emulator:
        client = NovaSonicClient("us-east-1", DEFAULT_MODEL_ID, emulator.endpoint, str(emulator.ca_file), credentials)
        try:
            yield client
        finally:
            await client.aclose()


@pytest.mark.parametrize(("key", "secret"), [(KEY, "another"), ("NOBODY", SECRET)])
async def test_a_wrong_key_is_told_and_the_right_one_is_found_where_it_was_corrected(profile: Path, key: str, secret: str) -> None:
    profile.write_text(PROFILE.format(key, secret))
    async with signing_as(ChainCredentials()) as client:
        with pytest.raises(ModelError) as told:
            await client.open(opening())
        profile.write_text(PROFILE.format(KEY, SECRET))
        stream = await client.open(opening())
        await stream.close()

    assert (told.value.code, told.value.remedy) == ("model_credentials", Remedy.FATAL_CONFIG)


@pytest.mark.parametrize(
    ("key", "secret", "says"),
    [
        (KEY, "another", "The request signature we calculated does not match"),
        ("NOBODY", SECRET, "The security token included in the request"),
    ],
)
async def test_what_the_service_says_of_a_key_is_kept_although_the_sdk_drops_it(key: str, secret: str, says: str) -> None:
    async with signing_as(StaticCredentials(key, secret)) as client:
        with pytest.raises(ModelError) as told:
            await client.open(opening())

    assert says in told.value.detail


async def test_a_stream_knows_until_when_its_signature_holds() -> None:
    until = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=1)
    async with signing_as(StaticCredentials(KEY, SECRET, expiration=until)) as client:
        stream = await client.open(opening())
        await stream.close()

    assert stream.signed_until == until


async def test_a_client_is_not_made_with_another_sdk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sdk_version, "version", lambda _: "0.13.0")

    with pytest.raises(ModelError, match="0\\.13\\.0 is installed, and 0\\.12 is needed"):
        NovaSonicClient("us-east-1", "amazon.nova-2-sonic-v1:0")
