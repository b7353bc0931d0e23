"""Endpoints that no stream can be opened with, one for each row of outcomes.Trouble."""

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from hyperframe.frame import SettingsFrame

from nova_sonic_local.certificates import server_context
from tests.s2s.contract.outcomes import Trouble
from tests.s2s.ways import Way

type Answer = Callable[[socket.socket], object]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """What a client is given."""

    uri: str
    ca_file: Path


def listen_in_silence(connected: socket.socket) -> None:
    while connected.recv(4096):
        pass


def hang_up(connected: socket.socket) -> None:
    connected.close()


def answer_as_of_old(connected: socket.socket) -> None:
    connected.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")


def take_no_streams(connected: socket.socket) -> None:
    connected.sendall(SettingsFrame(0, {SettingsFrame.MAX_CONCURRENT_STREAMS: 0}).serialize() + SettingsFrame(0, flags=["ACK"]).serialize())
    listen_in_silence(connected)


@contextmanager
def troubled(way: Way, trouble: Trouble, folder: Path) -> Iterator[Endpoint]:
    """Run an endpoint with a trouble."""
    context, ca_file = server_context(folder)
    offered = context if way is not Way.H2C else None
    uri_of = f"{way.scheme}://127.0.0.1:{{}}".format
    match trouble:
        case Trouble.REFUSED:
            with socket.socket() as unused:
                unused.bind(("127.0.0.1", 0))
                yield Endpoint(uri_of(unused.getsockname()[1]), ca_file)
            return
        case Trouble.NO_SUCH_HOST:
            yield Endpoint(f"{way.scheme}://nova-sonic.invalid", ca_file)
            return
        case Trouble.SILENT | Trouble.NO_TLS:
            answer: Answer = listen_in_silence if trouble is Trouble.SILENT else answer_as_of_old
            offered = None
        case Trouble.CLOSES:
            answer, offered = hang_up, None
        case Trouble.NOT_HTTP2:
            answer = answer_as_of_old
        case Trouble.NO_ALPN:
            answer = listen_in_silence
            context.set_alpn_protocols(["http/1.1"])
        case Trouble.UNKNOWN_AUTHORITY:
            answer = listen_in_silence
            (folder / "other").mkdir()
            _, ca_file = server_context(folder / "other")
        case Trouble.WRONG_HOST:
            answer = listen_in_silence
            uri_of = "https://127.0.0.2:{}".format
        case Trouble.NO_STREAMS:
            answer = take_no_streams
    with serving(answer, offered, "127.0.0.2" if trouble is Trouble.WRONG_HOST else "127.0.0.1") as port:
        yield Endpoint(uri_of(port), ca_file)


def _secured(connected: socket.socket, context: ssl.SSLContext | None) -> socket.socket:
    return connected if context is None else context.wrap_socket(connected, server_side=True)


@contextmanager
def serving(answer: Answer, context: ssl.SSLContext | None, host: str) -> Iterator[int]:
    """Run a server that is no model, and yield its port: in threads, so that no loop has to end handshakes that nobody ends."""
    threads: list[threading.Thread] = []
    connections: list[socket.socket] = []
    listener = socket.create_server((host, 0))

    def serve(connected: socket.socket) -> None:
        with suppress(OSError), connected, _secured(connected, context) as plain:
            answer(plain)

    def accept() -> None:
        with suppress(OSError):
            while True:
                connected, _ = listener.accept()
                connections.append(connected.dup())
                threads.append(threading.Thread(target=serve, args=(connected,)))
                threads[-1].start()

    accepting = threading.Thread(target=accept)
    accepting.start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        accepting.join()
        for connected in connections:
            with suppress(OSError), connected:
                connected.shutdown(socket.SHUT_RDWR)
        for thread in threads:
            thread.join()
