"""Encryption of what is stored of conversations: AES-256-GCM, with a fresh nonce for each text and keys that can be changed.

Sealed text: the id of the key, a dot, and in base64 the nonce of 96 bits, the ciphertext and its tag (NIST SP 800-38D). Random nonces allow
2^32 texts for one key: 136 years at one a second. What a text belongs to is authenticated with it, so that nobody can give one record the
contents of another.
"""

import binascii
import hashlib
import os
from base64 import b64decode, b64encode
from collections.abc import Sequence
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

KEY_BYTES: Final = 32
NONCE_BYTES: Final = 12
_KEY_ID_CHARACTERS: Final = 8


class CannotOpen(Exception):
    """The text was sealed with another key, for something else, or was changed."""


class Cipher:
    """Seals texts with its first key, and opens those that were sealed with any.

    Args:
        keys: of KEY_BYTES each; the first is the newest.

    Raises:
        ValueError: there is none, or one is of another length.
    """

    def __init__(self, keys: Sequence[bytes]) -> None:
        if not keys or any(len(key) != KEY_BYTES for key in keys):
            raise ValueError(f"a key has {KEY_BYTES} bytes")
        self._newest = _key_id(keys[0])
        self._keys = {_key_id(key): AESGCM(key) for key in reversed(keys)}

    def seal(self, text: bytes, belongs_to: str) -> str:
        """Return the text so that only holders of the key can read it, and only as what belongs there."""
        nonce = os.urandom(NONCE_BYTES)
        sealed = self._keys[self._newest].encrypt(nonce, text, belongs_to.encode())
        return f"{self._newest}.{b64encode(nonce + sealed).decode()}"

    def open(self, sealed: str, belongs_to: str) -> bytes:
        """Return what was sealed.

        Raises:
            CannotOpen: not with these keys, or not for this.
        """
        key_id, _, encoded = sealed.partition(".")
        if key_id not in self._keys:
            raise CannotOpen("sealed with another key")
        try:
            data = b64decode(encoded, validate=True)
            return self._keys[key_id].decrypt(data[:NONCE_BYTES], data[NONCE_BYTES:], belongs_to.encode())
        except (binascii.Error, ValueError, InvalidTag):
            raise CannotOpen("not what was sealed") from None


def _key_id(key: bytes) -> str:
    return hashlib.sha256(b"key id" + key).hexdigest()[:_KEY_ID_CHARACTERS]
