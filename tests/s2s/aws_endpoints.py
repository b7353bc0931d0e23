"""The services that AWS gives credentials by, on loopback: STS, the portal of SSO, a container's endpoint, instance metadata."""

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self
from urllib.parse import parse_qs, urlsplit

HOUR = 3600
REFUSAL = "<ErrorResponse><Error><Type>Sender</Type><Code>AccessDenied</Code><Message>Not you.</Message></Error></ErrorResponse>"
"""As STS writes it."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One request."""

    method: str
    path: str
    query: dict[str, list[str]]
    headers: dict[str, str]
    """Names in lower case."""
    body: str


@dataclass
class Endpoints:
    """Answers as the services do; counts what was asked, and can fail or be slow. Open it with `with`."""

    seconds_left: float = HOUR
    """How long the keys last that are given."""
    status: int = 200
    held: threading.Event = field(default_factory=threading.Event)
    """No answer before this is set."""
    asked: list[Asked] = field(default_factory=list)
    given: int = 0
    """How many keys were given: the newest is KEY<given>."""

    def __enter__(self) -> Self:
        self.held.set()
        outer = self

        class Answer(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                parts = urlsplit(self.path)
                body = self.rfile.read(int(self.headers.get("content-length") or 0)).decode()
                headers = {name.lower(): value for name, value in self.headers.items()}
                request = Asked(self.command, parts.path, parse_qs(parts.query), headers, body)
                outer.asked.append(request)
                outer.held.wait(30)
                status, text = outer.answer(request) if outer.status == 200 else (outer.status, REFUSAL)
                try:
                    self.send_response(status)
                    self.send_header("content-length", str(len(text)))
                    self.end_headers()
                    self.wfile.write(text.encode())
                except OSError:
                    return  # whoever asked has given up

            do_POST = do_PUT = do_GET  # noqa: N815 - the names are http.server's

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
        self.server.daemon_threads = True
        self._thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.held.set()
        self.server.shutdown()
        self.server.server_close()
        self._thread.join()

    @property
    def uri(self) -> str:
        """Where all of them are."""
        return f"http://127.0.0.1:{self.server.server_port}"

    def answer(self, request: Asked) -> tuple[int, str]:
        """Return status and body as the service at this path would."""
        services: dict[str, Callable[[Asked], tuple[int, str]]] = {
            "/": self.sts,
            "/federation/credentials": self.portal,
            "/token": self.oidc,
            "/latest/api/token": lambda _: (200, "metadata-token"),
            "/latest/meta-data/iam/security-credentials/": lambda _: (200, "the-role"),
            "/latest/meta-data/iam/security-credentials/the-role": self.metadata,
        }
        return services.get(request.path, self.container)(request)

    def end(self) -> datetime:
        """Return when a key that is given now ends, in whole seconds."""
        return (datetime.now(UTC) + timedelta(seconds=self.seconds_left)).replace(microsecond=0)

    def sts(self, request: Asked) -> tuple[int, str]:
        """Answer AssumeRole and AssumeRoleWithWebIdentity (STS API reference)."""
        self.given += 1
        action = parse_qs(request.body)["Action"][0]
        keys = f"<AccessKeyId>KEY{self.given}</AccessKeyId><SecretAccessKey>secret</SecretAccessKey><SessionToken>token</SessionToken>"
        user = "<AssumedRoleUser><Arn>arn:aws:sts::123456789012:assumed-role/r/s</Arn><AssumedRoleId>i:s</AssumedRoleId></AssumedRoleUser>"
        result = f"<Credentials>{keys}<Expiration>{self.end():%Y-%m-%dT%H:%M:%SZ}</Expiration></Credentials>{user}"
        return 200, (
            f'<{action}Response xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><{action}Result>{result}</{action}Result>'
            f"<ResponseMetadata><RequestId>r</RequestId></ResponseMetadata></{action}Response>"
        )

    def portal(self, request: Asked) -> tuple[int, str]:
        """Answer GetRoleCredentials (IAM Identity Center portal API reference)."""
        if request.headers.get("x-amz-sso_bearer_token") not in {"sso-token", "new-sso-token"}:
            return 401, json.dumps({"message": "Session token not found or invalid"})
        self.given += 1
        keys = {"accessKeyId": f"KEY{self.given}", "secretAccessKey": "secret", "sessionToken": "token"}
        return 200, json.dumps({"roleCredentials": {**keys, "expiration": int(self.end().timestamp() * 1000)}})

    def oidc(self, request: Asked) -> tuple[int, str]:
        """Answer CreateToken (IAM Identity Center OIDC API reference)."""
        return 200, json.dumps({"accessToken": "new-sso-token", "tokenType": "Bearer", "expiresIn": 28_800, "refreshToken": "r2"})

    def metadata(self, request: Asked) -> tuple[int, str]:
        """Answer the role's credentials (EC2 user guide, "Retrieve security credentials from instance metadata")."""
        if request.headers.get("x-aws-ec2-metadata-token") != "metadata-token":
            return 401, ""
        return 200, json.dumps({"Code": "Success", "Type": "AWS-HMAC", **self.document()})

    def container(self, request: Asked) -> tuple[int, str]:
        """Answer as the agent of ECS (ECS developer guide, "Task IAM role") or of EKS Pod Identity."""
        return 200, json.dumps(self.document())

    def document(self) -> dict[str, str]:
        """Return a new key as a container and an instance are given it."""
        self.given += 1
        keys = {"AccessKeyId": f"KEY{self.given}", "SecretAccessKey": "secret", "Token": "token"}
        return {**keys, "Expiration": f"{self.end():%Y-%m-%dT%H:%M:%SZ}"}
