"""Every test of this folder runs on asyncio and on uvloop, and none of them may leave anything to report."""

import asyncio
import gc
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import uvloop

from tests.s2s.ways import WAYS, Way


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.filterwarnings("error"))


@pytest.fixture(params=WAYS, ids=lambda way: way.name.lower())
def way(request: pytest.FixtureRequest) -> Way:
    """Run the test once for each way to the model."""
    chosen: Way = request.param
    return chosen


@pytest.fixture(scope="package", autouse=True)
def _old_objects_rest() -> Iterator[None]:
    """Keep what was imported out of the collections after each test: they take 1 ms then, and not 50."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture(autouse=True)
async def nothing_to_report() -> AsyncIterator[None]:
    """Fail a test after which the event loop has an exception that nobody took."""
    reports: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reports.append(context))
    yield
    gc.collect()
    await asyncio.sleep(0)
    asyncio.get_running_loop().set_exception_handler(None)

    assert reports == []
