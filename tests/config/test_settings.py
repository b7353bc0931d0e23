"""Settings from the environment."""

from dataclasses import FrozenInstanceError, fields
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

import config
from config import LogFormat, LogLevel, ModelHistory, Settings, SettingsError, StorageKind
from s2s.bedrock.interfaces import Transport


@pytest.fixture(autouse=True)
def assistants(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "carlos.toml").touch()
    (tmp_path / "buddy.toml").touch()
    monkeypatch.setattr(config, "ASSISTANTS", tmp_path)


@pytest.mark.req("S4-18")
def test_an_empty_environment_gives_the_defaults() -> None:
    settings = Settings.from_env({})

    assert (settings.host, settings.ws_port, settings.health_ports) == ("localhost", 8081, (80, 8080))
    assert (settings.region, settings.model_id) == ("us-east-1", "amazon.nova-2-sonic-v1:0")
    assert (settings.orders_table, settings.appointments_table) == ("nova-sonic-orders", "nova-sonic-appointments")
    assert (settings.storage, settings.dni_salt, settings.max_sessions) == (StorageKind.DYNAMODB, None, 20)


@pytest.mark.req("S3-19", "S4-14", "S4-18")
@pytest.mark.parametrize(
    ("variable", "text", "name", "value"),
    [
        ("HOST", "127.0.0.2", "host", "127.0.0.2"),
        ("WS_PORT", "0", "ws_port", 0),
        ("WS_PORT", "65535", "ws_port", 65535),
        ("HEALTH_PORT", "9000", "health_ports", (9000,)),
        ("HEALTH_PORT", "80", "health_ports", (80,)),
        ("AWS_DEFAULT_REGION", "eu-north-1", "region", "eu-north-1"),
        ("AWS_REGION", "us-gov-west-1", "region", "us-gov-west-1"),
        ("MODEL_ID", "amazon.nova-2-5-sonic", "model_id", "amazon.nova-2-5-sonic"),
        ("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", "https://127.0.0.1:8443/", "model_endpoint", "https://127.0.0.1:8443"),
        ("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", "http://127.0.0.1:8080", "model_endpoint", "http://127.0.0.1:8080"),
        ("BEDROCK_TRANSPORT", "CRT", "model_transport", Transport.CRT),
        ("BEDROCK_STREAMS_PER_CONNECTION", "1", "streams_per_connection", 1),
        ("MODEL_HISTORY", "relaxed", "model_history", ModelHistory.RELAXED),
        ("BEDROCK_OPENING_MS", "5000", "opening_ms", 5000),
        ("HTTPS_PROXY", "http://proxy:3128", "https_proxy", "http://proxy:3128"),
        ("https_proxy", "http://proxy:3128", "https_proxy", "http://proxy:3128"),
        ("NO_PROXY", "localhost,.internal", "no_proxy", "localhost,.internal"),
        ("AWS_ENDPOINT_URL_DYNAMODB", "http://dynamodb:8000", "dynamodb_endpoint", "http://dynamodb:8000"),
        ("ORDERS_TABLE", "orders.test", "orders_table", "orders.test"),
        ("APPOINTMENTS_TABLE", "a_b", "appointments_table", "a_b"),
        ("SESSIONS_TABLE", "s-1", "sessions_table", "s-1"),
        ("CONNECTIONS_TABLE", "c-1", "connections_table", "c-1"),
        ("STORAGE", "SQLite", "storage", StorageKind.SQLITE),
        ("SQLITE_PATH", "/tmp/x.db", "sqlite_path", Path("/tmp/x.db")),
        ("DNI_SALT", "0123456789abcdef", "dni_salt", "0123456789abcdef"),
        ("CLINIC_TIME_ZONE", "Europe/Madrid", "clinic_time_zone", ZoneInfo("Europe/Madrid")),
        ("ASSISTANT", "buddy", "assistant", "buddy"),
        ("ALLOWED_ORIGINS", "https://A.example, http://b.example:81/", "allowed_origins", ("https://a.example", "http://b.example:81")),
        ("ALLOWED_ORIGINS", "*", "allowed_origins", ("*",)),
        ("MAX_SESSIONS", "1", "max_sessions", 1),
        ("LOGLEVEL", "debug", "log_level", LogLevel.DEBUG),
        ("LOG_FORMAT", "JSON", "log_format", LogFormat.JSON),
        ("DRAIN_SECONDS", "110", "drain_seconds", 110),
        ("SESSION_TRACE_DIR", "/var/tmp/traces", "trace_folder", Path("/var/tmp/traces")),
        ("SESSION_TRACE", "off", "trace_every", 0),
        ("SESSION_TRACE", "ALL", "trace_every", 1),
        ("SESSION_TRACE", "every:100", "trace_every", 100),
        ("SESSION_TRACE_MASK", "no", "is_trace_masked", False),
    ],
)
def test_a_variable_sets_its_field(variable: str, text: str, name: str, value: object) -> None:
    settings = Settings.from_env({variable: text})

    assert value == getattr(settings, name)


