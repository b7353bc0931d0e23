"""TCP_NODELAY for sockets that the Common Runtime opens.

awscrt 0.32 leaves Nagle's algorithm on and has neither an option nor a way to the socket. With it a small frame waits for the peer's
delayed acknowledgement: up to 45 ms on the way up, measured on loopback. The socket is found among the process's own descriptors by its
peer, and the option set on it.
"""

import os
import socket
import stat
from pathlib import Path
from typing import Final

_DESCRIPTORS: Final = (Path("/proc/self/fd"), Path("/dev/fd"))
"""Where Linux and macOS list them; elsewhere the option is not set."""


def disable_nagle(port: int) -> int:
    """Set TCP_NODELAY on every TCP socket of this process that is connected to a port.

    Args:
        port: the peer's port.

    Returns:
        How many sockets had it off before.
    """
    return sum(_disable(number, port) for number in _open_descriptors())


def _open_descriptors() -> list[int]:
    for folder in _DESCRIPTORS:
        if folder.is_dir():
            return [int(entry.name) for entry in folder.iterdir() if entry.name.isdigit()]
    return []


def _disable(number: int, port: int) -> bool:
    try:
        if not stat.S_ISSOCK(os.fstat(number).st_mode):
            return False
        # A duplicate shares the socket but not the descriptor: closing it leaves the owner's open.
        with socket.socket(fileno=os.dup(number)) as found:
            if found.type is not socket.SOCK_STREAM or found.family not in (socket.AF_INET, socket.AF_INET6):
                return False
            if found.getpeername()[1] != port or found.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY):
                return False
            found.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return True
    except OSError:  # closed meanwhile, or not connected
        return False
