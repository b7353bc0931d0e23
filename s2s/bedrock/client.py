"""Opens streams to Nova Sonic on Amazon Bedrock."""

import asyncio
from collections.abc import Sequence
from typing import Final
from weakref import WeakSet

from smithy_aws_core.identity import AWSCredentialsIdentity

from s2s import failures
from s2s.bedrock import sdk_version
from s2s.bedrock.credentials import ChainCredentials, Credentials
from s2s.bedrock.crt.connections import CrtExchanges
from s2s.bedrock.faults import model_error
from s2s.bedrock.http2.pool import Http2Exchanges
from s2s.bedrock.http2.proxy import Proxy
from s2s.bedrock.interfaces import CannotConnect, Exchanges, StreamRefused, Transport
from s2s.bedrock.quiet import calm_loggers
from s2s.bedrock.sdk import Sdk
from s2s.bedrock.stream import NovaSonicStream, Timeouts
from s2s.errors import ModelError
from s2s.events import AudioContentStart, AudioInput, ContentEnd, InputEvent, PromptStart, Role, SessionStart, TextContentStart, TextInput
from s2s.limits import STRICT, TextProfile
from s2s.models import ModelCapabilities, capabilities
from s2s.protocol import StreamProtocol

DEFAULT_TIMEOUTS: Final = Timeouts()
PING_SECONDS: Final = 15.0
"""How long an answer of ping holds: readiness is asked for often, and each question may cost a TLS handshake."""
STREAMS_PER_CONNECTION: Final = 16
"""Sessions that one TCP connection carries, and that its loss ends together."""


def region_endpoint(region: str) -> str:
    """Return the URI of Bedrock's runtime in a region (AWS General Reference, "Amazon Bedrock endpoints")."""
    return f"https://bedrock-runtime.{region}.amazonaws.com"


class NovaSonicClient:
    """A model in a region (session.interfaces.ModelClient). Belongs to one event loop; close it with aclose.

    Args:
        region: AWS region, also part of every signature.
        model_id: Bedrock model id or ARN.
        endpoint_uri: http or https URI in place of the region's own.
        ca_file: certificate authority of that endpoint; None for the system's.
        credentials: whom to sign as; None for botocore's chain.
        transport: which HTTP/2 carries the streams.
        timeouts: how long to wait for the service.
        streams_per_connection: how many sessions may die together when one TCP connection does; h2 only.
        proxy: HTTP proxy on the way to the endpoint; h2 only.
        text_profile: how much text a stream may be given.

    Raises:
        ValueError: the endpoint is no URI that the transport can speak to.
        ModelError: the installed SDK is not the one that is needed.
    """

    def __init__(
        self,
        region: str,
        model_id: str,
        endpoint_uri: str | None = None,
        ca_file: str | None = None,
        credentials: Credentials | None = None,
        *,
        transport: Transport = Transport.H2,
        timeouts: Timeouts = DEFAULT_TIMEOUTS,
        streams_per_connection: int = STREAMS_PER_CONNECTION,
        proxy: Proxy | None = None,
        text_profile: TextProfile = STRICT,
    ) -> None:
        sdk_version.require(with_runtime=transport is Transport.CRT)
        self._capabilities = capabilities(model_id)
        self._credentials: Credentials = credentials or ChainCredentials(region=region)
        self._timeouts = timeouts
        self._text_profile = text_profile
        endpoint_uri = endpoint_uri or region_endpoint(region)
        self._exchanges: Exchanges
        if transport is Transport.H2:
            self._exchanges = Http2Exchanges(
                endpoint_uri,
                ca_file=ca_file,
                streams_per_connection=streams_per_connection,
                connect_seconds=timeouts.connect,
                proxy=proxy,
            )
        else:
            self._exchanges = CrtExchanges(endpoint_uri, ca_file=ca_file, streams_per_connection=1, connect_seconds=timeouts.connect)
        self._sdk = Sdk(region, endpoint_uri)
        self._streams: WeakSet[NovaSonicStream] = WeakSet()
        self._pinged_until = 0.0
        self._one_at_a_time = asyncio.Lock()
        calm_loggers()

    @property
    def model_id(self) -> str:
        """Return the Bedrock model id."""
        return self._capabilities.model_id

    @property
    def capabilities(self) -> ModelCapabilities:
        """Return what the model can do."""
        return self._capabilities

    async def open(self, opening: Sequence[InputEvent]) -> NovaSonicStream:
        """Open a stream and send its opening events; return when the service has accepted the stream.

        Raises:
            ModelError: refused, unreachable, or not answered in time.
            LocalProtocolError: the opening breaks a rule of the stream; nothing was sent.
        """
        identity = await self._credentials.identity()
        try:
            async with asyncio.timeout(self._timeouts.opening):
                try:
                    return await self._open(opening, identity)
                except StreamRefused:  # the connection was about to go; another will do
                    return await self._open(opening, identity)
        except ModelError as error:
            if error.code == failures.CREDENTIALS.code:
                self._credentials.forget()  # they may have been changed where they come from
            raise
        except TimeoutError:
            raise failures.OPENING_TIMEOUT.error(f"no answer within {self._timeouts.opening:g} s") from None
        except StreamRefused as error:
            raise failures.UNREACHABLE.error(str(error)) from error

    async def ping(self) -> None:
        """Find out whether a stream could be opened: there are credentials, and the endpoint speaks HTTP/2 with us.

        Raises:
            ModelError: it could not.
        """
        loop = asyncio.get_running_loop()
        async with self._one_at_a_time:
            if loop.time() < self._pinged_until:
                return
            await self._credentials.identity()
            try:
                await self._exchanges.reach()
            except CannotConnect as error:
                raise model_error(error) from error
            self._pinged_until = loop.time() + PING_SECONDS

    async def try_out(self) -> None:
        """Open a stream and close it in order: signature, access, region and model are right. The service bills a few tokens for it.

        Raises:
            ModelError: they are not.
        """
        names = ("check", "check-system"), ("check", "check-audio")
        voice = min(self._capabilities.voices, default="matthew")
        stream = await self.open(
            (
                SessionStart(),
                PromptStart("check", voice, 24_000),
                TextContentStart(*names[0], Role.SYSTEM),
                TextInput(*names[0], "Say nothing."),
                ContentEnd(*names[0]),
                AudioContentStart(*names[1]),
                AudioInput(*names[1], bytes(3_200)),
            )
        )
        await stream.close()

    async def aclose(self) -> None:
        """Close all streams and connections. Returns in bounded time."""
        await asyncio.gather(*(stream.close() for stream in list(self._streams)))
        await self._exchanges.close()
        await self._sdk.close()

    async def _open(self, opening: Sequence[InputEvent], identity: AWSCredentialsIdentity) -> NovaSonicStream:
        protocol = StreamProtocol(self._capabilities, self._text_profile)
        wires = protocol.send_group(opening)
        try:
            call = await self._sdk.invoke(self.model_id, self._exchanges, identity)
        except (ModelError, StreamRefused):
            raise
        except Exception as error:  # whatever the SDK or the network raises before there is a request
            raise model_error(error) from error
        stream = NovaSonicStream(call=call, protocol=protocol, timeouts=self._timeouts, signed_until=identity.expiration)
        self._streams.add(stream)
        try:
            await stream.start(wires)
        except BaseException:
            await stream.close()
            raise
        return stream
