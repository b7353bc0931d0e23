"""Who may come in: the check of a request's signature, the same for every service of the emulator."""

import hashlib
import hmac
from collections.abc import Mapping

from nova_sonic_local.envelope import Envelope, SignatureCheck
from nova_sonic_local.options import Options
from nova_sonic_local.signing import (
    MISMATCH,
    STREAM_PAYLOAD,
    Credential,
    MessageChain,
    SignatureError,
    parse_authorization,
    sign_request,
)

UNSIGNED_PAYLOAD = "UNSIGNED-PAYLOAD"


def open_envelope(options: Options, headers: Mapping[str, str], event_type: str = "chunk") -> Envelope:
    """Return what unwraps the events of a stream, after the check of its head.

    Args:
        options: of the emulator.
        headers: of the request, with pseudo-headers.
        event_type: of the events that there may be.

    Raises:
        SignatureError: the signature is missing or wrong.
    """
    found = _check(options, headers, headers.get("x-amz-content-sha256", STREAM_PAYLOAD))
    if found is None:
        return Envelope(options.signatures, event_type=event_type)
    credential, secret = found
    chain = MessageChain(secret, credential.region, credential.service, credential.signature)
    return Envelope(options.signatures, chain, event_type=event_type)


def check_body(options: Options, headers: Mapping[str, str], body: bytes) -> None:
    """Check the signature of a request that is all there.

    Raises:
        SignatureError: it is missing or wrong, also when it is of another body.
    """
    digest = hashlib.sha256(body).hexdigest()
    announced = headers.get("x-amz-content-sha256", digest)
    _check(options, headers, announced)
    if options.signatures is SignatureCheck.STRICT and announced not in (digest, UNSIGNED_PAYLOAD):
        raise SignatureError("InvalidSignatureException", MISMATCH)


def _check(options: Options, headers: Mapping[str, str], payload: str) -> tuple[Credential, str] | None:
    """Return who signed, with the secret, when the check is strict."""
    if options.signatures is SignatureCheck.OFF:
        return None
    credential = parse_authorization(headers.get("authorization"))
    if options.signatures is SignatureCheck.LENIENT:
        return None
    secret = options.secrets.get(credential.access_key)
    if secret is None:
        raise SignatureError("UnrecognizedClientException", "The security token included in the request is invalid.")
    signed = {"host": headers.get(":authority", "")} | dict(headers)
    right = sign_request(credential, secret, "POST", headers[":path"], signed, payload=payload)
    if not hmac.compare_digest(right.encode(), credential.signature.encode()):
        raise SignatureError("InvalidSignatureException", MISMATCH)
    return credential, secret
