"""The same conversations with the records in DynamoDB, spoken to over HTTP."""

import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import pytest_asyncio

from tests import ministack, needs
from tests.browser import Chromium
from tests.e2e.conversations import SCENARIOS, Scenario, hold_again_if_misheard
from tests.e2e.stack import ROOT, Stack, running_stack

pytestmark = [pytest.mark.browser, pytest.mark.speech, pytest.mark.dynamodb]

TOOLS = ("cancelarOrder", "agendarTurno", "consultarTurno")


@asynccontextmanager
async def product(folder: Path) -> AsyncIterator[Stack]:
    """Run the product on a DynamoDB server with the example records."""
    with ministack.started() as endpoint, pytest.MonkeyPatch.context() as patch:
        settings = {"AWS_ENDPOINT_URL_DYNAMODB": endpoint, "AWS_DEFAULT_REGION": ministack.REGION, **ministack.CREDENTIALS}
        settings |= {"STORAGE": "dynamodb", "DNI_SALT": "a-salt-that-is-only-for-tests"}
        for name, value in settings.items():
            patch.setenv(name, value)
        seed = [sys.executable, "scripts/seed_data.py", "--create-tables"]
        subprocess.run(seed, cwd=ROOT, check=True, capture_output=True, timeout=60)
        async with running_stack(folder, settings) as running:
            yield Stack(running.port, None, running.process, running.log)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    """The product that the tests share."""
    needs.espeak()
    try:
        async with product(tmp_path_factory.mktemp("stack")) as running:
            yield running
    except ministack.Unavailable as error:
        needs.missing(str(error))


@pytest.mark.req("S1-07", "S4-25", "S4-29", "S4-47", "S4-49", "S4-52", "S4-60")
@pytest.mark.parametrize("scenario", [scenario for scenario in SCENARIOS if scenario.tool in TOOLS], ids=lambda scenario: scenario.name)
async def test_a_spoken_request_reaches_dynamodb_and_is_answered(
    scenario: Scenario, stack: Stack, chromium: Chromium, tmp_path: Path
) -> None:
    await hold_again_if_misheard(scenario, stack, product, chromium, tmp_path)
