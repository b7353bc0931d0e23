"""The line that a person reads: each with the words that the service, botocore or our own transport use, as they were seen."""

import re

import pytest

from s2s import failures
from s2s.cures import CURES, LINE_CHARACTERS, Place, explain
from s2s.errors import ModelError, Remedy
from s2s.failures import Failure

PLACE = Place(model_id="amazon.nova-2-sonic-v1:0", region="us-east-1", endpoint="https://model.example", ca_file="/etc/ca.pem")
ARN = "arn:aws:bedrock:us-east-1::foundation-model/amazon.nova-2-sonic-v1:0"

ROWS = [
    # (code, detail, what the line has to name)
    ("model_credentials", "botocore's chain finds no credentials", ("AWS_ACCESS_KEY_ID", "AWS_PROFILE", "python server.py --local")),
    ("model_credentials", "ProfileNotFound: The config profile (nowhere) could not be found", ("AWS_PROFILE", "nowhere")),
    (
        "model_credentials",
        "PartialCredentialsError: Partial credentials found in env, missing: AWS_SECRET_ACCESS_KEY",
        ("AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY", "missing: AWS_SECRET_ACCESS_KEY"),
    ),
    ("model_credentials", "sso: UnauthorizedSSOTokenError: The SSO session associated with this profile has expired", ("aws sso login",)),
    ("model_credentials", "sso: TokenRetrievalError: Error when retrieving token from sso: Token has expired", ("aws sso login",)),
    (
        "model_credentials",
        "InvalidSignatureException: Signature expired: 20260101T000000Z is now earlier than 20260101T001000Z",
        ("clock",),
    ),
    ("model_credentials", "ExpiredTokenException: The security token included in the request is expired", ("AWS_SESSION_TOKEN", "expired")),
    ("model_credentials", "env: RuntimeError: Credentials were refreshed, but the refreshed credentials are still expired.", ("expired",)),
    (
        "model_credentials",
        "InvalidSignatureException: The request signature we calculated does not match the signature you provided.",
        ("AWS_SECRET_ACCESS_KEY",),
    ),
    (
        "model_credentials",
        "UnrecognizedClientException: The security token included in the request is invalid.",
        ("AWS_ACCESS_KEY_ID", "us-east-1"),
    ),
    ("model_credentials", "OptInRequired: You are not subscribed to this service", ("us-east-1", "AWS_REGION")),
    (
        "model_credentials",
        "assume-role: ClientError: An error occurred (AccessDenied) when calling the AssumeRole operation: not authorized",
        ("trust policy", "sts:AssumeRole"),
    ),
    ("model_credentials", "CredentialRetrievalError: Error when retrieving credentials from custom-process: oops", ("credential_process",)),
    (
        "model_credentials",
        "assume-role-with-web-identity: FileNotFoundError: [Errno 2] No such file or directory: '/var/run/token'",
        ("AWS_WEB_IDENTITY_TOKEN_FILE", "/var/run/token"),
    ),
    ("model_credentials", "container-role: no answer within 3 s", ("container", "does not answer")),
    ("model_credentials", 'assume-role: EndpointConnectionError: Could not connect to the endpoint URL: "https://x"', ("STS", "https://x")),
    ("model_credentials", "something new", ("AWS_PROFILE", "something new")),
    (
        "model_access_denied",
        "AccessDeniedException: You don't have access to the model with the specified model ID.",
        ("Model access", "us-east-1"),
    ),
    (
        "model_access_denied",
        "AccessDeniedException: User: arn:aws:iam::1:user/u is not authorized: explicit deny in a service control policy",
        ("organisation", ARN),
    ),
    (
        "model_access_denied",
        "AccessDeniedException: User: arn:aws:iam::1:user/u is not authorized to perform: bedrock:InvokeModel on resource: x",
        ("bedrock:InvokeModel", ARN),
    ),
    ("model_unknown_id", "ResourceNotFoundException: This model version has reached the end of its life.", ("MODEL_ID",)),
    ("model_unknown_id", "ValidationException: The provided model identifier is invalid.", ("MODEL_ID", "AWS_REGION", PLACE.model_id)),
    ("model_unreachable", "the proxy http://proxy:3128 answered 407 when asked for model.example:443", ("HTTPS_PROXY", "407")),
    ("model_unreachable", "no connection to model.example:443: no such host", ("AWS_REGION", "AWS_ENDPOINT_URL_BEDROCK_RUNTIME")),
    ("model_unreachable", "no connection to model.example:443: AWS_IO_DNS_INVALID_NAME: Host name was invalid", ("name service",)),
    ("model_unreachable", "no connection to model.example:443: refused", ("Nobody listens", PLACE.endpoint)),
    ("model_unreachable", "no connection to x:443: AWS_IO_SOCKET_CONNECTION_REFUSED: socket connection refused", ("Nobody listens",)),
    ("model_unreachable", "no connection to x:443: no TLS there (WRONG_VERSION_NUMBER)", ("no TLS with HTTP/2",)),
    ("model_unreachable", "no connection to model.example:443 within 2.5 s: no answer", ("firewall", "VPC endpoint", "HTTPS_PROXY")),
    ("model_timeout_opening", "no answer within 2.8 s", (PLACE.endpoint, "AWS_ENDPOINT_URL_BEDROCK_RUNTIME")),
    ("model_untrusted", "the certificate authority's file /etc/ca.pem cannot be used: no certificate", ("BEDROCK_CA_FILE", "/etc/ca.pem")),
    ("model_untrusted", "the certificate of x is not trusted: wrong host (Hostname mismatch)", ("another host",)),
    ("model_untrusted", "the certificate of x is not trusted: expired (certificate has expired)", ("clock",)),
    ("model_untrusted", "the certificate of x is not trusted: unknown authority (self-signed)", ("BEDROCK_CA_FILE",)),
    ("model_sdk", "aws-sdk-bedrock-runtime 0.7.0 is installed, and 0.12 is needed: run `make setup`", ("0.7.0", "make setup")),
    ("model_throttled", "ThrottlingException: Too many requests", ("quota",)),
    ("model_validation", "ValidationException: Received invalid voiceId: nobody", ("voice", "assistants/")),
    ("model_validation", "ValidationException: Input is invalid", ("MODEL_ID",)),
    ("model_unstable", "System instability detected.", ("docs/reference/errors.md", "System instability")),
]


