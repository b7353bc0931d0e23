"""Every test of this folder that has a loop runs on asyncio and on uvloop, and none of them may leave anything to report."""

import asyncio
import gc
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import uvloop

from nova_sonic_local.certificates import server_context
from tests.s2s.http2.scripted import Secure


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.filterwarnings("error"))


@pytest.fixture(scope="session")
def secure(tmp_path_factory: pytest.TempPathFactory) -> Secure:
    """Return what a server with TLS needs, and its clients."""
    context, ca_file = server_context(tmp_path_factory.mktemp("authority"))
    return Secure(context, str(ca_file))


@pytest.fixture(params=["h2c", "tls"])
def tls(request: pytest.FixtureRequest, secure: Secure) -> Secure | None:
    """Run the test once without TLS and once with it."""
    return secure if request.param == "tls" else None


@pytest.fixture(autouse=True)
async def nothing_to_report() -> AsyncIterator[None]:
    """Fail a test that leaves tasks, or an exception that nobody took."""
    reports: list[dict[str, Any]] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: reports.append(context))
    before = asyncio.all_tasks()
    yield
    gc.collect()
    await asyncio.sleep(0)
    loop.set_exception_handler(None)

    assert asyncio.all_tasks() - before - {asyncio.current_task()} == set()
    assert reports == []
