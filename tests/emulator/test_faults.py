"""Faults on demand, as a client sees them on the wire and through the stock SDK."""

import asyncio
import json
from pathlib import Path

import pytest
from aws_sdk_bedrock_runtime import models
from h2.errors import ErrorCodes

from nova_sonic_local.faults import Fault, FaultPlan, Moment, Unit, parse_faults
from nova_sonic_local.manner import Manner
from nova_sonic_local.options import Options
from nova_sonic_local.refusals import Refusal
from nova_sonic_local.server import NovaSonicLocal
from tests.emulator.stock_sdk import StockStream, stock_client
from tests.emulator.wire import RawClient, RawStream, audio_input, closing, opening, silence, spoken_turn, tool, tool_result


def fault(text: str) -> list[tuple[str, str]]:
    return [("x-nova-sonic-local-fault", text)]


@pytest.mark.parametrize(
    ("name", "status", "kind"),
    [
        ("http_400", 400, "ValidationException"),
        ("http_403", 403, "AccessDeniedException"),
        ("http_429", 429, "ThrottlingException"),
        ("http_503", 503, "ServiceUnavailableException"),
    ],
)
async def test_the_request_is_refused_with_a_status(name: str, status: int, kind: str) -> None:
    async with NovaSonicLocal(Options(brain="echo")) as emulator, RawClient(emulator.h2c_endpoint) as client:
        ending = await client.open(headers=fault(name)).ending()

        assert (ending.status, ending.headers["x-amzn-errortype"]) == (status, kind)
        assert json.loads(ending.body)["message"]


@pytest.mark.parametrize(
    "member",
    [
        "internalServerException",
        "modelStreamErrorException",
        "validationException",
        "throttlingException",
        "modelTimeoutException",
        "serviceUnavailableException",
    ],
)
async def test_an_exception_comes_after_the_event_asked_for(member: str) -> None:
    async with NovaSonicLocal(Options(brain="echo")) as emulator, RawClient(emulator.h2c_endpoint) as client:
        stream = client.open(headers=fault(f"exception:{member}@7"))
        await stream.send(*opening(), audio_input(silence(0.1)))
        ending = await stream.ending()

        assert ending.exception is not None
        assert ending.exception[0] == member
        assert ending.exception[1].startswith(f"RequestId={ending.headers['x-amzn-requestid']} : ")
        assert len(stream.named("audioOutput")) == 1


async def test_an_exception_can_say_any_text_on_record() -> None:
    async with (
        NovaSonicLocal(Options(brain="echo", fault="exception:content_filter")) as emulator,
        RawClient(emulator.h2c_endpoint) as client,
    ):
        stream = client.open()
        await stream.send(*opening())
        ending = await stream.ending()

        assert ending.exception is not None
        assert ending.exception[1].endswith(Refusal.CONTENT_FILTER.value.text)


async def test_a_fault_can_be_chosen_stream_by_stream() -> None:
    faults = iter(("http_429", ""))
    async with NovaSonicLocal(Options(brain="echo", fault=lambda: next(faults))) as emulator, RawClient(emulator.h2c_endpoint) as client:
        refused = await client.open().ending()
        served = client.open()
        await served.send(*opening())

        assert (refused.status, await served.head()) == (429, 200)


async def test_reset_and_drop_end_the_stream_without_a_word() -> None:
    async with NovaSonicLocal(Options(brain="echo")) as emulator, RawClient(emulator.h2c_endpoint) as client:
        stream = client.open(headers=fault("rst@6"))
        await stream.send(*opening())
        reset = await stream.ending()
        dropped = client.open(headers=fault("tcp_drop"))
        await dropped.send(*opening())
        await dropped.ending()

        assert (reset.status, reset.reset_code, reset.is_ended) == (200, ErrorCodes.NO_ERROR, False)
        assert client.is_lost
        assert client.goaway_code is None


async def test_goaway_closes_the_connection() -> None:
    async with NovaSonicLocal(Options(brain="echo")) as emulator, RawClient(emulator.h2c_endpoint) as client:
        stream = client.open(headers=fault("goaway@6"))
        await stream.send(*opening())
        while not client.is_lost:
            await client.wait()

        assert client.goaway_code == ErrorCodes.NO_ERROR


async def exchange(stream: RawStream) -> None:
    await stream.send(*opening(), *(audio_input(silence(0.1)) for _ in range(5)))
    await asyncio.sleep(0.1)


async def test_a_stalled_stream_says_nothing_more() -> None:
    async with NovaSonicLocal(Options(brain="echo")) as emulator, RawClient(emulator.h2c_endpoint) as client:
        stream = client.open(headers=fault("stall@8"))
        await exchange(stream)

        assert (stream.status, stream.is_over, len(stream.named("audioOutput"))) == (200, False, 2)


