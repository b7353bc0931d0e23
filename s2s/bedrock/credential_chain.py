"""botocore's credential chain as one blocking call that ends in bounded time and tells until when its answer holds.

The SDK's own chain knows neither SSO nor web identity nor, without add-ons, the container endpoint of ECS; botocore knows them all:
environment, profile (assume-role, web identity, SSO, keys, process), container, instance metadata. Some of its habits are corrected here:
STS and SSO are waited for a minute at a time, a `credential_process` for ever, the refusal of a container's endpoint comes after three
seconds, and what instance metadata says about the end of a key is put later by up to 25 minutes.
"""

import logging
import subprocess
from datetime import UTC, datetime
from typing import Any, Final

from botocore.config import Config
from botocore.credentials import ContainerProvider, InstanceMetadataProvider, ProcessProvider, RefreshableCredentials
from botocore.credentials import Credentials as BotocoreCredentials
from botocore.exceptions import ClientError, CredentialRetrievalError, HTTPClientError, MetadataRetrievalError
from botocore.exceptions import ConnectionError as NoConnection
from botocore.session import Session
from botocore.utils import ContainerMetadataFetcher, InstanceMetadataFetcher, resolve_imds_endpoint_mode
from smithy_aws_core.identity import AWSCredentialsIdentity

from s2s import failures
from s2s.errors import ModelError

AHEAD_SECONDS: Final = 900
"""Renew when less than this is left: botocore's own advisory time, below which it is willing to."""
CONNECT_SECONDS: Final = 2
READ_SECONDS: Final = 5
ATTEMPTS: Final = 2
"""For STS and SSO; botocore's own are 60 s, 60 s and 5, which one renewal that hangs would take from all that come after it."""
PROCESS_SECONDS: Final = 30.0
"""A `credential_process` is ended after this; some sign in over the network, none of them asks anybody anything."""
_TEMPORARY: Final = (NoConnection, HTTPClientError, MetadataRetrievalError, CredentialRetrievalError, TimeoutError)
"""What a source that is away makes botocore raise; the rest does not get better by itself."""
_SERVER_ERRORS: Final = 500
_TOO_MANY: Final = 429


class CredentialChain:
    """Finds credentials and renews them. Blocking: call it from a thread, one call at a time.

    Args:
        session: a botocore session; None for one of the process's environment, made at the first call.
        region: of STS, unless the environment or the profile names one.
    """

    def __init__(self, session: Session | None = None, region: str | None = None) -> None:
        self.source = "botocore's chain"
        self._given = session
        self._region = region
        self._session: Session | None = None
        self._found: BotocoreCredentials | None = None

    def load(self) -> AWSCredentialsIdentity:
        """Return the credentials of now; what has less than 15 minutes left is renewed.

        Raises:
            ModelError: `model_credentials`, with the cause.
        """
        try:
            return self._load()
        except ModelError:
            raise
        except Exception as error:  # whatever a file, a process or an endpoint made botocore raise: it is not one family
            kind = failures.CREDENTIALS_AWAY if _is_temporary(error) else failures.CREDENTIALS
            raise kind.error(f"{self._named()}{type(error).__name__}: {' '.join(str(error).split())}") from error

    def forget(self) -> None:
        """Read files and environment anew at the next call."""
        self._session = self._found = None

    def _load(self) -> AWSCredentialsIdentity:
        if self._found is None:
            self._session = self._given or _bounded_session(self._region)
            self._found = self._session.get_credentials()
            if isinstance(self._found, RefreshableCredentials):
                # Else botocore keeps the cause of a renewal that fails 10 to 15 minutes ahead to itself.
                self._found._mandatory_refresh_timeout = AHEAD_SECONDS  # type: ignore[attr-defined]  # noqa: SLF001 - there is no other way
        if self._found is None:
            self.forget()
            raise failures.CREDENTIALS.error("botocore's chain finds no credentials")
        frozen = self._found.get_frozen_credentials()  # renews what is due
        if not frozen.access_key or not frozen.secret_key:
            raise failures.CREDENTIALS.error(f"the credentials of {self._found.method} are empty")
        self.source = str(self._found.method)
        return AWSCredentialsIdentity(
            access_key_id=frozen.access_key,
            secret_access_key=frozen.secret_key,
            session_token=frozen.token or None,
            expiration=_end_of(self._found),
        )

    def _named(self) -> str:
        return f"{self._found.method}: " if self._found is not None else ""


