"""Links to objects that work without a token until they expire, for the store that has no signature of its own.

A link carries what it allows in the open, and an HMAC-SHA256 (RFC 2104) over all of it: method, key, owner, expiry, and for an upload the
type and the size. Whoever changes a word of it has no link any more. It cannot be taken back, so it should not live long.
"""

import hashlib
import hmac
from base64 import urlsafe_b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlencode

from storage.errors import InvalidRequest
from storage.objects import Method, Terms, check_content_type, check_key

KEY_BYTES: Final = 32
NAMES: Final = ("key", "owner", "expires", "type", "size", "signature")
"""Of the parameters that a link carries; type and size only where something is put."""
MAX_DIGITS: Final = 15
_PURPOSE: Final = b"nova-sonic object link 1"
"""Nothing else that the key may sign one day can be taken for a link."""


class LinkRefused(Exception):
    """The link was changed, was never made here, or has expired: the three are never told apart."""


@dataclass(frozen=True, slots=True)
class Ticket:
    """What a link allows."""

    method: Method
    key: str
    owner: str
    """`owner_mark` of whom it was made for."""
    expires: int
    """Seconds since 1970."""
    terms: Terms | None = None
    """Of what is put; metadata are not part of a link."""


class LinkSigner:
    """Makes links and knows them again.

    Args:
        keys: of KEY_BYTES at least, that nobody else has; the first signs, and links of all are known.

    Raises:
        ValueError: there is none, or one is too short.
    """

    def __init__(self, keys: Sequence[bytes]) -> None:
        if not keys or any(len(key) < KEY_BYTES for key in keys):
            raise ValueError(f"a key has {KEY_BYTES} bytes")
        self._keys = [hmac.digest(key, _PURPOSE, hashlib.sha256) for key in keys]

    def sign(self, ticket: Ticket) -> str:
        """Return the query of a link."""
        given: dict[str, str] = {"key": ticket.key, "owner": ticket.owner, "expires": str(ticket.expires)}
        if ticket.terms is not None:
            given |= {"type": ticket.terms.content_type, "size": str(ticket.terms.size)}
        return urlencode({**given, "signature": _signature(self._keys[0], ticket)})

    def check(self, method: Method, given: Mapping[str, str], now: float) -> Ticket:
        """Return what a link allows.

        Args:
            method: of the request.
            given: the parameters as they came.
            now: seconds since 1970.

        Raises:
            LinkRefused: nothing.
        """
        ticket = _read(method, given)
        signature = given.get("signature", "").encode(errors="replace")
        matches = [hmac.compare_digest(_signature(key, ticket).encode(), signature) for key in self._keys]
        if not any(matches) or ticket.expires <= now:
            raise LinkRefused
        return ticket


def _signature(key: bytes, ticket: Ticket) -> str:
    terms = () if ticket.terms is None else (ticket.terms.content_type, str(ticket.terms.size))
    parts = [part.encode(errors="replace") for part in (ticket.method.value, ticket.key, ticket.owner, str(ticket.expires), *terms)]
    text = b"".join(len(part).to_bytes(4) + part for part in parts)  # no part can run into the next
    return urlsafe_b64encode(hmac.digest(key, text, hashlib.sha256)).decode().rstrip("=")


def _read(method: Method, given: Mapping[str, str]) -> Ticket:
    try:
        terms = Terms(check_content_type(given["type"]), _number(given["size"])) if method is Method.PUT else None
        return Ticket(method, check_key(given["key"]), given["owner"], _number(given["expires"]), terms)
    except (KeyError, InvalidRequest) as error:
        raise LinkRefused from error


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= MAX_DIGITS):
        raise LinkRefused
    return int(text)
