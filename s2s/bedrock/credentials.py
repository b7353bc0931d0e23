"""Whom streams are signed as: kept ready, renewed ahead of its end by one call at a time, and never on the event loop.

An opening waits only when there is nothing that holds for a stream's life, and then for seconds at most. A source that is down does not
matter while what it gave before still holds; it is asked again after pauses that grow, however many streams are opened meanwhile.
"""

import asyncio
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final, Protocol

import structlog
from botocore.session import Session
from smithy_aws_core.identity import AWSCredentialsIdentity, AWSIdentityProperties
from smithy_core.aio.interfaces.identity import IdentityResolver

from s2s import failures
from s2s.bedrock.credential_chain import AHEAD_SECONDS, CredentialChain
from s2s.errors import ModelError, Remedy

log = structlog.get_logger()

STREAM_SECONDS: Final = 540
"""A stream is signed with what it was opened with, for 8 minutes and some: with less left than this, opening waits for the renewal."""
WAIT_SECONDS: Final = 3.0
"""How long an opening waits for a renewal, counted from the renewal's beginning."""
FIRST_PAUSE_SECONDS: Final = 1.0
LONGEST_PAUSE_SECONDS: Final = 60.0
"""After a renewal that failed, or brought nothing that lasts longer: instance metadata has new keys 5 minutes before the old ones end."""
FORGET_SECONDS: Final = 60.0
"""Keys that the service refuses are read anew this often at most."""
CLOSE_SECONDS: Final = 1.0


class Credentials(Protocol):
    """Where a client gets its identity from."""

    @property
    def source(self) -> str:
        """Where they were found, for the log."""

    async def identity(self) -> AWSCredentialsIdentity:
        """Return an identity that holds for a stream's life, or at least now; its `expiration` is in UTC, None when it has no end.

        Raises:
            ModelError: there is none.
        """

    def forget(self) -> None:
        """Take note that the service refused the identity: read it anew for the next stream."""


class StaticCredentials:
    """A fixed key, as the emulator accepts.

    Args:
        access_key_id: public part.
        secret_access_key: secret part.
        session_token: of temporary credentials.
        expiration: when they end, with a time zone; None for never.
    """

    source = "static"

    def __init__(
        self, access_key_id: str, secret_access_key: str, session_token: str | None = None, *, expiration: datetime | None = None
    ) -> None:
        self._identity = AWSCredentialsIdentity(
            access_key_id=access_key_id, secret_access_key=secret_access_key, session_token=session_token, expiration=expiration
        )

    async def identity(self) -> AWSCredentialsIdentity:
        """Return the key."""
        return self._identity

    def forget(self) -> None:
        """Do nothing: there is no other key."""


class Source(Protocol):
    """What can be asked for credentials; blocks, and is called from a thread, one call at a time."""

    source: str
    """Where they were found."""

    def load(self) -> AWSCredentialsIdentity:
        """Return the credentials of now.

        Raises:
            ModelError: there are none.
        """

    def forget(self) -> None:
        """Read everything anew at the next call."""


def utc_now() -> datetime:
    """Return the time by the system's clock."""
    return datetime.now(UTC)


