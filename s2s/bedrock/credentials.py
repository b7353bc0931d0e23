"""AWS credentials for the streaming SDK, from botocore's chain.

The SDK's own chain knows neither SSO nor web identity nor, without add-ons, the container endpoint of ECS; botocore knows them all:
environment, profile (SSO, assume-role, process), web identity, container, instance metadata. botocore blocks, so it works in a thread,
one call at a time whoever asks, and credentials that expire are renewed ahead of that.
"""

import asyncio
from typing import TYPE_CHECKING, Final, Protocol

import structlog
from botocore.credentials import RefreshableCredentials
from botocore.exceptions import BotoCoreError
from botocore.session import Session
from smithy_aws_core.identity import AWSCredentialsIdentity, AWSIdentityProperties
from smithy_core.aio.interfaces.identity import IdentityResolver

from s2s import failures
from s2s.errors import ModelError

if TYPE_CHECKING:
    from botocore.credentials import Credentials as BotocoreCredentials

log = structlog.get_logger()

AHEAD_SECONDS: Final = 900
"""Renew when less than this is left: botocore's own advisory time, below which it is willing to."""
STREAM_SECONDS: Final = 540
"""A stream is signed with what it was opened with, for 8 minutes and some: with less left than this, opening waits for the renewal."""


class Credentials(Protocol):
    """Where a client gets its identity from."""

    source: str
    """Where they were found, for the log."""

    async def identity(self) -> AWSCredentialsIdentity:
        """Return an identity that holds for a stream's life.

        Raises:
            ModelError: there is none.
        """


class StaticCredentials:
    """A fixed key, as the emulator accepts.

    Args:
        access_key_id: public part.
        secret_access_key: secret part.
        session_token: of temporary credentials.
    """

    source = "static"

    def __init__(self, access_key_id: str, secret_access_key: str, session_token: str | None = None) -> None:
        self._identity = AWSCredentialsIdentity(
            access_key_id=access_key_id, secret_access_key=secret_access_key, session_token=session_token
        )

    async def identity(self) -> AWSCredentialsIdentity:
        """Return the key."""
        return self._identity


class ChainCredentials:
    """What botocore's chain finds, kept fresh.

    Args:
        session: a botocore session; None for one of the process's environment.
    """

    def __init__(self, session: Session | None = None) -> None:
        self.source = "not looked for yet"
        self._session = session
        self._found: BotocoreCredentials | None = None
        self._identity: AWSCredentialsIdentity | None = None
        self._renewal: asyncio.Task[AWSCredentialsIdentity] | None = None

    async def identity(self) -> AWSCredentialsIdentity:
        """Return a cached identity, renewed in time.

        Raises:
            ModelError: the chain finds none, or cannot renew what has expired.
        """
        if self._identity is None or self._expires_within(STREAM_SECONDS):
            try:
                return await asyncio.shield(self._renew())
            except ModelError:
                if self._identity is None or self._expires_within(0):
                    raise
        elif self._expires_within(AHEAD_SECONDS):
            self._renew()
        return self._identity

    async def aclose(self) -> None:
        """Wait for a renewal that is under way."""
        if self._renewal is not None:
            await asyncio.wait({self._renewal})

    def _expires_within(self, seconds: int) -> bool:
        return isinstance(self._found, RefreshableCredentials) and self._found.refresh_needed(refresh_in=seconds)

    def _renew(self) -> "asyncio.Task[AWSCredentialsIdentity]":
        if self._renewal is None or self._renewal.done():
            self._renewal = asyncio.create_task(self._load_in_thread())
            self._renewal.add_done_callback(_seen)
        return self._renewal

    async def _load_in_thread(self) -> AWSCredentialsIdentity:
        try:
            self._identity = await asyncio.to_thread(self._load)
        except (BotoCoreError, OSError) as error:
            raise failures.CREDENTIALS.error(f"{type(error).__name__}: {error}") from error
        return self._identity

    def _load(self) -> AWSCredentialsIdentity:
        if self._found is None:
            self._session = self._session or Session()
            self._found = self._session.get_credentials()
        if self._found is None:
            raise failures.CREDENTIALS.error("botocore's chain finds no credentials")
        frozen = self._found.get_frozen_credentials()  # renews what is due
        if not frozen.access_key or not frozen.secret_key:
            raise failures.CREDENTIALS.error(f"the credentials of {self._found.method} are empty")
        self.source = str(self._found.method)
        return AWSCredentialsIdentity(
            access_key_id=frozen.access_key, secret_access_key=frozen.secret_key, session_token=frozen.token or None
        )


class PinnedIdentity(IdentityResolver[AWSCredentialsIdentity, AWSIdentityProperties]):
    """One identity for all frames of a stream: the SDK asks for each frame, and a change in the middle would break the signatures.

    Args:
        identity: what the stream was opened with.
    """

    def __init__(self, identity: AWSCredentialsIdentity) -> None:
        self._identity = identity

    async def get_identity(self, *, properties: AWSIdentityProperties) -> AWSCredentialsIdentity:
        """Return the identity, whatever the properties are."""
        del properties
        return self._identity


async def find_credentials(session: Session | None = None) -> ChainCredentials | None:
    """Look for credentials as the AWS command line would; off the event loop, since some sources take seconds.

    Args:
        session: a botocore session; None for one of the process's environment.

    Returns:
        Credentials to open streams with, or None when there are none.
    """
    credentials = ChainCredentials(session)
    try:
        await credentials.identity()
    except ModelError as error:
        log.info("credentials.missing", reason=error.detail)
        return None
    return credentials


def _seen(task: "asyncio.Task[AWSCredentialsIdentity]") -> None:
    if not task.cancelled():
        task.exception()  # a renewal ahead of time has nobody who waits for its failure; the next one has
