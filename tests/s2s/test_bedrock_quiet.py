"""What the event loop's exception handler is spared."""

import asyncio
from typing import Any

import pytest
from smithy_core.exceptions import SmithyError

from s2s.bedrock.interfaces import StreamBroken
from s2s.bedrock.quiet import filter_noise


@pytest.mark.parametrize(
    ("exception", "is_reported"),
    [(SmithyError(StreamBroken("closed")), False), (SmithyError("something else"), True), (StreamBroken("ours, and unseen"), True)],
)
async def test_only_the_end_of_a_stream_that_was_given_up_is_dropped(exception: Exception, *, is_reported: bool) -> None:
    reported: list[dict[str, Any]] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: reported.append(context))
    filter_noise(loop)
    loop.call_exception_handler({"message": "Task exception was never retrieved", "exception": exception})

    assert bool(reported) is is_reported
