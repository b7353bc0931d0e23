"""Signature Version 4 of a request and of each message of its event stream, as a verifier needs it.

Sources: AWS General Reference, "Create a signed AWS API request", and the chaining of event-stream messages as the AWS SDKs for Python and
JavaScript do it. Pure: every time and secret is an argument.
"""

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import parse_qsl, quote

from nova_sonic_local.framing import Header, HeaderType, encode_header

STREAM_PAYLOAD = "STREAMING-AWS4-HMAC-SHA256-EVENTS"
_ALGORITHM = "AWS4-HMAC-SHA256"
_SCOPE_PARTS = 5


class SignatureError(Exception):
    """A signature is missing or wrong.

    Args:
        code: the service's name of the error.
        message: the service's text.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


MISMATCH = (
    "The request signature we calculated does not match the signature you provided. "
    "Check your AWS Secret Access Key and signing method. Consult the service documentation for details."
)


@dataclass(frozen=True, slots=True)
class Credential:
    """The parts of an Authorization header."""

    access_key: str
    date: str
    """yyyymmdd"""
    region: str
    service: str
    signed_headers: tuple[str, ...]
    signature: str
    """64 hex digits."""

    @property
    def scope(self) -> str:
        """Credential scope of the request."""
        return f"{self.date}/{self.region}/{self.service}/aws4_request"


def parse_authorization(value: str | None) -> Credential:
    """Parse an Authorization header.

    Raises:
        SignatureError: there is none, or it is of another kind.
    """
    if value is None:
        raise SignatureError("MissingAuthenticationTokenException", "Missing Authentication Token")
    algorithm, _, rest = value.partition(" ")
    fields = dict(part.strip().partition("=")[::2] for part in rest.split(","))
    scope = fields.get("Credential", "").split("/")
    if algorithm != _ALGORITHM or len(scope) != _SCOPE_PARTS or "Signature" not in fields or "SignedHeaders" not in fields:
        raise SignatureError("IncompleteSignatureException", "Authorization header is not a valid Signature Version 4 header.")
    return Credential(scope[0], scope[1], scope[2], scope[3], tuple(fields["SignedHeaders"].split(";")), fields["Signature"])


def signing_key(secret: str, date: str, region: str, service: str) -> bytes:
    """Derive the key of a day, region and service."""
    key = f"AWS4{secret}".encode()
    for part in (date, region, service, "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    return key


def sign_request(
    credential: Credential, secret: str, method: str, path: str, headers: Mapping[str, str], *, payload: str = STREAM_PAYLOAD
) -> str:
    """Return the signature that a request should carry.

    Args:
        credential: as parsed from the request.
        secret: the secret key that belongs to its access key.
        method: for instance POST.
        path: as on the wire, with its query; the canonical form encodes it once more.
        headers: lower-case names; `host` must be there.
        payload: what stands for the body where x-amz-content-sha256 is not sent: its SHA-256 in hex, or the name of a stream of events.
    """
    bare, _, query = path.partition("?")
    canonical_query = "&".join(
        sorted(f"{quote(name, safe='-_.~')}={quote(value, safe='-_.~')}" for name, value in parse_qsl(query, keep_blank_values=True)),
    )
    lines = [method, quote(bare, safe="/-_.~"), canonical_query]
    lines += [f"{name}:{' '.join(headers.get(name, '').split())}" for name in credential.signed_headers]
    lines += ["", ";".join(credential.signed_headers), headers.get("x-amz-content-sha256", payload)]
    digest = hashlib.sha256("\n".join(lines).encode()).hexdigest()
    text = "\n".join((_ALGORITHM, headers.get("x-amz-date", ""), credential.scope, digest))
    key = signing_key(secret, credential.date, credential.region, credential.service)
    return hmac.new(key, text.encode(), "sha256").hexdigest()


class MessageChain:
    """Signs the messages of one stream, each on top of the one before.

    Args:
        secret: the secret key.
        region: the region of the scope.
        service: the signing name, `bedrock`.
        seed: signature of the request in hex.
    """

    def __init__(self, secret: str, region: str, service: str, seed: str) -> None:
        self._secret = secret
        self._region = region
        self._service = service
        self._previous = seed
        self._key_date = ""
        self._key = b""

    def sign(self, date_ms: int, payload: bytes) -> bytes:
        """Return the signature of the next message: 32 bytes."""
        moment = datetime.fromtimestamp(date_ms // 1000, UTC)
        date = moment.strftime("%Y%m%d")
        if date != self._key_date:
            self._key, self._key_date = signing_key(self._secret, date, self._region, self._service), date
        text = "\n".join(
            (
                "AWS4-HMAC-SHA256-PAYLOAD",
                moment.strftime("%Y%m%dT%H%M%SZ"),
                f"{date}/{self._region}/{self._service}/aws4_request",
                self._previous,
                hashlib.sha256(encode_header(Header(":date", HeaderType.TIMESTAMP, date_ms))).hexdigest(),
                hashlib.sha256(payload).hexdigest(),
            ),
        )
        signature = hmac.digest(self._key, text.encode(), "sha256")
        self._previous = signature.hex()
        return signature