@pytest.mark.parametrize(
    ("variable", "text"),
    [
        ("WS_PORT", "eighty"),
        ("WS_PORT", "65536"),
        ("WS_PORT", "-1"),
        ("WS_PORT", "٣"),
        ("WS_PORT", "9" * 5000),
        ("HEALTH_PORT", "1.5"),
        ("AWS_DEFAULT_REGION", "Virginia"),
        ("MODEL_ID", "nova sonic"),
        ("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", "localhost:8443"),
        ("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", "https://user:pw@host"),
        ("AWS_ENDPOINT_URL_DYNAMODB", "ftp://host"),
        ("BEDROCK_CA_FILE", "/does/not/exist.pem"),
        ("ORDERS_TABLE", "a b"),
        ("STORAGE", "mongodb"),
        ("CLINIC_TIME_ZONE", "Mars/Olympus"),
        ("CLINIC_TIME_ZONE", "../../etc/passwd"),
        ("ASSISTANT", "../carlos"),
        ("ASSISTANT", "nobody"),
        ("ALLOWED_ORIGINS", "example.com"),
        ("ALLOWED_ORIGINS", "https://example.com/page"),
        ("MAX_SESSIONS", "0"),
        ("LOGLEVEL", "loud"),
        ("LOG_FORMAT", "xml"),
        ("DRAIN_SECONDS", "1h"),
        ("SESSION_TRACE", "every"),
        ("SESSION_TRACE", "every:0"),
        ("SESSION_TRACE", "off:2"),
        ("SESSION_TRACE", "every:"),
        ("SESSION_TRACE", "every:" + "9" * 5000),
        ("SESSION_TRACE_MASK", "maybe"),
    ],
)
def test_a_wrong_value_is_named_with_its_variable(variable: str, text: str) -> None:
    with pytest.raises(SettingsError) as caught:
        Settings.from_env({variable: text})

    assert [variable] == [problem.split("=")[0] for problem in caught.value.problems]
    assert len(caught.value.problems[0]) < 200


def test_all_wrong_values_are_told_at_once() -> None:
    with pytest.raises(SettingsError) as caught:
        Settings.from_env({"WS_PORT": "x", "LOGLEVEL": "y", "STORAGE": "z", "HOST": "localhost"})

    assert {"WS_PORT", "STORAGE", "LOGLEVEL"} == {problem.split("=")[0] for problem in caught.value.problems}


def test_an_empty_variable_counts_as_unset() -> None:
    settings = Settings.from_env({"WS_PORT": "", "STORAGE": "  ", "AWS_REGION": "", "AWS_DEFAULT_REGION": "eu-west-1"})

    assert (settings.ws_port, settings.storage, settings.region) == (8081, StorageKind.DYNAMODB, "eu-west-1")


def test_aws_region_wins_over_the_default_region() -> None:
    assert Settings.from_env({"AWS_REGION": "eu-west-1", "AWS_DEFAULT_REGION": "us-west-2"}).region == "eu-west-1"


@pytest.mark.req("S4-11")
def test_local_means_sqlite_unless_asked_otherwise() -> None:
    assert Settings.from_env({}, local=True).storage is StorageKind.SQLITE
    assert Settings.from_env({"STORAGE": "dynamodb"}, local=True).storage is StorageKind.DYNAMODB


def test_a_secret_is_shown_neither_by_repr_nor_by_an_error() -> None:
    settings = Settings.from_env({"DNI_SALT": "a-very-secret-salt"})
    with pytest.raises(SettingsError) as caught:
        Settings.from_env({"DNI_SALT": "tooshort"})

    assert "a-very-secret-salt" not in repr(settings)
    assert "tooshort" not in str(caught.value)


def test_every_setting_has_a_variable_a_meaning_and_a_default_text() -> None:
    rows = [field.metadata for field in fields(Settings) if field.metadata]

    assert len(fields(Settings)) - 1 == len(rows), "only the flag --local has no variable"
    assert all(row["env"].isupper() and row["doc"].endswith(".") and isinstance(row["default"], str) for row in rows)
    assert len({row["env"] for row in rows}) == len(rows)


def test_settings_cannot_be_changed() -> None:
    settings = Settings.from_env({})

    with pytest.raises(FrozenInstanceError):
        settings.host = "elsewhere"  # type: ignore[misc]  # the assignment under test


def test_the_common_runtime_needs_an_https_endpoint() -> None:
    with pytest.raises(SettingsError, match="BEDROCK_TRANSPORT=crt"):
        Settings.from_env({"BEDROCK_TRANSPORT": "crt", "AWS_ENDPOINT_URL_BEDROCK_RUNTIME": "http://localhost:8080"})


def test_a_proxys_password_is_never_shown() -> None:
    settings = Settings.from_env({"HTTPS_PROXY": "http://user:hunter2@proxy:3128"})

    assert "hunter2" not in repr(settings)