class ChainCredentials:
    """What botocore's chain finds, kept fresh. Belongs to one event loop.

    Args:
        session: a botocore session; None for one of the process's environment.
        region: of STS, unless the environment or the profile names one.
        chain: instead of botocore's.
        now: tells the time that credentials end by.
        monotonic: tells the seconds that pauses are counted in.
    """

    def __init__(
        self,
        session: Session | None = None,
        region: str | None = None,
        *,
        chain: Source | None = None,
        now: Callable[[], datetime] = utc_now,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._chain: Source = chain or CredentialChain(session, region)
        self._now = now
        self._monotonic = monotonic
        self._identity: AWSCredentialsIdentity | None = None
        self._failure: ModelError | None = None
        self._renewal: asyncio.Future[None] | None = None
        self._began_at = 0.0
        self._pause = 0.0
        self._asked_next_at = float("-inf")
        self._forgot_at = float("-inf")

    @property
    def source(self) -> str:
        """Where they were found, for the log."""
        return self._chain.source

    async def identity(self) -> AWSCredentialsIdentity:
        """Return a cached identity, renewed in time.

        Raises:
            ModelError: the chain finds none, or cannot renew what has ended.
        """
        left = self._seconds_left()
        if left < AHEAD_SECONDS:
            self._renew()
        if left < STREAM_SECONDS and self._renewal is not None:
            patience = self._began_at + WAIT_SECONDS - self._monotonic()
            await asyncio.wait({self._renewal}, timeout=max(0.0, patience))
        if self._identity is not None and self._seconds_left() > 0:
            return self._identity
        if self._renewal is not None:
            raise failures.CREDENTIALS_AWAY.error(f"{self.source}: no answer within {WAIT_SECONDS:.0f} s")
        if self._failure is not None:
            raise ModelError(self._failure.code, self._failure.remedy, self._failure.detail)
        raise failures.CREDENTIALS_AWAY.error(f"{self.source}: the credentials have ended, and the source has no new ones yet")

    def forget(self) -> None:
        """Read the credentials anew for the next stream, unless that was done a moment ago."""
        now = self._monotonic()
        if self._renewal is None and now - self._forgot_at >= FORGET_SECONDS:
            self._forgot_at = now
            self._identity = self._failure = None
            self._asked_next_at = now
            self._chain.forget()

    async def aclose(self) -> None:
        """Wait a moment for a renewal that is under way; one that takes longer ends by itself."""
        if self._renewal is not None:
            await asyncio.wait({self._renewal}, timeout=CLOSE_SECONDS)

    def _seconds_left(self) -> float:
        if self._identity is None:
            return float("-inf")
        if self._identity.expiration is None:
            return float("inf")
        return (self._identity.expiration - self._now()).total_seconds()

    def _renew(self) -> None:
        """Begin a renewal, unless one is under way or the last one was a moment ago."""
        if self._renewal is not None or self._monotonic() < self._asked_next_at:
            return
        self._began_at = self._monotonic()
        loop = asyncio.get_running_loop()
        renewal = self._renewal = loop.create_future()

        def load() -> None:
            try:
                outcome: AWSCredentialsIdentity | ModelError = self._chain.load()
            except ModelError as error:
                outcome = error
            try:
                loop.call_soon_threadsafe(self._land, renewal, outcome)
            except RuntimeError:  # the loop is closed: nobody is left who could want to know
                return

        # Not in the loop's executor, whose threads keep the process from ending: a source may take its time.
        threading.Thread(target=load, name="credentials", daemon=True).start()

    def _land(self, renewal: "asyncio.Future[None]", outcome: AWSCredentialsIdentity | ModelError) -> None:
        self._renewal = None
        if isinstance(outcome, ModelError):
            self._failure = outcome
            tell = log.info if self._identity is None else log.warning  # of the first time, whoever asked is told
            tell("credentials.not_renewed", source=self.source, reason=outcome.detail, seconds_left=self._rounded_seconds_left())
        else:
            self._identity, self._failure = outcome, None
            log.info("credentials.loaded", source=self.source, seconds_left=self._rounded_seconds_left())
        left = self._seconds_left()
        lasts = self._failure is None and left >= AHEAD_SECONDS
        self._pause = 0.0 if lasts else min(max(self._pause * 2, FIRST_PAUSE_SECONDS), LONGEST_PAUSE_SECONDS)
        # What was renewed and ends within the pause is not waited for beyond its end.
        pause = self._pause if self._failure is not None else min(self._pause, max(left, FIRST_PAUSE_SECONDS))
        self._asked_next_at = self._monotonic() + pause
        if not renewal.done():
            renewal.set_result(None)

    def _rounded_seconds_left(self) -> int | None:
        left = self._seconds_left()
        return round(left) if abs(left) != float("inf") else None


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


async def find_credentials(session: Session | None = None, region: str | None = None) -> ChainCredentials:
    """Look for credentials as the AWS command line would; off the event loop, since some sources take seconds.

    Args:
        session: a botocore session; None for one of the process's environment.
        region: of STS, unless the environment or the profile names one.

    Returns:
        Credentials to open streams with; also when their source is away just now, since it is asked again for each stream.

    Raises:
        ModelError: there are none, or what was found cannot be used.
    """
    credentials = ChainCredentials(session, region)
    try:
        await credentials.identity()
    except ModelError as error:
        if error.remedy is Remedy.FATAL_CONFIG:
            raise
        log.warning("credentials.away", reason=error.detail)
    return credentials