@pytest.mark.parametrize(("code", "detail", "named"), ROWS)
def test_the_line_names_the_cause_and_the_cure(code: str, detail: str, named: tuple[str, ...]) -> None:
    line = explain(ModelError(code, Remedy.FATAL_CONFIG, detail), PLACE)

    assert [word for word in named if word not in line] == []
    assert "\n" not in line
    assert "{" not in line


def test_every_cure_is_found_by_some_words() -> None:
    found = {explain(ModelError(code, Remedy.FATAL_CONFIG, detail), PLACE) for code, detail, _ in ROWS}
    shapes = [".*".join(map(re.escape, re.split(r"\{\w+\}", " ".join(cure.line.split())))) for cure in CURES]

    assert [shape for shape in shapes if not any(re.fullmatch(shape, line) for line in found)] == []


def test_every_failure_that_only_a_person_can_cure_has_a_line_of_its_own() -> None:
    fatal = {each.code for each in vars(failures).values() if isinstance(each, Failure) and each.remedy is Remedy.FATAL_CONFIG}

    assert fatal <= {cure.code for cure in CURES}


def test_words_of_many_lines_become_one_of_bounded_length() -> None:
    line = explain(ModelError("model_validation", Remedy.FATAL_CONFIG, "first\n  second\r\n" + "x" * 1000), PLACE)

    assert "first second" in line
    assert len(line) == LINE_CHARACTERS


def test_a_model_given_by_its_arn_is_named_by_it() -> None:
    arn = "arn:aws:bedrock:us-east-1:123456789012:inference-profile/mine"
    line = explain(ModelError("model_access_denied", Remedy.FATAL_CONFIG, ""), Place(model_id=arn, region="us-east-1", endpoint="x"))

    assert f" {arn}," in line
