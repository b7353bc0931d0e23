"""Exceptions of the SDK, one by one, and what is kept out of the logs."""

import logging
import socket
import subprocess
import sys

import pytest
from aws_sdk_bedrock_runtime import models
from botocore.exceptions import TokenRetrievalError
from smithy_aws_event_stream.exceptions import InvalidEventBytes, UnmodeledEventError
from smithy_core.exceptions import CallError, SmithyError, SmithyIdentityError

from s2s import failures
from s2s.bedrock.crt.sockets import disable_nagle
from s2s.bedrock.faults import model_error
from s2s.bedrock.interfaces import CannotConnect, StreamBroken
from s2s.bedrock.quiet import SDK_LOGGERS, calm_loggers


def unmodeled(status: int, name: str) -> CallError:
    namespace = "com.amazonaws.bedrockruntime"
    return CallError(message=f"Unknown error for operation {namespace}#Invoke - status: {status} - id: {namespace}#{name}")


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (models.ValidationException(message="Received invalid voiceId"), "model_validation"),
        (models.ValidationException(message="Timed out waiting for audio bytes or interactive content. ..."), "model_idle_limit"),
        (models.ThrottlingException(message="slow down"), "model_throttled"),
        (models.ServiceUnavailableException(message="away"), "model_unstable"),
        (models.AccessDeniedException(message="no"), "model_access_denied"),
        (models.ResourceNotFoundException(message="no such model"), "model_unknown_id"),
        (models.ModelNotReadyException(message="wait"), "model_unstable"),
        (models.ModelTimeoutException(message="Model has timed out in processing the request."), "model_time_limit"),
        (models.InternalServerException(message="oops"), "model_unstable"),
        (models.ModelStreamErrorException(message="This request has been blocked by our content filters."), "model_content_blocked"),
        (unmodeled(403, "UnrecognizedClientException"), "model_credentials"),
        (unmodeled(403, "ExpiredTokenException"), "model_credentials"),
        (unmodeled(403, "InvalidSignatureException"), "model_credentials"),
        (unmodeled(403, "SomethingNew"), "model_access_denied"),
        (unmodeled(500, "SomethingNew"), "model_unstable"),
        (CallError(message="Unknown error for operation x - status: 429"), "model_throttled"),
        (CallError(message="no status at all"), "model_lost"),
        (KeyError("brandNewException"), "model_lost"),
        (KeyError("throttlingException"), "model_throttled"),
        (KeyError(), "model_lost"),
        (UnmodeledEventError("InternalFailure", "oops"), "model_unstable"),
        (InvalidEventBytes(), "model_lost"),
        (OSError("Failed to read from stream."), "model_lost"),
        (StreamBroken("reset"), "model_lost"),
        (CannotConnect("refused"), "model_unreachable"),
        (TimeoutError("no room"), "model_stalled"),
        (TokenRetrievalError(provider="sso", error_msg="expired"), "model_credentials"),
        (SmithyIdentityError("none"), "model_credentials"),
        (failures.IDLE.error(), "model_idle_limit"),
        (AttributeError("a bug of the SDK"), "model_lost"),
    ],
)
def test_an_exception_of_the_sdk_has_its_code(error: Exception, code: str) -> None:
    assert code == model_error(error).code


def test_the_sdks_wrapping_of_foreign_exceptions_is_looked_through() -> None:
    wrapped = SmithyError("wrapped")
    wrapped.__cause__ = CannotConnect("refused")

    assert model_error(wrapped).code == "model_unreachable"


def test_the_cause_of_a_failed_read_is_in_the_log() -> None:
    failed = OSError("Failed to read from stream.")
    failed.__cause__ = StreamBroken("AWS_ERROR_HTTP_RST_STREAM_RECEIVED")

    assert "RST_STREAM" in model_error(failed).detail


def test_the_sdk_never_logs_below_info() -> None:
    logging.getLogger("smithy_core").setLevel(logging.DEBUG)
    logging.getLogger("botocore").setLevel(logging.ERROR)
    calm_loggers()
    levels = {name: logging.getLogger(f"{name}.child").getEffectiveLevel() for name in SDK_LOGGERS}

    assert min(levels.values()) >= logging.INFO
    assert levels["botocore"] == logging.ERROR


def test_nagle_is_turned_off_on_the_sockets_of_one_peer_only() -> None:
    with socket.create_server(("127.0.0.1", 0)) as wanted, socket.create_server(("127.0.0.1", 0)) as other:
        port = wanted.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)) as first, socket.create_connection(other.getsockname()) as second:
            changed = (disable_nagle(port), disable_nagle(port))
            options = [one.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0 for one in (first, second)]

    assert (changed, options) == ((1, 0), [True, False])


def test_the_pure_part_loads_no_sdk() -> None:
    program = (
        "import sys, s2s.protocol, s2s.codec, s2s.failures, s2s.models\n"
        "print([name for name in sys.modules if name.split('.')[0] in "
        "('aws_sdk_bedrock_runtime', 'smithy_core', 'awscrt', 'botocore', 'boto3', 'asyncio', 'aiohttp')])"
    )
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert loaded.stdout.strip() == "[]"