async def test_a_stream_without_a_head_says_nothing_at_all() -> None:
    async with NovaSonicLocal(Options(brain="echo")) as emulator, RawClient(emulator.h2c_endpoint) as client:
        stream = client.open(headers=fault("no_200"))
        await exchange(stream)

        assert (stream.status, stream.is_over, emulator.live_streams) == (0, False, 1)


async def test_a_slow_reader_takes_one_window_and_no_more() -> None:
    async with NovaSonicLocal(Options(brain="echo")) as emulator, RawClient(emulator.h2c_endpoint) as client:
        stream = client.open(headers=fault("slow_reader"))
        await stream.send(opening()[0])
        await stream.head()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                await stream.write(bytes(1_000_000))

        assert client.h2.local_flow_control_window(stream.stream_id) == 0


SCRIPT = """
[[turns]]
hear = "weather"
tools = [{ name = "lookup", arguments = { city = "Oslo" } }]
then = "It is {sky}."
"""


@pytest.mark.parametrize(
    ("name", "layers", "finals"),
    [("", 1, ["It is grey."]), ("double_encoded_args", 2, ["It is grey."]), ("no_final", 1, []), ("late_final", 1, [])],
)
async def test_some_faults_are_ways_to_behave(tmp_path: Path, name: str, layers: int, finals: list[str]) -> None:
    scenario = tmp_path / "script.toml"
    scenario.write_text(SCRIPT)
    options = Options(scenario=scenario, manner=Manner(speech_speed=0, final_delay_seconds=-60))
    async with NovaSonicLocal(options) as emulator, RawClient(emulator.h2c_endpoint) as client:
        stream = client.open(headers=fault(name))
        await stream.send(*opening(tools=[tool()]), *spoken_turn())
        use = await stream.until("toolUse")
        await stream.send(*tool_result(use["toolUseId"], '{"sky":"grey"}'))
        await stream.until("contentEnd", type="AUDIO", stopReason="END_TURN")
        if finals:
            await stream.until("textOutput", 2, content="It is grey.")
        before_the_end = stream.texts("ASSISTANT", "FINAL")
        await stream.send(*closing())
        await stream.ending()
        arguments = use["content"]
        for _ in range(layers):
            arguments = json.loads(arguments)

        assert arguments == {"city": "Oslo"}
        assert before_the_end == finals
        assert stream.texts("ASSISTANT", "SPECULATIVE") == ["It is grey."]


@pytest.mark.parametrize("text", ["unknown", "exception:noSuchMember", "rst@soon", "@3"])
async def test_a_fault_that_does_not_exist_is_told(text: str) -> None:
    async with NovaSonicLocal(Options(brain="echo")) as emulator, RawClient(emulator.h2c_endpoint) as client:
        ending = await client.open(headers=fault(text)).ending()

        assert ending.status == 400
        assert b"x-nova-sonic-local-fault" in ending.body


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("rst", None),
        ("rst@0", Moment(Unit.INPUT, 0)),
        ("rst@7", Moment(Unit.INPUT, 7)),
        ("rst@12out", Moment(Unit.OUTPUT, 12)),
        ("rst@2.5s", Moment(Unit.SECONDS, 2.5)),
        ("rst@toolUse", Moment(Unit.NAMED, 1, "toolUse")),
        ("rst@3audioOutput", Moment(Unit.NAMED, 3, "audioOutput")),
    ],
)
def test_a_moment_is_a_number_of_events_or_a_time(text: str, moment: Moment | None) -> None:
    assert parse_faults(text) == (FaultPlan(Fault.RST, moment, "NO_ERROR"),)


@pytest.mark.timeout(30)
@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("http_400", models.ValidationException),
        ("http_403", models.AccessDeniedException),
        ("http_429", models.ThrottlingException),
        ("http_503", models.ServiceUnavailableException),
        ("exception:validationException", models.ValidationException),
        ("exception:modelTimeoutException", models.ModelTimeoutException),
        ("exception:modelStreamErrorException", models.ModelStreamErrorException),
    ],
)
async def test_the_stock_client_raises_the_modelled_class(name: str, error: type[Exception]) -> None:
    async with NovaSonicLocal(Options(brain="echo", fault=name)) as emulator:
        stream = await StockStream.open(await stock_client(emulator.endpoint, emulator.ca_file))
        receiving = asyncio.create_task(stream.receive_until("never"))
        await stream.send(opening()[0])

        with pytest.raises(error):
            await receiving
