"""Asks AWS one thing and returns what came of it, with cause and cure for each way in which it fails.

Messages of the service are not passed on: they can quote keys of records. Error codes are.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from botocore.exceptions import BotoCoreError, ClientError

from scripts.upkeep.findings import Finding, Weight

_KEYS: Final = (
    "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_PROFILE, or give the machine a role; docs/how-to/run-on-aws.md has all ways"
)
_WRONG_KEY: Final = "the secret key belongs to another access key, or the clock is wrong: compare `date -u` with the real time"
_NETWORK: Final = "check the endpoint, the region in AWS_DEFAULT_REGION, DNS, security groups and VPC endpoints"
_LATER: Final = "wait and look again; AWS's own state is on health.aws.amazon.com"

CURES: Final[Mapping[str, tuple[str, str]]] = {
    "NoCredentialsError": ("there are no AWS credentials", _KEYS),
    "PartialCredentialsError": ("half of the AWS credentials is missing", _KEYS),
    "CredentialRetrievalError": ("the source of the credentials fails", "run the credential process or `aws sso login` by hand"),
    "ProfileNotFound": ("AWS_PROFILE names no profile", "correct it, or run `aws configure --profile NAME`"),
    "TokenRetrievalError": ("the single sign-on has ended", "run `aws sso login`"),
    "UnauthorizedSSOTokenError": ("the single sign-on has ended", "run `aws sso login`"),
    "EndpointConnectionError": ("the endpoint cannot be reached", _NETWORK),
    "ConnectionClosedError": ("the endpoint closes the connection", _NETWORK),
    "ConnectTimeoutError": ("the endpoint does not take connections in time", _NETWORK),
    "ReadTimeoutError": ("the endpoint does not answer in time", _NETWORK),
    "ProxyConnectionError": ("the proxy cannot be reached", "correct HTTPS_PROXY, or name the endpoint in NO_PROXY"),
    "SSLError": ("the certificate of the endpoint is not trusted", "name the authority of your network in AWS_CA_BUNDLE"),
    "HTTPClientError": ("what answers does not speak HTTP as AWS does", _NETWORK),
    "ResponseParserError": ("what answers is no such service of AWS", _NETWORK),
    "UnrecognizedClientException": ("AWS does not know the access key", "make a new key, or correct AWS_ACCESS_KEY_ID and its region"),
    "InvalidClientTokenId": ("AWS does not know the access key", "make a new key, or correct AWS_ACCESS_KEY_ID"),
    "InvalidAccessKeyId": ("AWS does not know the access key", "make a new key, or correct AWS_ACCESS_KEY_ID"),
    "InvalidSignatureException": ("the signature is wrong", _WRONG_KEY),
    "SignatureDoesNotMatch": ("the signature is wrong", _WRONG_KEY),
    "RequestTimeTooSkewed": ("the clock is wrong", "set the clock of this machine"),
    "IncompleteSignatureException": ("the signature is incomplete", _KEYS),
    "MissingAuthenticationTokenException": ("the request is not signed", _KEYS),
    "ExpiredTokenException": ("the temporary credentials have ended", "sign in again, or renew AWS_SESSION_TOKEN"),
    "ExpiredToken": ("the temporary credentials have ended", "sign in again, or renew AWS_SESSION_TOKEN"),
    "ThrottlingException": ("AWS asks for fewer requests", _LATER),
    "RequestLimitExceeded": ("AWS asks for fewer requests", _LATER),
    "ProvisionedThroughputExceededException": ("the capacity of the table is used up", "raise it, or pay by request"),
    "InternalServerError": ("AWS has a fault", _LATER),
    "ServiceUnavailable": ("AWS has a fault", _LATER),
}
DENIED: Final = frozenset({"AccessDeniedException", "AccessDenied", "AuthorizationError", "AuthorizationErrorException", "403"})
MISSING: Final = frozenset({"ResourceNotFoundException", "NoSuchBucket", "NotFound", "NotFoundException", "404"})


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of a request."""

    members: Mapping[str, Any]
    code: str = ""
    """Of the error; empty when there was none."""

    @property
    def is_denied(self) -> bool:
        """Whether the policy forbids it."""
        return self.code in DENIED

    @property
    def is_known(self) -> bool:
        """Whether the request failed for a reason that any other would fail for as well."""
        return self.code in CURES


async def ask(operation: Callable[..., Any], **members: Any) -> Answer:
    """Send a request, off the event loop, and return what came of it."""
    return await asyncio.to_thread(_ask, operation, members)


def _ask(operation: Callable[..., Any], members: Mapping[str, Any]) -> Answer:
    try:
        return Answer(operation(**members))
    except ClientError as error:
        return Answer(error.response, str(error.response.get("Error", {}).get("Code", "unknown")))
    except BotoCoreError as error:
        return Answer({}, type(error).__name__)


def explained(part: str, code: str, where: str) -> Finding:
    """Return the finding for a request that failed."""
    cause, cure = CURES.get(code, (f"it answers {code}", "look that code up in the API reference of the service"))
    return Finding(part, Weight.PROBLEM, f"{where}: {cause} ({code})", cure)
