"""What a person can do about a failure of the model: one line with the cause and the cure, from the code and the service's words.

Causes are the service's own words, from the Bedrock user guide ("Troubleshooting Amazon Bedrock API error codes"), the IAM user guide
("Signature Version 4 troubleshooting") and the messages of botocore; what they look like is in tests/s2s/test_cures.py.
"""

import re
from dataclasses import dataclass
from typing import Final

from s2s.errors import ModelError

LINE_CHARACTERS: Final = 400


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """What was asked for, for the lines to name."""

    model_id: str
    region: str
    endpoint: str
    ca_file: str | None = None


@dataclass(frozen=True, slots=True)
class Cure:
    """One line, for a code and what its detail says."""

    code: str
    says: str
    """Regular expression that the detail has to contain, in any case; empty for all the rest of the code."""
    line: str
    """Cause: cure. May name {model_id}, {region}, {endpoint}, {ca_file} and {detail}."""


_KEYS: Final = "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"

CURES: Final = (
    # Nobody to sign as.
    Cure(
        "model_credentials",
        "finds no credentials",
        f"No AWS credentials were found: set {_KEYS}, AWS_PROFILE or a role, or start without AWS by: python server.py --local",
    ),
    Cure(
        "model_credentials",
        r"ProfileNotFound|config profile",
        "AWS_PROFILE names a profile that the files of AWS do not have: `aws configure list-profiles` shows those there are ({detail})",
    ),
    Cure("model_credentials", "PartialCredentials", f"Half of a key is set: {_KEYS} belong together ({{detail}})"),
    Cure(
        "model_credentials",
        r"UnauthorizedSSOToken|SSOTokenLoad|SSO.*(expired|refresh)|expired.*SSO|TokenRetrieval|LoginRefreshRequired",
        "The single sign-on has ended: sign in again by `aws sso login` with the same AWS_PROFILE ({detail})",
    ),
    Cure(
        "model_credentials",
        r"Signature expired|not yet current|Signature not yet|RequestTimeTooSkewed|RequestExpired",
        "This machine's clock is wrong, and AWS takes no signature of another time: set the clock (timedatectl set-ntp true)",
    ),
    Cure(
        "model_credentials",
        r"expired|have ended",
        "The AWS credentials have expired: get new ones (`aws sso login`, or keys with their AWS_SESSION_TOKEN) and start again ({detail})",
    ),
    Cure(
        "model_credentials",
        r"InvalidSignature|SignatureDoesNotMatch|signature we calculated",
        "The signature is wrong: check that AWS_SECRET_ACCESS_KEY is whole and belongs to the key, and this machine's clock",
    ),
    Cure(
        "model_credentials",
        r"UnrecognizedClient|InvalidClientTokenId|security token.*invalid",
        "AWS does not know this access key: check AWS_ACCESS_KEY_ID, AWS_SESSION_TOKEN for temporary keys (none for others), and that the "
        "account uses the region {region}",
    ),
    Cure(
        "model_credentials",
        r"OptInRequired|not subscribed",
        "The account may not use Bedrock in {region}: enable the region in the account, or choose another AWS_REGION",
    ),
    Cure(
        "model_credentials",
        r"^assume-role.*AccessDenied|AccessDenied.*sts:AssumeRole|not authorized to perform: sts:",
        "The role cannot be assumed: its trust policy has to allow sts:AssumeRole to whoever asks ({detail})",
    ),
    Cure(
        "model_credentials",
        r"^custom-process|credential_process|CredentialRetrievalError.*custom-process",
        "credential_process of the profile gives no credentials: run it by hand to see why ({detail})",
    ),
    Cure(
        "model_credentials",
        r"FileNotFoundError|PermissionError",
        "A file that the credentials need cannot be read: check AWS_WEB_IDENTITY_TOKEN_FILE, AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE "
        "and the profile ({detail})",
    ),
    Cure(
        "model_credentials",
        r"no answer|could not connect|EndpointConnection|Timeout|timed out|container metadata|MetadataRetrieval",
        "What gives out the credentials does not answer: check the network to STS, SSO, the container's endpoint or instance metadata "
        "({detail})",
    ),
    Cure(
        "model_credentials",
        "",
        f"The AWS credentials cannot be used: check {_KEYS}, AWS_SESSION_TOKEN, AWS_PROFILE or the role ({{detail}})",
    ),
    # Signed, and not allowed.
    Cure(
        "model_access_denied",
        r"don't have access to the model|model access|not have access to the model",
        "The account has no access to {model_id} in {region}: grant it on the page Model access of the Bedrock console, in that region",
    ),
    Cure(
        "model_access_denied",
        "service control policy|permissions boundary|explicit deny",
        "A policy of the organisation or the account forbids the model: it has to allow bedrock:InvokeModel on {arn} ({detail})",
    ),
    Cure(
        "model_access_denied",
        "",
        "The key may not use the model: allow the action bedrock:InvokeModel on {arn}, and grant the account access to the model "
        "in {region} (Bedrock console, Model access)",
    ),
    # No such model.
    Cure("model_unknown_id", "end of its life", "{model_id} is no longer served: set MODEL_ID to a newer model, amazon.nova-2-sonic-v1:0"),
    Cure("model_unknown_id", "", "There is no model {model_id} for a conversation in {region}: check MODEL_ID and AWS_REGION"),
    # Nobody there.
    Cure(
        "model_unreachable",
        "the proxy",
        "The proxy on the way to {endpoint} does not connect: check HTTPS_PROXY, and NO_PROXY for an endpoint of your own ({detail})",
    ),
    Cure(
        "model_unreachable",
        r"no such host|DNS|name service|name or service not known|nodename nor servname",
        "The name of {endpoint} is unknown: check AWS_REGION or AWS_ENDPOINT_URL_BEDROCK_RUNTIME, and the name service of this network",
    ),
    Cure(
        "model_unreachable",
        r"refused",
        "Nobody listens at {endpoint}: check AWS_ENDPOINT_URL_BEDROCK_RUNTIME, and that the service runs there",
    ),
    Cure(
        "model_unreachable",
        r"no TLS there|TLS_ERROR|TLS handshake|ALPN|HTTP/2",
        "What listens at {endpoint} is not the model's service (no TLS with HTTP/2): check AWS_ENDPOINT_URL_BEDROCK_RUNTIME ({detail})",
    ),
    Cure(
        "model_unreachable",
        "",
        "{endpoint} cannot be reached: check this network's way out (route, firewall, VPC endpoint, HTTPS_PROXY), AWS_REGION and "
        "AWS_ENDPOINT_URL_BEDROCK_RUNTIME ({detail})",
    ),
    Cure(
        "model_timeout_opening",
        "",
        "{endpoint} takes the connection and does not answer in time: try again, then check AWS_ENDPOINT_URL_BEDROCK_RUNTIME",
    ),
    # There, and not believed.
    Cure("model_untrusted", "cannot be used", "BEDROCK_CA_FILE names no usable PEM file of certificates: check {ca_file} ({detail})"),
    Cure(
        "model_untrusted",
        "wrong host|mismatch",
        "The certificate of {endpoint} is for another host: use the name that it has in AWS_ENDPOINT_URL_BEDROCK_RUNTIME ({detail})",
    ),
    Cure(
        "model_untrusted",
        r"\bexpired\b|not valid yet",
        "The certificate of {endpoint} is not valid today: check this machine's clock, then renew the certificate ({detail})",
    ),
    Cure(
        "model_untrusted",
        "",
        "The certificate of {endpoint} is not signed by an authority that is trusted here: set BEDROCK_CA_FILE to the PEM file of its "
        "authority ({detail})",
    ),
    # The rest.
    Cure("model_sdk", "", "{detail}"),
    Cure("model_throttled", "", "Bedrock takes no more requests now: wait, or ask for a higher quota (Service Quotas console) ({detail})"),
    Cure(
        "model_validation",
        "voice",
        "The model lacks the assistant's voice: check MODEL_ID, and the voices in assistants/ ({detail})",
    ),
    Cure("model_validation", "", "Bedrock refuses the request: check MODEL_ID and the assistant's file ({detail})"),
    Cure("", "", "The model's stream failed: try again, and look the code up in docs/reference/errors.md ({detail})"),
)
"""Looked through in this order; the last one fits everything."""


def explain(error: ModelError, place: Place) -> str:
    """Return one line: the cause, and what to do about it."""
    cure = next(cure for cure in CURES if cure.code in {"", error.code} and re.search(cure.says, error.detail, re.IGNORECASE))
    line = cure.line.format(
        model_id=place.model_id,
        region=place.region,
        endpoint=place.endpoint,
        ca_file=place.ca_file or "the system's store",
        arn=_arn(place),
        detail=error.detail or error.code,
    )
    return " ".join(line.split())[:LINE_CHARACTERS]


def _arn(place: Place) -> str:
    return place.model_id if place.model_id.startswith("arn:") else f"arn:aws:bedrock:{place.region}::foundation-model/{place.model_id}"
