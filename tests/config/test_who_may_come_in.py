"""The settings of authentication: each by itself, and what they ask of one another."""

import pytest

from auth.claims import TokenUse
from config import AuthMode, Settings, SettingsError

POOL = {"COGNITO_USER_POOL_ID": "eu-west-1_AbC123"}
CLIENTS = {"COGNITO_CLIENT_IDS": "one, two,"}


def problems(**env: str) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        Settings.from_env(env)
    return list(caught.value.problems)


@pytest.mark.req("S0-56")
@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.7", "10.0.0.1", "voice.example.org", "localhost.example.org", "[::]"])
def test_without_authentication_only_this_machine_is_served(host: str) -> None:
    (problem,) = problems(HOST=host)

    assert problem.startswith("AUTH=none ")
    assert f"HOST={host}" in problem
    assert "AUTH=cognito" in problem
    assert "docs/how-to/authenticate.md" in problem


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST", "127.0.0.1", "127.0.0.53", "::1", "[::1]"])
def test_this_machine_has_many_names(host: str) -> None:
    assert Settings.from_env({"HOST": host}).auth is AuthMode.NONE


@pytest.mark.parametrize("auth", [{"AUTH": "open"}, {"AUTH": "Open"}, {"AUTH": "cognito", **POOL, **CLIENTS}])
def test_who_says_who_may_come_in_is_served_anywhere(auth: dict[str, str]) -> None:
    assert Settings.from_env({"HOST": "0.0.0.0", **auth}).host == "0.0.0.0"


@pytest.mark.req("S2-38")
def test_a_user_pool_names_its_issuer() -> None:
    settings = Settings.from_env({"AUTH": "cognito", **POOL, **CLIENTS})

    assert settings.issuer == "https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_AbC123"
    assert settings.cognito_client_ids == ("one", "two")
    assert (settings.cognito_token_use, settings.operators_group) == (TokenUse.ACCESS, "operators")
    assert (settings.auth_seconds, settings.token_grace_seconds) == (5, 60)


def test_an_issuer_of_another_kind_can_be_named() -> None:
    settings = Settings.from_env(
        {"AUTH": "cognito", **POOL, **CLIENTS, "COGNITO_ISSUER": "https://issuer.example/", "COGNITO_TOKEN_USE": "ID"}
    )

    assert settings.issuer == "https://issuer.example"
    assert settings.cognito_token_use is TokenUse.ID


def test_without_a_pool_there_is_no_issuer() -> None:
    assert Settings.from_env({}).issuer == ""


@pytest.mark.parametrize(
    ("env", "names"),
    [
        ({}, ["COGNITO_USER_POOL_ID or COGNITO_ISSUER", "COGNITO_CLIENT_IDS"]),
        (POOL, ["COGNITO_CLIENT_IDS"]),
        (CLIENTS, ["COGNITO_USER_POOL_ID or COGNITO_ISSUER"]),
        ({**POOL, "COGNITO_CLIENT_IDS": " , "}, ["COGNITO_CLIENT_IDS"]),
    ],
)
def test_cognito_needs_a_pool_and_its_clients(env: dict[str, str], names: list[str]) -> None:
    assert problems(AUTH="cognito", **env) == [f"{name} is needed with AUTH=cognito" for name in names]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("AUTH", "nobody"),
        ("COGNITO_ISSUER", "http://issuer.example"),
        ("COGNITO_ISSUER", "issuer.example"),
        ("COGNITO_ISSUER", "https://user:secret@issuer.example"),
        ("COGNITO_ISSUER", "https://issuer.example?x=1"),
        ("COGNITO_USER_POOL_ID", "AbC123"),
        ("COGNITO_USER_POOL_ID", "eu-west-1_a/../b"),
        ("COGNITO_USER_POOL_ID", "eu-west-1_evil.example/x"),
        ("COGNITO_TOKEN_USE", "refresh"),
        ("AUTH_SECONDS", "0"),
        ("TOKEN_GRACE_SECONDS", "-1"),
    ],
)
def test_a_wrong_value_is_named(name: str, value: str) -> None:
    (problem,) = problems(**{name: value})

    assert problem.startswith(f"{name}=")


def test_an_issuer_on_this_machine_needs_no_tls() -> None:
    assert Settings.from_env({"COGNITO_ISSUER": "http://127.0.0.1:9000"}).issuer == "http://127.0.0.1:9000"


def test_what_else_is_wrong_is_told_at_once() -> None:
    told = problems(HOST="0.0.0.0", WS_PORT="many")

    assert [problem.split("=")[0] for problem in told] == ["WS_PORT", "AUTH"]
