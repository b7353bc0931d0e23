"""Opens streams to Nova Sonic on Amazon Bedrock."""

import asyncio
from collections.abc import Sequence
from typing import Final

from aws_sdk_bedrock_runtime.client import AsyncBedrockRuntimeClient
from aws_sdk_bedrock_runtime.config import AsyncBedrockRuntimeConfig
from aws_sdk_bedrock_runtime.models import InvokeModelWithBidirectionalStreamOperationInput
from smithy_aws_core.identity import AWSCredentialsIdentity, AWSIdentityProperties
from smithy_core.aio.interfaces.identity import IdentityResolver

from s2s import failures
from s2s.bedrock.connections import CannotConnect, Connection, Connections
from s2s.bedrock.credentials import ChainCredentials, Credentials, PinnedIdentity
from s2s.bedrock.faults import model_error
from s2s.bedrock.quiet import calm_loggers, filter_noise
from s2s.bedrock.stream import Duplex, NovaSonicStream, Timeouts
from s2s.bedrock.transport import RequestBody, StreamProtocolOfSdk, StreamTransport
from s2s.events import InputEvent
from s2s.limits import STRICT, TextProfile
from s2s.models import ModelCapabilities, capabilities
from s2s.protocol import StreamProtocol

DEFAULT_TIMEOUTS: Final = Timeouts()
PING_SECONDS: Final = 15.0
"""How long an answer of ping holds: readiness is asked for often, and each question costs a TLS handshake."""


class NovaSonicClient:
    """A model in a region (session.interfaces.ModelClient). Belongs to one event loop; close it with aclose.

    Args:
        region: AWS region, also part of every signature.
        model_id: Bedrock model id or ARN.
        endpoint_uri: https URI in place of the region's own.
        ca_file: certificate authority of that endpoint; None for the system's.
        credentials: whom to sign as; None for botocore's chain.
        timeouts: how long to wait for the service.
        streams_per_connection: how many sessions may die together when one TCP connection does.
        text_profile: how much text a stream may be given.

    Raises:
        ValueError: the endpoint is not an https URI.
    """

    def __init__(
        self,
        region: str,
        model_id: str,
        endpoint_uri: str | None = None,
        ca_file: str | None = None,
        credentials: Credentials | None = None,
        *,
        timeouts: Timeouts = DEFAULT_TIMEOUTS,
        streams_per_connection: int = 1,
        text_profile: TextProfile = STRICT,
    ) -> None:
        self._region = region
        self._capabilities = capabilities(model_id)
        self._endpoint_uri = endpoint_uri or f"https://bedrock-runtime.{region}.amazonaws.com"
        self._credentials: Credentials = credentials or ChainCredentials()
        self._timeouts = timeouts
        self._text_profile = text_profile
        self._connections = Connections(
            self._endpoint_uri,
            ca_file=ca_file,
            streams_per_connection=streams_per_connection,
            connect_seconds=timeouts.connect,
        )
        self._streams: set[NovaSonicStream] = set()
        self._sdk: AsyncBedrockRuntimeClient | None = None
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
        protocol = StreamProtocol(self._capabilities, self._text_profile)
        wires = protocol.send_group(opening)
        filter_noise(asyncio.get_running_loop())
        identity = await self._credentials.identity()
        connection = await self._connect()
        try:
            duplex = await self._invoke(connection, PinnedIdentity(identity))
        except BaseException:
            await self._connections.release(connection, broken=True)
            raise
        stream = NovaSonicStream(
            duplex=duplex, protocol=protocol, connections=self._connections, connection=connection, timeouts=self._timeouts
        )
        self._streams = {live for live in self._streams if not live.is_closed} | {stream}
        try:
            await stream.start(wires)
        except BaseException:
            await stream.close()
            raise
        return stream

    async def ping(self) -> None:
        """Find out whether a stream could be opened: there are credentials, and the endpoint speaks TLS with us.

        Raises:
            ModelError: it could not.
        """
        loop = asyncio.get_running_loop()
        async with self._one_at_a_time:
            if loop.time() < self._pinged_until:
                return
            await self._credentials.identity()
            await self._connections.release(await self._connect(), broken=False)
            self._pinged_until = loop.time() + PING_SECONDS

    async def aclose(self) -> None:
        """Close all streams and connections. Returns in bounded time."""
        streams, self._streams = self._streams, set()
        await asyncio.gather(*(stream.close() for stream in streams))
        await self._connections.close()
        if self._sdk is not None:
            await self._sdk.close()

    async def _connect(self) -> Connection:
        try:
            return await self._connections.acquire()
        except CannotConnect as error:
            raise model_error(error) from error

    async def _invoke(self, connection: Connection, identity: PinnedIdentity) -> Duplex:
        body = RequestBody()

        def of_this_stream(config: AsyncBedrockRuntimeConfig) -> None:
            config.transport = StreamTransport(connection, body)
            config.protocol = StreamProtocolOfSdk(body)
            config.aws_credentials_identity_resolver = identity

        operation = InvokeModelWithBidirectionalStreamOperationInput(model_id=self.model_id)
        try:
            async with asyncio.timeout(self._timeouts.opening):  # the SDK waits for ever when it fails before it has a request
                sdk = await self._client()
                duplex: Duplex = await sdk.invoke_model_with_bidirectional_stream(operation, plugins=[of_this_stream])
                return duplex
        except TimeoutError:
            raise failures.OPENING_TIMEOUT.error("the SDK made no request") from None

    async def _client(self) -> AsyncBedrockRuntimeClient:
        async with self._one_at_a_time:
            if self._sdk is None:
                # Profile and files are botocore's business: a profile that the SDK cannot read must not stop a client that needs none.
                config = await AsyncBedrockRuntimeConfig.resolve(
                    profile="default", fs=_EmptyFiles(), region=self._region, endpoint_uri=self._endpoint_uri, transport=_NoTransport()
                )
                # Without one the SDK looks for credential plug-ins in all installed packages, on the loop: 15 to 170 ms (measured).
                config.aws_credentials_identity_resolver = _NoIdentity()
                self._sdk = AsyncBedrockRuntimeClient(config)
            return self._sdk


class _EmptyFiles:
    async def read_file(self, path: str) -> str | None:
        """Return files in which the default profile sets nothing."""
        del path
        return "[default]\n"


class _NoIdentity(IdentityResolver[AWSCredentialsIdentity, AWSIdentityProperties]):
    async def get_identity(self, *, properties: AWSIdentityProperties) -> AWSCredentialsIdentity:
        """Refuse: each stream brings its own identity."""
        raise NotImplementedError


class _NoTransport:
    SUPPORTS_DUPLEX_STREAMING = True
    TIMEOUT_EXCEPTIONS = ()

    async def send(self, request: object) -> object:
        """Refuse: each stream brings its own transport."""
        raise NotImplementedError
