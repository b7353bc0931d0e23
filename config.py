"""Settings of the server, read once from the environment.

Each field carries its variable, meaning, unit and default as metadata, from which docs/reference/settings.md is generated. Wrong values are
collected, so that one start tells all of them. An empty variable counts as unset: Compose passes those for what its user left out.
"""

# ruff: noqa: RUF009 - the calls in the dataclass make fields, one each
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from enum import StrEnum
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import setting_values as read
from auth.claims import TokenUse
from publishing.interfaces import EventsKind
from record_settings import MODEL_ID, RecordSettings
from s2s.bedrock.interfaces import Transport
from s2s.models import CASCADE_MODEL_ID
from transports.addresses import MAX_HOPS
from transports.limits import BYTES_PER_SECOND, FLOOD_SECONDS, FRAMES_PER_SECOND, MAX_FRAME_BYTES, MAX_TEXT_BYTES

ROOT = Path(__file__).resolve().parent
ASSISTANTS = ROOT / "assistants"
LOCAL_FOLDER = ROOT / ".local"

_TABLE_NAME = re.compile(r"[a-zA-Z0-9_.-]{3,255}")  # DynamoDB developer guide, "Naming rules"
_REGION = re.compile(r"[a-z]{2}(-[a-z]+)+-\d")
_ASSISTANT = re.compile(r"[a-z0-9_-]{1,64}")
_STAGE = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_USER_POOL_ID = re.compile(r"[a-z]{2}(-[a-z]+)+-\d_[0-9a-zA-Z]{1,46}")  # Cognito API reference, UserPoolType, Id
_SHOWN_CHARACTERS = 60


class StorageKind(StrEnum):
    """Where records live."""

    SQLITE = "sqlite"
    DYNAMODB = "dynamodb"


class AuthMode(StrEnum):
    """Who may come in."""

    NONE = "none"
    """Everybody, on this machine alone."""
    OPEN = "open"
    """Everybody who can reach the server."""
    COGNITO = "cognito"
    """Who has a token of an Amazon Cognito user pool."""


class ModelHistory(StrEnum):
    """How much of a conversation a new stream to the model is told."""

    STRICT = "strict"
    """What AWS documents: 40 KB."""
    RELAXED = "relaxed"
    """What AWS's own samples send: 200 KB."""


class LogFormat(StrEnum):
    """How log lines look."""

    AUTO = "auto"
    """Console on a terminal, JSON otherwise."""
    CONSOLE = "console"
    JSON = "json"


class LogLevel(StrEnum):
    """The least level that is written."""

    DEBUG = "DEBUG"
    INFO = "INFO"
    WARNING = "WARNING"
    ERROR = "ERROR"


class SettingsError(Exception):
    """Settings that cannot be used.

    Args:
        problems: one line each, beginning with the variable's name.
    """

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