class OwnEndOfInstanceKeys(InstanceMetadataFetcher):
    """Instance metadata whose keys end when it says so, and not 17 to 25 minutes from now.

    botocore moves the end of each key that has less than that left, so as not to ask too often; we have our own pause between renewals, and
    a stream has to know. A key that has ended is still given a new end, as AWS wants it for the hours in which metadata cannot renew.
    """

    def _evaluate_expiration(self, credentials: dict[str, Any]) -> None:
        told = credentials["expiry_time"]
        super()._evaluate_expiration(credentials)  # type: ignore[misc]  # the stubs leave out what begins with an underscore
        try:
            until = datetime.strptime(told, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
        except (TypeError, ValueError):
            return
        if until > datetime.now(UTC):
            credentials["expiry_time"] = told


class PromptContainer(ContainerMetadataFetcher):
    """The endpoint of a container, asked twice and not for three seconds and more before its refusal is told."""

    RETRY_ATTEMPTS = ATTEMPTS
    SLEEP_TIME = 0


class BoundedProcess(subprocess.Popen[bytes]):
    """A process that is killed when it takes too long."""

    def communicate(self, input: Any = None, timeout: float | None = None) -> tuple[Any, Any]:  # noqa: A002 - the name is Popen's
        """Return its output.

        Raises:
            CredentialRetrievalError: it did not end in time.
        """
        try:
            return super().communicate(input, timeout or PROCESS_SECONDS)
        except subprocess.TimeoutExpired as error:
            self.kill()
            self.wait()
            raise CredentialRetrievalError(
                provider=ProcessProvider.METHOD, error_msg=f"the process did not end within {PROCESS_SECONDS:.0f} s"
            ) from error


def _bounded_session(region: str | None) -> Session:
    session = Session()
    logging.getLogger("botocore.credentials").setLevel(logging.ERROR)  # it writes a traceback where our own line says as much
    limits = Config(connect_timeout=CONNECT_SECONDS, read_timeout=READ_SECONDS, retries={"total_max_attempts": ATTEMPTS})
    session.set_default_client_config(limits)
    if region and not session.get_config_variable("region"):
        session.set_config_variable("region", region)
    chain = session.get_component("credential_provider")
    profile = session.get_config_variable("profile") or "default"
    for own in (
        ProcessProvider(profile_name=profile, load_config=lambda: session.full_config, popen=BoundedProcess),
        ContainerProvider(fetcher=PromptContainer()),  # type: ignore[arg-type]  # the stubs name another class
        InstanceMetadataProvider(iam_role_fetcher=_instance_metadata(session)),
    ):
        chain.insert_before(own.METHOD, own)
        chain.providers.pop([each.METHOD for each in chain.providers].index(own.METHOD) + 1)
    return session


def _instance_metadata(session: Session) -> OwnEndOfInstanceKeys:
    # As botocore.credentials.create_credential_resolver makes it.
    return OwnEndOfInstanceKeys(
        timeout=session.get_config_variable("metadata_service_timeout"),
        num_attempts=session.get_config_variable("metadata_service_num_attempts"),
        user_agent=session.user_agent(),
        config={
            "ec2_metadata_service_endpoint": session.get_config_variable("ec2_metadata_service_endpoint"),
            "ec2_metadata_service_endpoint_mode": resolve_imds_endpoint_mode(session),
            "ec2_metadata_v1_disabled": session.get_config_variable("ec2_metadata_v1_disabled"),
        },
    )


def _end_of(found: BotocoreCredentials) -> datetime | None:
    if not isinstance(found, RefreshableCredentials):
        return None
    end: datetime | None = getattr(found, "_expiry_time", None)  # botocore tells it nowhere else
    return end.astimezone(UTC) if end is not None else None


def _is_temporary(error: Exception) -> bool:
    if isinstance(error, ClientError):
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        return status >= _SERVER_ERRORS or status == _TOO_MANY or "Throttling" in error.response.get("Error", {}).get("Code", "")
    return isinstance(error, _TEMPORARY)
