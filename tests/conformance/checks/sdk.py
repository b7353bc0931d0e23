"""What AWS's SDK for Python makes of each way in which a stream ends. Only the emulator is asked: it concerns the client alone."""

import asyncio

from aws_sdk_bedrock_runtime import models
from smithy_aws_event_stream.exceptions import InvalidEventBytes, UnmodeledEventError
from smithy_core.exceptions import CallError

from nova_sonic_local.options import Options
from nova_sonic_local.server import NovaSonicLocal
from tests.conformance.facts import holds
from tests.conformance.target import Target
from tests.emulator.stock_sdk import StockStream, stock_client
from tests.emulator.wire import Json, audio_input, opening, silence

SCRIPT = [*opening(), audio_input(silence(0.1))]


async def outcome(fault: str) -> tuple[list[Json], Exception | None]:
    """Return the events that the SDK gives before the end, and what it raises; None is a clean end."""
    async with NovaSonicLocal(Options(brain="echo", fault=fault)) as emulator:
        stream = await StockStream.open(await stock_client(emulator.endpoint, emulator.ca_file))
        events: list[Json] = []

        async def receive() -> None:
            while (event := await stream.receive()) is not None:
                events.append(event)

        receiving = asyncio.create_task(receive())
        await stream.send(SCRIPT[0])
        await asyncio.wait((receiving,), timeout=0.05)
        if not receiving.done():
            await stream.send(*SCRIPT[1:])
        await asyncio.wait((receiving,), timeout=10)
        assert receiving.done(), "the SDK waits for ever"
        error = receiving.exception()
        assert error is None or isinstance(error, Exception)
        return events, error


@holds("sdk.http-errors")
async def _http_errors(_target: Target) -> None:
    for fault, kind in (
        ("http_400", models.ValidationException),
        ("http_403", models.AccessDeniedException),
        ("http_429", models.ThrottlingException),
        ("http_503", models.ServiceUnavailableException),
    ):
        assert type((await outcome(fault))[1]) is kind


@holds("sdk.unmodelled-http-error")
async def _unmodelled_http_error(_target: Target) -> None:
    error = (await outcome("http_403_unmodeled"))[1]

    assert type(error) is CallError
    assert "UnrecognizedClientException" in str(error)
    assert "security token" not in str(error)


@holds("sdk.exceptions")
async def _exceptions(_target: Target) -> None:
    for member, kind in (
        ("internalServerException", models.InternalServerException),
        ("modelStreamErrorException", models.ModelStreamErrorException),
        ("validationException", models.ValidationException),
        ("throttlingException", models.ThrottlingException),
        ("modelTimeoutException", models.ModelTimeoutException),
        ("serviceUnavailableException", models.ServiceUnavailableException),
    ):
        assert type((await outcome(f"exception:{member}@6"))[1]) is kind


@holds("sdk.unknown-exception")
async def _unknown_exception(_target: Target) -> None:
    assert type((await outcome("unknown_exception:brandNewException@6"))[1]) is KeyError


@holds("sdk.error-message")
async def _error_message(_target: Target) -> None:
    assert type((await outcome("error_message:InternalFailure@6"))[1]) is UnmodeledEventError


@holds("sdk.truncated-message")
async def _truncated_message(_target: Target) -> None:
    assert type((await outcome("truncated_frame@6"))[1]) is InvalidEventBytes


@holds("sdk.reset-looks-clean")
async def _reset_looks_clean(_target: Target) -> None:
    assert (await outcome("rst@6"))[1] is None


@holds("sdk.goaway-looks-clean")
async def _goaway_looks_clean(_target: Target) -> None:
    assert (await outcome("goaway@6"))[1] is None


@holds("sdk.end-is-none")
async def _end_is_none(_target: Target) -> None:
    assert (await outcome("early_end@6"))[1] is None


@holds("sdk.extra-members")
async def _extra_members(_target: Target) -> None:
    events, error = await outcome("extra_json_member,early_end@7")

    assert error is None
    assert "completionStart" in events[0]