def _assistant(value: str) -> str:
    if not _ASSISTANT.fullmatch(value) or not (ASSISTANTS / f"{value}.toml").is_file():
        raise ValueError("has no file in assistants/")
    return value


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings(RecordSettings):
    """What an operator can choose."""

    local: bool = False
    """Run without AWS: the flag --local, no variable."""
    host: str = read.setting("HOST", "Address that both ports listen on; 0.0.0.0 in a container.", read.text, "localhost")
    ws_port: int = read.setting("WS_PORT", "Port of the WebSocket and of the page; 0 takes a free one.", read.port, 8081)
    health_ports: tuple[int, ...] = read.setting(
        "HEALTH_PORT",
        "Port of /health and /ready; may be WS_PORT. Unless it was asked for, 80 gives way to 8080 where it cannot be bound.",
        read.ports,
        (80, 8080),
        shown="80",
    )
    region: str = read.setting(
        "AWS_DEFAULT_REGION",
        "AWS region of the model and of the tables; AWS_REGION wins over it.",
        read.matching(_REGION, "an AWS region like us-east-1"),
        "us-east-1",
    )
    model_id: str = read.setting(
        "MODEL_ID",
        "Bedrock model id of Nova Sonic; or cascade, which is Transcribe, the text model of TEXT_MODEL_ID, and Polly.",
        read.matching(MODEL_ID, "a Bedrock model id"),
        "amazon.nova-2-sonic-v1:0",
    )
    model_endpoint: str | None = read.setting(
        "AWS_ENDPOINT_URL_BEDROCK_RUNTIME", "Endpoint of the model instead of the region's own.", read.endpoint, None, shown=""
    )
    model_ca_file: Path | None = read.setting(
        "BEDROCK_CA_FILE", "PEM file with the authority that signed the model endpoint's certificate.", read.existing_file, None, shown=""
    )
    model_transport: Transport = read.setting(
        "BEDROCK_TRANSPORT",
        "Which HTTP/2 carries the model's streams: h2, the server's own, or crt, the Common Runtime of AWS (https alone, no proxy).",
        read.choice(Transport),
        Transport.H2,
    )
    streams_per_connection: int = read.setting(
        "BEDROCK_STREAMS_PER_CONNECTION",
        "Streams that share a TCP connection to the model, and end together when it is lost; with crt it is always 1.",
        read.number(1, 100),
        16,
    )
    opening_ms: int = read.setting(
        "BEDROCK_OPENING_MS",
        "How long the model may take to accept a stream, connecting included.",
        read.number(500, 60_000),
        2_800,
        unit="ms",
    )
    model_history: ModelHistory = read.setting(
        "MODEL_HISTORY",
        "How much of a conversation the model's next stream is told: strict, what AWS documents (40 KB), or relaxed, what its samples send "
        "(200 KB). What is refused as too much is halved.",
        read.choice(ModelHistory),
        ModelHistory.STRICT,
    )
    https_proxy: str | None = read.setting(
        "HTTPS_PROXY",
        "Proxy on the way to the model, like http://user:password@host:3128; https_proxy wins over it.",
        read.text,
        None,
        shown="",
        secret=True,
    )
    no_proxy: str = read.setting(
        "NO_PROXY", "Hosts that are reached without the proxy, separated by commas; no_proxy wins over it.", read.text, ""
    )
    orders_table: str = read.setting(
        "ORDERS_TABLE", "Table of the orders.", read.matching(_TABLE_NAME, "a table name"), "nova-sonic-orders"
    )
    appointments_table: str = read.setting(
        "APPOINTMENTS_TABLE", "Table of the appointments.", read.matching(_TABLE_NAME, "a table name"), "nova-sonic-appointments"
    )
    storage: StorageKind = read.setting(
        "STORAGE",
        "Where the records are: dynamodb, or sqlite in a file of its own; with --local it is sqlite.",
        read.choice(StorageKind),
        StorageKind.DYNAMODB,
    )
    sqlite_path: Path = read.setting("SQLITE_PATH", "Database file of STORAGE=sqlite.", read.path, Path(".local/nova-sonic.sqlite3"))
    dynamodb_endpoint: str | None = read.setting(
        "AWS_ENDPOINT_URL_DYNAMODB", "Endpoint of DynamoDB instead of the region's own.", read.endpoint, None, shown=""
    )
    dni_salt: str | None = read.setting(
        "DNI_SALT",
        "Secret that the hashes of identity numbers on orders are made with. Without it a DNI is never accepted as proof, a name is.",
        read.salt,
        None,
        shown="",
        secret=True,
    )
    sessions_table: str = read.setting(
        "SESSIONS_TABLE",
        "Table of the conversations that another process can go on with.",
        read.matching(_TABLE_NAME, "a table name"),
        "nova-sonic-sessions",
    )
    sessions_keys: tuple[bytes, ...] = read.setting(
        "SESSIONS_KEY",
        "Secret that those conversations are sealed with: 32 bytes in base64. Of several, split by commas, the first seals and all open. "
        "Without it conversations are not kept and end with their process; with --local it is a file in .local/.",
        read.keys,
        (),
        shown="",
        secret=True,
    )
    connections_table: str = read.setting(
        "CONNECTIONS_TABLE",
        "Table of the connections of clients, and of the audit trail.",
        read.matching(_TABLE_NAME, "a table name"),
        "airium-websocket-connections",
    )
    clinic_time_zone: ZoneInfo = read.setting(
        "CLINIC_TIME_ZONE",
        "Time zone that appointments are spoken of in.",
        read.time_zone,
        ZoneInfo("America/Argentina/Buenos_Aires"),
    )
    assistant: str = read.setting(
        "ASSISTANT", "Assistant that answers when a client names none: a file in assistants/.", _assistant, "carlos"
    )
    allowed_origins: tuple[str, ...] = read.setting(
        "ALLOWED_ORIGINS",
        "Origins of pages that may connect, separated by commas; * allows every page. Empty allows the server's own page and localhost.",
        read.origins,
        (),
        shown="",
    )
    auth: AuthMode = read.setting(
        "AUTH",
        "Who may come in: none, everybody on this machine, so HOST has to be localhost; open, everybody who can reach the server; "
        "cognito, who has a token of a Cognito user pool.",
        read.choice(AuthMode),
        AuthMode.NONE,
    )
    cognito_issuer: str = read.setting(
        "COGNITO_ISSUER",
        "Issuer of the tokens, where COGNITO_USER_POOL_ID does not name it; https unless it is on this machine.",
        read.issuer,
        "",
    )
    cognito_user_pool_id: str = read.setting(
        "COGNITO_USER_POOL_ID",
        "User pool whose tokens are taken, like us-east-1_AbCdEf123.",
        read.matching(_USER_POOL_ID, "the id of a user pool like us-east-1_AbCdEf123"),
        "",
    )
    cognito_client_ids: tuple[str, ...] = read.setting(
        "COGNITO_CLIENT_IDS", "App clients of the user pool whose tokens are taken, separated by commas.", read.names, (), shown=""
    )
    cognito_token_use: TokenUse = read.setting(
        "COGNITO_TOKEN_USE",
        "Which tokens are taken: access, or id, which tell the e-mail address as well.",
        read.choice(TokenUse),
        TokenUse.ACCESS,
    )
    operators_group: str = read.setting(
        "OPERATORS_GROUP", "Group of the user pool whose members may see and end everything.", read.text, "operators"
    )
    auth_seconds: int = read.setting("AUTH_SECONDS", "How long a client may take to say who it is.", read.number(1, 60), 5, unit="seconds")
    token_grace_seconds: int = read.setting(
        "TOKEN_GRACE_SECONDS",
        "How long a conversation may go on when its token has expired: the first half for a new token, the second for the last turn.",
        read.number(0, 600),
        60,
        unit="seconds",
    )
    api_stage: str = read.setting(
        "API_STAGE",
        "Path under which the API is served as well, as API Gateway does with the name of its stage.",
        read.matching(_STAGE, "one part of a path, of small letters, digits and -"),
        "demo",
    )
    max_sessions: int = read.setting(
        "MAX_SESSIONS", "Conversations at once; one more is told that all lines are busy.", read.number(1, 10_000), 20
    )
    trusted_proxy_hops: int = read.setting(
        "TRUSTED_PROXY_HOPS",
        "Proxies of your own between clients and the server, each of which appends to X-Forwarded-For; 0 believes no header. An ALB is 1.",
        read.number(0, MAX_HOPS),
        0,
    )
    max_connections: int = read.setting(
        "MAX_CONNECTIONS", "WebSockets at once, with those that have no conversation; 0 is no limit.", read.number(0, 100_000), 1_000
    )
    max_connections_per_address: int = read.setting(
        "MAX_CONNECTIONS_PER_ADDRESS",
        "WebSockets at once from one address, or from one /64 of IPv6, and as many other connections; 0 is no limit.",
        read.number(0, 100_000),
        100,
    )
    max_http_connections: int = read.setting(
        "MAX_HTTP_CONNECTIONS", "Requests over plain HTTP at once; 0 is no limit.", read.number(0, 100_000), 500
    )
    http_requests_per_second_per_address: int = read.setting(
        "HTTP_REQUESTS_PER_SECOND_PER_ADDRESS",
        "Requests a second over plain HTTP from one address, after a burst of five times as many; 0 is no limit.",
        read.number(0, 10_000),
        100,
    )
    handshakes_per_second: int = read.setting(
        "HANDSHAKES_PER_SECOND", "New WebSockets a second, after a burst of five times as many; 0 is no limit.", read.number(0, 10_000), 200
    )
    handshakes_per_second_per_address: int = read.setting(
        "HANDSHAKES_PER_SECOND_PER_ADDRESS", "The same for one address.", read.number(0, 10_000), 20
    )
    max_sessions_per_user: int = read.setting(
        "MAX_SESSIONS_PER_USER", "Conversations at once of one user; 0 is no limit.", read.number(0, 10_000), 5
    )
    max_sessions_per_address: int = read.setting(
        "MAX_SESSIONS_PER_ADDRESS",
        "Conversations at once of all at one address whom nobody asked who they are; 0 is no limit.",
        read.number(0, 10_000),
        0,
    )
    max_frame_bytes: int = read.setting(
        "MAX_FRAME_BYTES",
        "Size of a message; a larger one closes its connection.",
        read.number(1_024, 16_777_216),
        MAX_FRAME_BYTES,
        unit="bytes",
    )
    max_frames_per_second: int = read.setting(
        "MAX_FRAMES_PER_SECOND",
        "Messages a second that are read of one connection, after a burst of 2000.",
        read.number(1, 100_000),
        FRAMES_PER_SECOND,
    )
    max_bytes_per_second: int = read.setting(
        "MAX_BYTES_PER_SECOND",
        "Bytes a second that are read of one connection, after a burst of 2 MB.",
        read.number(1_024, 100_000_000),
        BYTES_PER_SECOND,
        unit="bytes",
    )
    max_text_bytes: int = read.setting(
        "MAX_TEXT_BYTES", "Size of a typed text in UTF-8.", read.number(1, MAX_TEXT_BYTES), MAX_TEXT_BYTES, unit="bytes"
    )
    flood_seconds: int = read.setting(
        "FLOOD_SECONDS",
        "How long a client that sends too much is only held back; then its connection is closed.",
        read.number(1, 3600),
        FLOOD_SECONDS,
        unit="seconds",
    )
    model_max_streams: int = read.setting(
        "MODEL_MAX_STREAMS",
        "Streams to the model at once; a tenth of it, one at least, comes on top while conversations change theirs. 0 is no cap.",
        read.number(0, 10_000),
        0,
    )
    model_wait_ms: int = read.setting(
        "MODEL_WAIT_MS",
        "How long a new conversation may wait for a stream when all are in use or the service says that there are too many.",
        read.number(0, 60_000),
        3_000,
        unit="ms",
    )
    max_loop_lag_ms: int = read.setting(
        "MAX_LOOP_LAG_MS",
        "While the event loop is later than this once in a hundred times, nobody is taken beside those who talk; 0 takes everybody.",
        read.number(0, 10_000),
        30,
        unit="milliseconds",
    )
    log_level: LogLevel = read.setting("LOGLEVEL", "Least level of log lines.", read.choice(LogLevel, str.upper), LogLevel.INFO)
    log_format: LogFormat = read.setting(
        "LOG_FORMAT", "console, json, or auto: console on a terminal and json otherwise.", read.choice(LogFormat), LogFormat.AUTO
    )
    drain_seconds: int = read.setting(
        "DRAIN_SECONDS",
        "How long conversations may finish their turn after SIGTERM; keep it 10 s under the container's stop time-out.",
        read.number(0, 3600),
        20,
        unit="seconds",
    )

    resume_seconds: int = read.setting(
        "RESUME_GRACE_SECONDS",
        "How long a conversation waits for a client that lost its network; 0 ends it with the connection.",
        read.number(0, 300),
        30,
        unit="seconds",
    )
    session_idle_seconds: int = read.setting(
        "SESSION_IDLE_SECONDS",
        "How long a conversation lasts in which neither side says anything; sound of an open microphone counts. 0 is for ever.",
        read.number(0, 86_400),
        300,
        unit="seconds",
    )
    client_tool_seconds: int = read.setting(
        "CLIENT_TOOL_SECONDS",
        "How long a client may take for a call of one of its own tools; then the model is told that it did not answer.",
        read.number(1, 600),
        30,
        unit="seconds",
    )

    trace_folder: Path | None = read.setting(
        "SESSION_TRACE_DIR", "Folder that conversations are recorded into, to be replayed; none are without.", read.path, None, shown=""
    )
    trace_every: int = read.setting(
        "SESSION_TRACE",
        "Which conversations are recorded: all, every:N for one of N, or off until SIGUSR1, which turns recording on and off.",
        read.sampling,
        1,
        shown="all",
    )
    is_trace_masked: bool = read.setting(
        "SESSION_TRACE_MASK",
        "yes records other words of the same shape instead of what people said and tools returned; no records it as it was.",
        read.yes_or_no,
        True,
        shown="yes",
    )

    @classmethod
    def from_env(cls, env: Mapping[str, str], *, local: bool = False) -> "Settings":
        """Read the settings.

        Args:
            env: variables by name, as `os.environ`.
            local: run without AWS; the storage is then SQLite unless STORAGE says otherwise.

        Raises:
            SettingsError: names every variable that is wrong.
        """
        values: dict[str, Any] = {"local": local, **({"storage": StorageKind.SQLITE, "events": EventsKind.LOCAL} if local else {})}
        problems: list[str] = []
        for setting in fields(cls):
            if not (name := setting.metadata.get("env")):
                continue
            name = _winner(name, env)
            if text := env.get(name, "").strip():
                try:
                    values[setting.name] = setting.metadata["parse"](text)
                except ValueError as error:
                    problems.append(_problem(name, text, str(error), secret=setting.metadata["secret"]))
        if values.get("model_transport") is Transport.CRT and str(values.get("model_endpoint", "")).startswith("http:"):
            problems.append("BEDROCK_TRANSPORT=crt speaks to https endpoints alone, and AWS_ENDPOINT_URL_BEDROCK_RUNTIME is none")
        settings = cls(**values)
        if not any(problem.startswith(("AUTH=", "COGNITO_")) for problem in problems):
            problems.extend(settings._problems_of_auth())
        if settings.events is EventsKind.APPSYNC and not settings.events_endpoint and "EVENTS_ENDPOINT=" not in "".join(problems):
            problems.append("EVENTS_ENDPOINT is needed with EVENTS=appsync")
        if settings.model_id == CASCADE_MODEL_ID and not settings.text_model_id and not local:
            problems.append("TEXT_MODEL_ID is needed with MODEL_ID=cascade")
        if problems:
            raise SettingsError(tuple(problems))
        return settings

    @property
    def issuer(self) -> str:
        """Issuer of the tokens; empty where none is named."""
        region, _, _ = self.cognito_user_pool_id.partition("_")
        own = f"https://cognito-idp.{region}.amazonaws.com/{self.cognito_user_pool_id}"
        return self.cognito_issuer or (own if self.cognito_user_pool_id else "")

    def _problems_of_auth(self) -> list[str]:
        """Return what is wrong between settings that are right each by itself."""
        match self.auth:
            case AuthMode.NONE if not read.is_loopback(self.host):
                cure = "AUTH=cognito (docs/how-to/authenticate.md), AUTH=open in a closed network, or HOST=localhost"
                return [f"AUTH=none lets everybody in who reaches HOST={self.host}, which is not this machine alone: set {cure}"]
            case AuthMode.COGNITO:
                found = {"COGNITO_USER_POOL_ID or COGNITO_ISSUER": self.issuer, "COGNITO_CLIENT_IDS": self.cognito_client_ids}
                return [f"{name} is needed with AUTH=cognito" for name, value in found.items() if not value]
            case _:
                return []


_WINNERS = {"AWS_DEFAULT_REGION": "AWS_REGION", "HTTPS_PROXY": "https_proxy", "NO_PROXY": "no_proxy"}
"""Other names of a variable, which win: AWS_REGION as in the SDKs of AWS, the small ones as in curl."""


def _winner(name: str, env: Mapping[str, str]) -> str:
    other = _WINNERS.get(name, name)
    return other if env.get(other, "").strip() else name


def _problem(name: str, text: str, reason: str, *, secret: bool) -> str:
    return f"{name} {reason}" if secret else f"{name}={text[:_SHOWN_CHARACTERS]} {reason}"
