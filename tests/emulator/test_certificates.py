"""The emulator's certificate authority."""

import asyncio
import ssl
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from nova_sonic_local.certificates import server_context
from nova_sonic_local.options import Options
from nova_sonic_local.server import NovaSonicLocal


@contextmanager
def client_context(ca_file: Path) -> Iterator[ssl.SSLContext]:
    context = ssl.create_default_context(cafile=str(ca_file))
    context.verify_flags |= ssl.VerifyFlags.VERIFY_X509_STRICT
    context.set_alpn_protocols(["h2", "http/1.1"])
    yield context


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1", "::1", "bedrock-runtime.us-east-1.amazonaws.com", "nova-sonic-local"])
async def test_the_certificate_is_good_for_the_names_that_clients_use(name: str) -> None:
    async with NovaSonicLocal(Options(brain="echo")) as emulator:
        port = int(emulator.endpoint.rpartition(":")[2])
        with client_context(emulator.ca_file) as context:
            _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname=name)
        protocol = writer.get_extra_info("ssl_object").selected_alpn_protocol()
        writer.close()

        assert protocol == "h2"


async def test_the_certificate_is_not_good_for_other_names() -> None:
    async with NovaSonicLocal(Options(brain="echo")) as emulator:
        port = int(emulator.endpoint.rpartition(":")[2])
        with client_context(emulator.ca_file) as context, pytest.raises(ssl.SSLCertVerificationError, match="example"):
            await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname="example.com")


def test_emulators_that_start_at_once_share_one_authority(tmp_path: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        files = [future.result()[1] for future in [pool.submit(server_context, tmp_path) for _ in range(4)]]
    contents = {file.read_bytes() for file in files}

    assert len(contents) == 1
    assert sorted(path.suffix for path in tmp_path.iterdir()) == [".key", ".lock", ".pem"]


@pytest.mark.parametrize("name", ["nova-sonic-local-ca.pem", "nova-sonic-local-ca.key"])
def test_a_broken_authority_is_made_anew(tmp_path: Path, name: str) -> None:
    first = server_context(tmp_path)[1].read_bytes()
    (tmp_path / name).write_text("broken")
    second = server_context(tmp_path)[1].read_bytes()

    assert first != second
    assert second.startswith(b"-----BEGIN CERTIFICATE-----")
