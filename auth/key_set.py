"""The keys that an issuer publishes (RFC 7517), as far as tokens of Amazon Cognito are signed with them. Pure."""

import re
from collections.abc import Mapping
from typing import Final

import jwt
import orjson
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

ALGORITHM: Final = "RS256"
"""The one that Cognito signs with, and the only one that is accepted: what a token says of its own is no choice (RFC 8725 3.1)."""
LIMIT_BYTES: Final = 64 * 1024
"""Cognito's two keys have 0.8 KB."""
KEYS_LIMIT: Final = 20
LEAST_BITS: Final = 2_048
"""RFC 7518 3.3."""
MOST_BITS: Final = 4_096
"""A signature of twice as many takes four times as long to check, on the event loop."""
EXPONENT_LIMIT: Final = 2**32
KID: Final = re.compile(r"[\x21-\x7e]{1,128}")


class KeySetUnusable(Exception):
    """There is no key in it that tokens could be checked with."""


def parse_key_set(body: bytes) -> Mapping[str, RSAPublicKey]:
    """Return the keys for signatures by their names; keys for something else are left out.

    Raises:
        KeySetUnusable: there is none, or it is no set of keys.
    """
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise KeySetUnusable("it is not JSON") from None
    listed = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(listed, list) or len(listed) > KEYS_LIMIT:
        raise KeySetUnusable(f"it is no list of up to {KEYS_LIMIT} keys")
    found = {str(entry["kid"]): key for entry in listed if isinstance(entry, dict) and (key := _usable(entry)) is not None}
    if not found:
        raise KeySetUnusable(f"it has no key for {ALGORITHM}")
    return found


def _usable(entry: Mapping[str, object]) -> RSAPublicKey | None:
    kid, kind = entry.get("kid"), (entry.get("kty"), entry.get("use", "sig"), entry.get("alg", ALGORITHM))
    if kind != ("RSA", "sig", ALGORITHM) or not isinstance(kid, str) or not KID.fullmatch(kid):
        return None
    try:
        key = jwt.PyJWK({"kty": "RSA", "n": entry.get("n"), "e": entry.get("e")}, ALGORITHM).key
    except (jwt.PyJWTError, ValueError, TypeError, AttributeError):  # what its parsers raise for fields of wrong kinds
        return None
    is_sound = isinstance(key, RSAPublicKey) and LEAST_BITS <= key.key_size <= MOST_BITS and key.public_numbers().e < EXPONENT_LIMIT
    return key if is_sound else None
