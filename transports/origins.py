"""Which pages may connect: browsers tell where a page came from, and nothing else keeps a foreign page from using the user's server."""

from collections.abc import Sequence
from typing import Final
from urllib.parse import SplitResult, urlsplit

_LOCAL_HOSTS: Final = frozenset({"localhost", "127.0.0.1", "::1"})
_PORTS: Final = {"http": 80, "https": 443}


class OriginPolicy:
    """Decides by the Origin header (RFC 6455 10.2).

    Args:
        allowed: origins as `scheme://host[:port]` in lower case, or `*`; empty allows the server's own pages and those of this machine.
        address: what the server listens on. On this machine's own, pages of this machine alone may connect: a foreign name that leads
            here was made to (DNS rebinding), and then Origin and Host agree.
    """

    def __init__(self, allowed: Sequence[str] = (), address: str = "") -> None:
        self._allowed = frozenset(allowed)
        self._has_public_name = address.strip("[]") not in _LOCAL_HOSTS

    @property
    def allows_all(self) -> bool:
        """Whether pages of every origin may connect."""
        return "*" in self._allowed

    def serves(self, hosts: Sequence[str]) -> bool:
        """Return whether a request came by a name of the server: of this machine, or of an allowed page, where it listens for this machine.

        Args:
            hosts: all Host headers.
        """
        if self._has_public_name or self.allows_all:
            return True
        try:
            names = {urlsplit(f"//{host.strip().lower()}").hostname for host in hosts}
        except ValueError:
            return False
        return names <= _LOCAL_HOSTS | {urlsplit(origin).hostname for origin in self._allowed}

    def allows(self, origins: Sequence[str], hosts: Sequence[str]) -> bool:
        """Return whether a request may connect.

        Args:
            origins: all Origin headers; none means that the client is no browser.
            hosts: all Host headers.
        """
        if not origins or "*" in self._allowed:
            return True
        if len(origins) > 1:
            return False
        origin = origins[0].strip().lower()
        if self._allowed:
            return origin in self._allowed
        parts = _split(origin)
        return parts is not None and (parts.hostname in _LOCAL_HOSTS or self._is_own(parts, hosts))

    def _is_own(self, origin: SplitResult, hosts: Sequence[str]) -> bool:
        return self._has_public_name and len(hosts) == 1 and _same_host(origin, hosts[0])


def _split(origin: str) -> SplitResult | None:
    """Return an origin's parts, None when it is none: `null`, or more than scheme, host and port."""
    try:
        parts = urlsplit(origin)
        port = parts.port
    except ValueError:
        return None
    plain = f"{parts.scheme}://{parts.netloc}" == origin and "@" not in parts.netloc
    return parts if plain and parts.hostname and parts.scheme in _PORTS and port != 0 else None


def _same_host(origin: SplitResult, host: str) -> bool:
    """Return whether the page came from the host that it now connects to; the scheme may differ behind a proxy that ends TLS."""
    default = _PORTS[origin.scheme]
    try:
        own = urlsplit(f"//{host.strip().lower()}")
        own_port = own.port or default
    except ValueError:
        return False
    return (own.hostname, own_port) == (origin.hostname, origin.port or default)
