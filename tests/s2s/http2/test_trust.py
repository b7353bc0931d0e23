"""Whom a client trusts: one authority or the system's, for the host that was asked for, and with HTTP/2 agreed in the handshake."""

import asyncio
import ssl
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from s2s.bedrock.http2.pool import Http2Exchanges
from s2s.bedrock.interfaces import CannotConnect, NotTrusted
from tests.s2s.http2.certificates import self_signed
from tests.s2s.http2.scripted import PATH, Caller, Scripted, Secure


async def greet(caller: Caller) -> None:
    await caller.greet()
    await caller.hang_up()


async def failure(uri: str, ca_file: str | None) -> CannotConnect:
    exchanges = Http2Exchanges(uri, ca_file=ca_file)
    with pytest.raises(CannotConnect) as raised:
        await exchanges.open("POST", PATH, [])
    await exchanges.close()

    assert exchanges.connections == 0
    return raised.value


async def test_an_authority_that_the_system_does_not_know_is_not_trusted(secure: Secure) -> None:
    async with Scripted(greet, secure) as server:
        error = await failure(server.uri, None)

    assert isinstance(error, NotTrusted)
    assert f"the certificate of 127.0.0.1:{server.port} is not trusted: unknown authority" in str(error)


async def test_another_authority_than_the_given_one_is_not_trusted(secure: Secure, tmp_path: Path) -> None:
    other = self_signed(tmp_path)
    async with Scripted(greet, secure) as server:
        error = await failure(server.uri, other.ca_file)

    assert isinstance(error, NotTrusted)
    assert "unknown authority" in str(error)


async def test_a_certificate_of_another_host_is_not_trusted(secure: Secure) -> None:
    async with Scripted(greet, secure, host="127.0.0.2") as server:
        error = await failure(server.uri, secure.ca_file)

    assert isinstance(error, NotTrusted)
    assert "wrong host" in str(error)
    assert "127.0.0.2" in str(error)


@pytest.mark.parametrize(
    ("start", "word"),
    [(lambda: datetime.now(UTC) - timedelta(days=9), "expired"), (lambda: datetime.now(UTC) + timedelta(days=9), "not valid yet")],
    ids=["expired", "not yet"],
)
async def test_a_certificate_out_of_its_time_is_not_trusted(start: Callable[[], datetime], word: str, tmp_path: Path) -> None:
    secure = self_signed(tmp_path, start())
    async with Scripted(greet, secure) as server:
        error = await failure(f"https://localhost:{server.port}", secure.ca_file)

    assert isinstance(error, NotTrusted)
    assert word in str(error)


@pytest.mark.parametrize("content", [None, "no certificate"], ids=["missing", "garbage"])
async def test_an_authority_that_cannot_be_read_is_named(content: str | None, tmp_path: Path) -> None:
    file = tmp_path / "ca.pem"
    if content is not None:
        file.write_text(content)
    error = await failure("https://127.0.0.1:1", str(file))

    assert isinstance(error, NotTrusted)
    assert str(file) in str(error)
    assert "\n" not in str(error)


async def test_a_host_is_known_by_its_name_and_its_address(secure: Secure) -> None:
    async with Scripted(greet, secure) as server:
        for host in ("localhost", "127.0.0.1"):
            exchanges = Http2Exchanges(f"https://{host}:{server.port}", ca_file=secure.ca_file)
            await exchanges.reach()
            await exchanges.close()

    assert len(server.callers) == 2


@pytest.mark.parametrize("protocols", [[], ["http/1.1"]], ids=["none", "http/1.1"])
async def test_without_http2_in_the_handshake_there_is_no_connection(protocols: list[str], tmp_path: Path) -> None:
    secure = self_signed(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "certificate.pem", tmp_path / "key.pem")
    if protocols:
        context.set_alpn_protocols(protocols)
    async with Scripted(greet, Secure(context, secure.ca_file)) as server:
        error = await failure(f"https://localhost:{server.port}", secure.ca_file)

    assert not isinstance(error, NotTrusted)
    assert "HTTP/2" in str(error) or "ALPN" in str(error)


async def test_a_server_without_tls_is_no_connection() -> None:
    async def say_http(caller: Caller) -> None:
        caller.writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await caller.hang_up()

    async with Scripted(say_http) as server:
        error = await failure(f"https://127.0.0.1:{server.port}", None)

    assert "no TLS there" in str(error)


async def test_a_server_that_says_nothing_in_the_handshake_is_given_up() -> None:
    async def be_silent(caller: Caller) -> None:
        await caller.reader.read()

    async with Scripted(be_silent) as server:
        exchanges = Http2Exchanges(f"https://127.0.0.1:{server.port}", connect_seconds=0.3)
        with pytest.raises(CannotConnect, match=r"within 0\.3 s: no TLS handshake"):
            await exchanges.reach()
        await exchanges.close()


async def test_reading_the_systems_authorities_does_not_hold_up_the_loop(secure: Secure) -> None:
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    counting = asyncio.create_task(count())
    async with Scripted(greet, secure) as server:
        await failure(server.uri, None)
    counting.cancel()

    assert turns > 50
