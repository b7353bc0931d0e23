"""Every place that AWS credentials can come from, asked as botocore asks it, against services on loopback."""

import json
import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from hashlib import sha1
from pathlib import Path
from urllib.parse import parse_qs

import pytest
from botocore.credentials import SSOProvider
from botocore.tokens import SSOTokenProvider
from botocore.utils import ContainerMetadataFetcher
from smithy_aws_core.identity import AWSCredentialsIdentity

from s2s.bedrock import credential_chain
from s2s.bedrock.credential_chain import CredentialChain
from s2s.errors import ModelError, Remedy
from tests.s2s.aws_endpoints import Endpoints

ROLE = "arn:aws:iam::123456789012:role/the-role"
PORTAL = "https://example.awsapps.com/start"


@pytest.fixture(autouse=True)
def folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Give a machine on which nothing is configured; `config` and `credentials` in the folder are the files of AWS."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("BOTO_CONFIG", str(tmp_path / "boto"))
    return tmp_path


@pytest.fixture
def aws() -> Iterator[Endpoints]:
    with Endpoints() as endpoints:
        yield endpoints


@pytest.fixture
def token_cache(monkeypatch: pytest.MonkeyPatch, folder: Path) -> Path:
    """Return the folder of SSO's tokens; botocore fixes it under the home folder when it is imported."""
    for owner in (SSOProvider, SSOTokenProvider):
        monkeypatch.setattr(owner, "_SSO_TOKEN_CACHE_DIR", str(folder))
    return folder


def key_of(identity: AWSCredentialsIdentity) -> tuple[str, str, str | None]:
    return identity.access_key_id, identity.secret_access_key, identity.session_token


def assert_holds_as_given(identity: AWSCredentialsIdentity, aws: Endpoints) -> None:
    assert key_of(identity) == (f"KEY{aws.given}", "secret", "token")
    assert identity.expiration is not None
    assert identity.expiration.tzinfo is UTC
    assert abs((identity.expiration - aws.end()).total_seconds()) <= 5


def write_token(folder: Path, name: str, **members: str) -> None:
    until = f"{datetime.now(UTC) + timedelta(hours=8):%Y-%m-%dT%H:%M:%SZ}"
    token = {"accessToken": "sso-token", "expiresAt": until, "region": "us-east-1", "startUrl": PORTAL, **members}
    (folder / f"{sha1(name.encode()).hexdigest()}.json").write_text(json.dumps(token))


def sso_profile(folder: Path) -> None:
    (folder / "config").write_text(
        "[profile desk]\nsso_session = office\nsso_account_id = 123456789012\nsso_role_name = Caller\n"
        f"[sso-session office]\nsso_start_url = {PORTAL}\nsso_region = us-east-1\nsso_registration_scopes = sso:account:access\n"
    )


def test_a_bare_machine_has_none() -> None:
    with pytest.raises(ModelError) as told:
        CredentialChain().load()

    assert (told.value.code, told.value.remedy) == ("model_credentials", Remedy.FATAL_CONFIG)
    assert "finds no credentials" in told.value.detail


@pytest.mark.req("S4-18")
def test_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKID")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "token")
    chain = CredentialChain()
    identity = chain.load()

    assert key_of(identity) == ("AKID", "secret", "token")
    assert identity.expiration is None
    assert chain.source == "env"


def test_half_a_key_in_the_environment_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKID")

    with pytest.raises(ModelError, match="AWS_SECRET_ACCESS_KEY"):
        CredentialChain().load()


def test_a_key_in_the_environment_that_says_that_it_has_ended_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKID")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_CREDENTIAL_EXPIRATION", "2020-01-01T00:00:00Z")

    with pytest.raises(ModelError, match="still expired"):
        CredentialChain().load()


@pytest.mark.parametrize(("file", "section"), [("credentials", "desk"), ("config", "profile desk")])
def test_a_shared_profile(folder: Path, monkeypatch: pytest.MonkeyPatch, file: str, section: str) -> None:
    (folder / file).write_text(f"[{section}]\naws_access_key_id = AKID\naws_secret_access_key = secret\n")
    monkeypatch.setenv("AWS_PROFILE", "desk")
    (folder / "config").touch()

    assert key_of(CredentialChain().load()) == ("AKID", "secret", None)


def test_a_profile_that_does_not_exist_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "nowhere")

    with pytest.raises(ModelError, match="nowhere"):
        CredentialChain().load()


def test_keys_that_were_changed_in_the_file_are_read_after_the_old_ones_are_forgotten(folder: Path) -> None:
    profile = "[default]\naws_access_key_id = {}\naws_secret_access_key = secret\n"
    (folder / "credentials").write_text(profile.format("OLD"))
    chain = CredentialChain()
    first = chain.load().access_key_id
    (folder / "credentials").write_text(profile.format("NEW"))
    second = chain.load().access_key_id
    chain.forget()

    assert (first, second, chain.load().access_key_id) == ("OLD", "OLD", "NEW")


