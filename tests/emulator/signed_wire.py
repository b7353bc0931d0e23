"""The client that speaks by hand, with every signature: so that rules can be broken on a service that checks them.

botocore signs the request, which shares no code with the emulator's check; the messages are chained as AWS's SDKs do it.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from nova_sonic_local.framing import Header, HeaderType, encode_message
from nova_sonic_local.signing import STREAM_PAYLOAD, MessageChain, parse_authorization
from tests.emulator.wire import PATH, RawClient, RawStream, inner_message

CONTENT_TYPE = "application/vnd.amazon.eventstream"


def path_of(model_id: str) -> str:
    """Return the path as AWS's SDK for Python writes it."""
    return f"/model/{quote(model_id, safe='')}/invoke-with-bidirectional-stream?"


@dataclass(frozen=True)
class Identity:
    """Who signs."""

    access_key: str
    secret: str
    token: str | None = None
    region: str = "us-east-1"

    def head(self, url: str, method: str = "POST") -> dict[str, str]:
        """Return the header fields of a signed request."""
        request = AWSRequest(method=method, url=url, headers={"Content-Type": CONTENT_TYPE, "X-Amz-Content-SHA256": STREAM_PAYLOAD})
        SigV4Auth(Credentials(self.access_key, self.secret, self.token), "bedrock", self.region).add_auth(request)
        return {name.lower(): str(value) for name, value in request.headers.items() if name.lower() != "content-type"}

    def chain(self, seed: str) -> MessageChain:
        """Return what signs the messages of a request with this signature."""
        return MessageChain(self.secret, self.region, "bedrock", seed)


def signed_message(chain: MessageChain, inner: bytes, date_ms: int | None = None) -> bytes:
    """Return the signed message around an inner one; an empty one ends the input."""
    date = int(time.time() * 1000) if date_ms is None else date_ms
    signature = chain.sign(date, inner)
    return encode_message((Header(":date", HeaderType.TIMESTAMP, date), Header(":chunk-signature", HeaderType.BYTES, signature)), inner)


@dataclass
class SignedStream(RawStream):
    """One request whose messages are signed."""

    chain: MessageChain = field(default_factory=lambda: MessageChain("", "", "", ""))

    async def send(self, *events: object) -> None:
        await self.send_inner(*map(inner_message, events))

    async def send_inner(self, *messages: bytes) -> None:
        await self.write(b"".join(signed_message(self.chain, message) for message in messages))

    async def finish(self) -> None:
        """End the input as the SDK does: a signed empty message, then END_STREAM."""
        await self.write(signed_message(self.chain, b""))
        self.end()


class SignedClient(RawClient):
    """One connection on which every request is signed: `async with SignedClient(endpoint, identity) as client`."""

    def __init__(self, endpoint: str, identity: Identity, ca_file: Path | None = None) -> None:
        super().__init__(endpoint, ca_file)
        self.identity = identity

    def open(
        self, path: str = PATH, method: str = "POST", headers: Sequence[tuple[str, str]] = (), *, has_body: bool = True
    ) -> SignedStream:
        head = self.identity.head(f"{self.url.scheme}://{self.url.netloc}{path}", method)
        plain = super().open(path, method, [*head.items(), *headers], has_body=has_body)
        seed = parse_authorization(head["authorization"]).signature
        stream = self.streams[plain.stream_id] = SignedStream(self, plain.stream_id, chain=self.identity.chain(seed))
        return stream
