"""Whose a connection is: the peer's address, or behind proxies the one that they saw.

Every proxy appends the address that it saw to X-Forwarded-For (AWS: "HTTP headers and Application Load Balancers"), so what a client wrote
itself stands to the left of what the proxies wrote. Entries are counted from the right, as many as there are proxies of our own.
"""

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import Final

MAX_HOPS: Final = 8
"""Proxies in a row; two are usual, a content network and a load balancer."""
LONGEST_ENTRY: Final = 60
"""Of an IPv6 address with brackets, a zone and a port."""
_NETWORK_BITS: Final = 64


def client_address(peer: str, forwarded: Sequence[str], hops: int) -> str:
    """Return the address of a client in its shortest form.

    Args:
        peer: the address of the connection's other end.
        forwarded: all X-Forwarded-For headers, in their order.
        hops: how many proxies of our own are on the way; 0 believes no header.

    Returns:
        What the first of our proxies saw; the peer when the header has fewer entries than there are proxies, or that entry is no address.
    """
    own = _parse(peer)
    fallback = str(own) if own is not None else peer[:LONGEST_ENTRY]
    if hops <= 0:
        return fallback
    entries = ",".join(forwarded).rsplit(",", hops)[-hops:]
    if len(entries) < hops:
        return fallback
    found = _parse(_without_port(entries[0].strip()))
    return fallback if found is None else str(found)


def counted_as(address: str) -> str:
    """Return what an address counts as: IPv6 by its /64, which one subscriber has all of (RFC 6177)."""
    parsed = _parse(address)
    if isinstance(parsed, IPv6Address):
        return str(IPv6Network((int(parsed) >> _NETWORK_BITS << _NETWORK_BITS, _NETWORK_BITS)))
    return address if parsed is None else str(parsed)


def _parse(text: str) -> IPv4Address | IPv6Address | None:
    if len(text) > LONGEST_ENTRY:
        return None
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def _without_port(entry: str) -> str:
    """Return an entry without the port that a proxy may be told to add: `192.0.2.1:443`, `[2001:db8::1]:443`."""
    if entry.startswith("["):
        address, end, rest = entry[1:].partition("]")
        return address if end and (not rest or _is_port(rest)) else ""
    address, colon, port = entry.partition(":")
    return address if colon and ":" not in port and _is_port(f":{port}") else entry


def _is_port(text: str) -> bool:
    return text[:1] == ":" and text[1:].isascii() and text[1:].isdigit()
