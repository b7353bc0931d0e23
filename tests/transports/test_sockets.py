"""Listening sockets."""

import socket

import pytest

from transports.sockets import SEND_BUFFER_BYTES, UNSENT_BYTES, PortUnavailable, listen, port_of


def test_localhost_listens_on_one_port_in_every_family() -> None:
    sockets = listen("localhost", 0)
    try:
        assert len({each.getsockname()[1] for each in sockets}) == 1
        assert socket.AF_INET in {each.family for each in sockets}
    finally:
        for each in sockets:
            each.close()


def test_a_port_in_use_is_named() -> None:
    (taken,) = listen("127.0.0.1", 0)
    try:
        with pytest.raises(PortUnavailable, match=str(port_of([taken]))) as caught:
            listen("127.0.0.1", port_of([taken]))

        assert caught.value.port == port_of([taken])
        assert "in use" in str(caught.value)
    finally:
        taken.close()


def test_an_unknown_host_is_named() -> None:
    with pytest.raises(PortUnavailable, match=r"256\.256"):
        listen("256.256.256.256", 0)


def test_an_address_of_another_machine_is_refused() -> None:
    with pytest.raises(PortUnavailable):
        listen("192.0.2.1", 0)


def test_what_is_accepted_holds_little_speech_back_and_sends_at_once() -> None:
    (listening,) = listen("127.0.0.1", 0)
    listening.setblocking(True)
    with listening, socket.create_connection(("127.0.0.1", port_of([listening]))), listening.accept()[0] as accepted:
        unsent = accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT)
        buffered = accepted.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF)
        no_delay = accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)

    assert unsent == UNSENT_BYTES
    assert buffered == 2 * SEND_BUFFER_BYTES  # Linux doubles what is asked for, for its own use
    assert no_delay
