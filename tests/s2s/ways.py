"""The ways from the client to the emulator: both transports, and what is under them."""

from enum import Enum
from pathlib import Path

from nova_sonic_local.server import NovaSonicLocal
from s2s.bedrock.client import DEFAULT_TIMEOUTS, STREAMS_PER_CONNECTION, NovaSonicClient
from s2s.bedrock.credentials import Credentials, StaticCredentials
from s2s.bedrock.crt.connections import CrtExchanges
from s2s.bedrock.http2.pool import Http2Exchanges
from s2s.bedrock.interfaces import Exchanges, Transport
from s2s.bedrock.stream import Timeouts
from s2s.models import DEFAULT_MODEL_ID

KEY, SECRET = "AKIDLOCAL", "local-secret"


class Way(Enum):
    """How the bytes travel. The Common Runtime has no way without TLS: awscrt cannot be told that a plain port speaks HTTP/2."""

    H2C = "h2 over h2c"
    H2 = "h2 over TLS"
    CRT = "crt over TLS"

    @property
    def transport(self) -> Transport:
        """Which HTTP/2 it is."""
        return Transport.CRT if self is Way.CRT else Transport.H2

    @property
    def scheme(self) -> str:
        """Of its endpoints."""
        return "http" if self is Way.H2C else "https"

    def endpoint(self, emulator: NovaSonicLocal) -> str:
        """Return where the emulator listens for it."""
        return emulator.h2c_endpoint if self is Way.H2C else emulator.endpoint

    def client(self, emulator: NovaSonicLocal, timeouts: Timeouts = DEFAULT_TIMEOUTS) -> NovaSonicClient:
        """Return a client of an emulator."""
        return self.client_for(self.endpoint(emulator), emulator.ca_file, timeouts)

    def client_for(
        self,
        endpoint: str,
        ca_file: Path | None = None,
        timeouts: Timeouts = DEFAULT_TIMEOUTS,
        credentials: Credentials | None = None,
        streams_per_connection: int = STREAMS_PER_CONNECTION,
    ) -> NovaSonicClient:
        """Return a client of any endpoint."""
        return NovaSonicClient(
            "us-east-1",
            DEFAULT_MODEL_ID,
            endpoint,
            str(ca_file) if ca_file is not None else None,
            credentials or StaticCredentials(KEY, SECRET),
            transport=self.transport,
            timeouts=timeouts,
            streams_per_connection=streams_per_connection,
        )

    def exchanges(self, uri: str, ca_file: str, connect_seconds: float = 1.5) -> Exchanges:
        """Return what opens exchanges with an endpoint."""
        if self is Way.CRT:
            return CrtExchanges(uri, ca_file=ca_file, streams_per_connection=1, connect_seconds=connect_seconds)
        return Http2Exchanges(uri, ca_file=ca_file, connect_seconds=connect_seconds)


WAYS = tuple(Way)
