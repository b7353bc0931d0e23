"""Is the streaming SDK the one that we were written for? Told in one line, before any of it is imported at the top of a module.

The SDK is a developer preview whose interface changes with each minor version. An older one lacks the bidirectional call, or has other
names for its parts, and would end the server with a traceback that says neither.
"""

from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import Final

from s2s import failures

PACKAGE: Final = "aws-sdk-bedrock-runtime"
NEEDED: Final = (0, 12)
"""Major and minor version; any patch."""
CURE: Final = "run `make setup`, or pip install -r requirements.txt"

PARTS: Final = (
    ("aws_sdk_bedrock_runtime.client", "AsyncBedrockRuntimeClient.invoke_model_with_bidirectional_stream"),
    ("aws_sdk_bedrock_runtime.config", "AsyncBedrockRuntimeConfig.resolve"),
    ("aws_sdk_bedrock_runtime.models", "InvokeModelWithBidirectionalStreamOperationInput"),
    ("aws_sdk_bedrock_runtime.models", "InvokeModelWithBidirectionalStreamOutputChunk"),
    ("smithy_aws_core.aio.protocols", "RestJsonClientProtocol.create_event_publisher"),
    ("smithy_aws_core.aio.protocols", "RestJsonClientProtocol.create_event_receiver"),
    ("smithy_aws_core.identity", "AWSCredentialsIdentity"),
    ("smithy_aws_core.identity", "AWSIdentityProperties"),
    ("smithy_aws_event_stream.aio", "AWSEventReceiver"),
    ("smithy_aws_event_stream.exceptions", "UnmodeledEventError"),
    ("smithy_core.aio.interfaces", "ProtocolSettings"),
    ("smithy_core.aio.interfaces.identity", "IdentityResolver"),
    ("smithy_core.aio.types", "AsyncBytesReader"),
    ("smithy_core.codecs", "Codec"),
    ("smithy_core.exceptions", "CallError"),
    ("smithy_core.exceptions", "SmithyError"),
    ("smithy_core.exceptions", "SmithyIdentityError"),
    ("smithy_core.interceptors", "Interceptor.modify_before_attempt_completion"),
    ("smithy_core.interceptors", "OutputContext"),
    ("smithy_http", "Field"),
    ("smithy_http", "Fields"),
    ("smithy_http.aio.interfaces", "HTTPRequest"),
    ("smithy_http.aio.interfaces", "HTTPResponse"),
    ("smithy_http.interfaces", "HTTPRequestConfiguration"),
)
"""Modules, and what `s2s/bedrock` uses of them."""
CONFIG_FIELDS: Final = ("transport", "protocol", "aws_credentials_identity_resolver", "interceptors")
"""Of the client's configuration: the ways in for our own transport, codec and identity."""
RUNTIME_PARTS: Final = (("awscrt.http", "Http2ClientConnection"),)
"""What BEDROCK_TRANSPORT=crt needs beside."""


def find_problem(*, with_runtime: bool = False) -> str | None:
    """Return one line about what is wrong with the installed SDK, and the cure; None when nothing is.

    Args:
        with_runtime: AWS's Common Runtime is needed too.
    """
    needed = ".".join(str(part) for part in NEEDED)
    try:
        installed = version(PACKAGE)
    except PackageNotFoundError:
        return f"The package {PACKAGE} is not installed, and {needed} is needed: {CURE}"
    if tuple(installed.split(".")[:2]) != tuple(str(part) for part in NEEDED):
        return f"{PACKAGE} {installed} is installed, and {needed} is needed: {CURE}"
    lacking = [f"{module}.{name}" for module, name in (*PARTS, *(RUNTIME_PARTS if with_runtime else ())) if not _is_there(module, name)]
    if not lacking:
        lacking = [f"the field {name} of its configuration" for name in CONFIG_FIELDS if not _is_field(name)]
    if lacking:
        return f"{PACKAGE} {installed} is installed without {lacking[0]}, which its packages of that version have: {CURE}"
    return None


def require(*, with_runtime: bool = False) -> None:
    """Make sure that the SDK is the one that is needed; waits for nothing.

    Args:
        with_runtime: AWS's Common Runtime is needed too.

    Raises:
        ModelError: `model_sdk`, with the line of find_problem.
    """
    problem = find_problem(with_runtime=with_runtime)
    if problem is not None:
        raise failures.SDK.error(problem)


def _is_there(module: str, name: str) -> bool:
    try:
        found: object = import_module(module)
        for part in name.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError, TypeError):  # TypeError: parts of different versions that do not fit each other
        return False
    return True


def _is_field(name: str) -> bool:
    config = import_module("aws_sdk_bedrock_runtime.config").AsyncBedrockRuntimeConfig
    return name in getattr(config, "__dataclass_fields__", {}) or hasattr(config, name)