def test_keys_that_come_after_the_start_are_found(folder: Path) -> None:
    chain = CredentialChain()
    with pytest.raises(ModelError):
        chain.load()
    (folder / "credentials").write_text("[default]\naws_access_key_id = AKID\naws_secret_access_key = secret\n")

    assert chain.load().access_key_id == "AKID"


@pytest.mark.parametrize("session", ["office", ""])
def test_single_sign_on(aws: Endpoints, token_cache: Path, monkeypatch: pytest.MonkeyPatch, session: str) -> None:
    sso_profile(token_cache)
    if not session:  # profiles of before 2022 name the portal themselves
        whole = f"[profile desk]\nsso_start_url = {PORTAL}\nsso_region = us-east-1\nsso_account_id = 123456789012\nsso_role_name = Caller\n"
        (token_cache / "config").write_text(whole)
    write_token(token_cache, session or PORTAL)
    monkeypatch.setenv("AWS_PROFILE", "desk")
    monkeypatch.setenv("AWS_ENDPOINT_URL_SSO", aws.uri)
    chain = CredentialChain()
    identity = chain.load()

    assert chain.source == "sso"
    assert_holds_as_given(identity, aws)
    assert aws.asked[0].query == {"role_name": ["Caller"], "account_id": ["123456789012"]}


def test_a_sign_on_that_ends_soon_is_renewed_by_its_refresh_token(
    aws: Endpoints, token_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sso_profile(token_cache)
    soon = f"{datetime.now(UTC) + timedelta(minutes=2):%Y-%m-%dT%H:%M:%SZ}"
    later = f"{datetime.now(UTC) + timedelta(days=30):%Y-%m-%dT%H:%M:%SZ}"
    registration = {"clientId": "c", "clientSecret": "s", "registrationExpiresAt": later, "refreshToken": "r1"}
    write_token(token_cache, "office", expiresAt=soon, **registration)
    monkeypatch.setenv("AWS_PROFILE", "desk")
    monkeypatch.setenv("AWS_ENDPOINT_URL_SSO", aws.uri)
    monkeypatch.setenv("AWS_ENDPOINT_URL_SSO_OIDC", aws.uri)
    identity = CredentialChain().load()

    assert_holds_as_given(identity, aws)
    assert [request.path for request in aws.asked] == ["/token", "/federation/credentials"]
    assert aws.asked[1].headers["x-amz-sso_bearer_token"] == "new-sso-token"


def test_a_sign_on_that_has_ended_is_told_and_the_next_one_is_found(
    aws: Endpoints, token_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sso_profile(token_cache)
    write_token(token_cache, "office", expiresAt="2020-01-01T00:00:00Z")
    monkeypatch.setenv("AWS_PROFILE", "desk")
    monkeypatch.setenv("AWS_ENDPOINT_URL_SSO", aws.uri)
    chain = CredentialChain()
    with pytest.raises(ModelError) as told:
        chain.load()
    write_token(token_cache, "office")  # `aws sso login`

    assert told.value.remedy is Remedy.FATAL_CONFIG
    assert "sso: UnauthorizedSSOTokenError" in told.value.detail or "expired" in told.value.detail
    assert_holds_as_given(chain.load(), aws)


def test_a_role_assumed_from_another_profile(folder: Path, aws: Endpoints, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "config").write_text(f"[profile desk]\nrole_arn = {ROLE}\nsource_profile = base\nexternal_id = x-1\n")
    (folder / "credentials").write_text("[base]\naws_access_key_id = BASE\naws_secret_access_key = secret\n")
    monkeypatch.setenv("AWS_PROFILE", "desk")
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", aws.uri)
    chain = CredentialChain(region="us-west-2")
    identity = chain.load()
    form = parse_qs(aws.asked[0].body)

    assert chain.source == "assume-role"
    assert_holds_as_given(identity, aws)
    assert (form["Action"], form["RoleArn"], form["ExternalId"]) == (["AssumeRole"], [ROLE], ["x-1"])
    assert "Credential=BASE/" in aws.asked[0].headers["authorization"]
    assert "/us-west-2/sts/" in aws.asked[0].headers["authorization"]


def test_a_role_assumed_with_a_web_identity(folder: Path, aws: Endpoints, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "token").write_text("first-token")
    monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(folder / "token"))
    monkeypatch.setenv("AWS_ROLE_ARN", ROLE)
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", aws.uri)
    aws.seconds_left = 600
    chain = CredentialChain(region="us-east-1")
    chain.load()
    (folder / "token").write_text("second-token")  # the kubelet replaces it
    aws.seconds_left = 3600
    identity = chain.load()

    assert chain.source == "assume-role-with-web-identity"
    assert_holds_as_given(identity, aws)
    assert [parse_qs(request.body)["WebIdentityToken"] for request in aws.asked] == [["first-token"], ["second-token"]]


def test_the_endpoint_of_a_container_by_its_whole_address(folder: Path, aws: Endpoints, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "token").write_text("first-token")
    monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"{aws.uri}/v1/credentials")
    monkeypatch.setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", str(folder / "token"))
    aws.seconds_left = 600
    chain = CredentialChain()
    chain.load()
    (folder / "token").write_text("second-token")  # EKS Pod Identity replaces it
    aws.seconds_left = 3600
    identity = chain.load()

    assert chain.source == "container-role"
    assert_holds_as_given(identity, aws)
    assert (aws.asked[0].headers["authorization"], aws.asked[-1].headers["authorization"]) == ("first-token", "second-token")


