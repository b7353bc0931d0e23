"""Signature Version 4 of one request (IAM user guide, "Create a signed AWS API request"). Pure: the time is an argument."""

import hashlib
import hmac
from collections.abc import Mapping
from datetime import datetime
from typing import Protocol
from urllib.parse import quote, urlsplit


class Identity(Protocol):
    """Whom a request is signed as."""

    @property
    def access_key_id(self) -> str:
        """Public part."""

    @property
    def secret_access_key(self) -> str:
        """Secret part."""

    @property
    def session_token(self) -> str | None:
        """Of temporary credentials."""


class Credentials(Protocol):
    """Where the identity comes from."""

    async def identity(self) -> Identity:
        """Return an identity that holds now; raises what it likes where there is none."""

    def forget(self) -> None:
        """Take note that the service refused the identity."""


def signed_headers(
    identity: Identity,
    *,
    url: str,
    headers: Mapping[str, str],
    body: bytes,
    region: str,
    service: str,
    now: datetime,
    body_hash: str | None = None,
) -> dict[str, str]:
    """Return the headers of a POST request with its signature.

    Args:
        identity: whom to sign as.
        url: of the request, without a query.
        headers: to be sent and signed, by names in small letters.
        body: as it is sent.
        region: of the service.
        service: in its signing name.
        now: UTC.
        body_hash: stands for the body's own, for instance where the body is a stream of signed events.
    """
    parts = urlsplit(url)
    date = now.strftime("%Y%m%dT%H%M%SZ")
    signed = {**headers, "host": parts.netloc, "x-amz-date": date}
    if identity.session_token:
        signed["x-amz-security-token"] = identity.session_token
    names = ";".join(sorted(signed))
    lines = [f"{name}:{' '.join(signed[name].split())}" for name in sorted(signed)]
    body_hash = body_hash or hashlib.sha256(body).hexdigest()
    canonical = "\n".join(["POST", quote(parts.path or "/", safe="/-_.~"), "", *lines, "", names, body_hash])
    scope = f"{date[:8]}/{region}/{service}/aws4_request"
    to_sign = "\n".join(["AWS4-HMAC-SHA256", date, scope, hashlib.sha256(canonical.encode()).hexdigest()])
    key = f"AWS4{identity.secret_access_key}".encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    signature = hmac.new(key, to_sign.encode(), "sha256").hexdigest()
    credential = f"AWS4-HMAC-SHA256 Credential={identity.access_key_id}/{scope}, SignedHeaders={names}, Signature={signature}"
    return {**signed, "authorization": credential}