def test_the_endpoint_of_a_container_by_a_relative_address(aws: Endpoints, monkeypatch: pytest.MonkeyPatch) -> None:
    # The host is 169.254.170.2 and cannot be chosen; the constant is all that is replaced.
    monkeypatch.setattr(ContainerMetadataFetcher, "IP_ADDRESS", aws.uri.removeprefix("http://"))
    monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/v2/credentials/task")
    identity = CredentialChain().load()

    assert_holds_as_given(identity, aws)
    assert [request.path for request in aws.asked] == ["/v2/credentials/task"]


def test_instance_metadata_with_a_session_token(aws: Endpoints, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_EC2_METADATA_DISABLED")
    monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", aws.uri)
    chain = CredentialChain()
    identity = chain.load()

    assert chain.source == "iam-role"
    assert_holds_as_given(identity, aws)
    assert [request.method for request in aws.asked] == ["PUT", "GET", "GET"]


def test_instance_metadata_ends_when_it_says_so(aws: Endpoints, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_EC2_METADATA_DISABLED")
    monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", aws.uri)
    aws.seconds_left = 420

    assert_holds_as_given(CredentialChain().load(), aws)


def test_instance_metadata_is_believed_for_some_minutes_after_the_end(aws: Endpoints, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_EC2_METADATA_DISABLED")
    monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", aws.uri)
    aws.seconds_left = -60
    identity = CredentialChain().load()

    assert identity.expiration is not None
    assert identity.expiration > datetime.now(UTC) + timedelta(minutes=10)


@pytest.mark.parametrize("until", ["", "2999-01-01T00:00:00Z"])
def test_a_process(folder: Path, monkeypatch: pytest.MonkeyPatch, until: str) -> None:
    members = {"Version": 1, "AccessKeyId": "FROMPROCESS", "SecretAccessKey": "s", **({"Expiration": until} if until else {})}
    (folder / "answer.json").write_text(json.dumps({**members, "SessionToken": "t"}))
    (folder / "config").write_text(f"[profile desk]\ncredential_process = cat {folder / 'answer.json'}\n")
    monkeypatch.setenv("AWS_PROFILE", "desk")
    chain = CredentialChain()
    identity = chain.load()

    assert chain.source == "custom-process"
    assert key_of(identity) == ("FROMPROCESS", "s", "t")
    assert identity.expiration == (datetime.fromisoformat(until) if until else None)


def test_a_process_that_fails_is_told_with_its_words(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "config").write_text("[profile desk]\ncredential_process = sh -c 'echo not signed in >&2; exit 3'\n")
    monkeypatch.setenv("AWS_PROFILE", "desk")

    with pytest.raises(ModelError, match="not signed in"):
        CredentialChain().load()


def test_a_process_that_does_not_end_is_killed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "config").write_text("[profile desk]\ncredential_process = sleep 600\n")
    monkeypatch.setenv("AWS_PROFILE", "desk")
    monkeypatch.setattr(credential_chain, "PROCESS_SECONDS", 0.05)
    with pytest.raises(ModelError) as told:
        CredentialChain().load()

    assert "did not end within" in told.value.detail
    assert told.value.remedy is Remedy.BACKOFF


@pytest.mark.parametrize(
    ("status", "remedy"), [(403, Remedy.FATAL_CONFIG), (400, Remedy.FATAL_CONFIG), (500, Remedy.BACKOFF), (429, Remedy.BACKOFF)]
)
def test_what_a_service_refuses_for_good_is_told_from_what_passes(
    folder: Path, aws: Endpoints, monkeypatch: pytest.MonkeyPatch, status: int, remedy: Remedy
) -> None:
    (folder / "token").write_text("a-token")
    monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(folder / "token"))
    monkeypatch.setenv("AWS_ROLE_ARN", ROLE)
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", aws.uri)
    aws.status = status
    with pytest.raises(ModelError) as told:
        CredentialChain(region="us-east-1").load()

    assert (told.value.code, told.value.remedy) == ("model_credentials", remedy)
    assert "assume-role-with-web-identity: ClientError" in told.value.detail


def test_an_sts_that_is_not_there_is_told_as_passing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "token").write_text("a-token")
    monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(folder / "token"))
    monkeypatch.setenv("AWS_ROLE_ARN", ROLE)
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", "http://127.0.0.1:9")
    with pytest.raises(ModelError) as told:
        CredentialChain(region="us-east-1").load()

    assert told.value.remedy is Remedy.BACKOFF
    assert "EndpointConnectionError" in told.value.detail
