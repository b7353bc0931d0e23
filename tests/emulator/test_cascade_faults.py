"""What can be made to go wrong with Converse, Polly and Transcribe: planned by the admin endpoint, or asked for by a header."""

import asyncio
from typing import Any

import pytest
from botocore.exceptions import EventStreamError, HTTPClientError, ReadTimeoutError
from urllib3.exceptions import ProtocolError

from nova_sonic_local.faults import HEADER
from nova_sonic_local.options import Options
from nova_sonic_local.server import NovaSonicLocal
from nova_sonic_local.upcoming import Operation
from tests.emulator.cascade_clients import TEXT_MODEL, refused, user, with_boto
from tests.emulator.test_transcribe import HEADERS, SCRIPTED, audio_event
from tests.emulator.wire import Json, RawClient, silence

pytestmark = pytest.mark.timeout(30)
ECHO = Options(brain="echo")
SPEECH = {"Text": "hello there", "VoiceId": "Lupe", "OutputFormat": "pcm"}
WORDS = [user("one two three four five six")]


def converse(client: Any) -> Json:
    answer: Json = client.converse(modelId=TEXT_MODEL, messages=WORDS)
    return answer


def stream(client: Any) -> list[Json]:
    return list(client.converse_stream(modelId=TEXT_MODEL, messages=WORDS)["stream"])


@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [
        ("http_400", 400, "ValidationException"),
        ("http_403", 403, "AccessDeniedException"),
        ("http_429", 429, "ThrottlingException"),
        ("http_500", 500, "InternalServerException"),
        ("http_503", 503, "ServiceUnavailableException"),
        ("exception", 424, "ModelErrorException"),
        ("unknown_exception", 500, "brandNewException"),
    ],
)
async def test_the_next_request_of_converse_is_refused_and_no_other(fault: str, status: int, code: str) -> None:
    async with NovaSonicLocal(ECHO) as emulator:
        await emulator.control.plan_next(faults=fault, operation=Operation.CONVERSE)
        spoken = await with_boto("polly", emulator, lambda client: client.synthesize_speech(**SPEECH)["AudioStream"].read())
        refusal = await refused("bedrock-runtime", emulator, converse)
        answer = await with_boto("bedrock-runtime", emulator, converse)

        assert spoken
        assert refusal[:2] == (status, code)
        assert answer["stopReason"] == "end_turn"


@pytest.mark.parametrize(
    ("fault", "status", "code"), [("http_500", 500, "ServiceFailureException"), ("http_503", 503, "ServiceUnavailableException")]
)
async def test_polly_has_names_of_its_own(fault: str, status: int, code: str) -> None:
    async with NovaSonicLocal(ECHO) as emulator:
        await emulator.control.plan_next(faults=fault, operation=Operation.POLLY)
        refusal = await refused("polly", emulator, lambda client: client.synthesize_speech(**SPEECH))

        assert refusal[:2] == (status, code)


@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [("http_429", 429, "LimitExceededException"), ("http_500", 500, "InternalFailureException"), ("http_400", 400, "BadRequestException")],
)
async def test_so_has_transcribe(fault: str, status: int, code: str) -> None:
    async with NovaSonicLocal(SCRIPTED) as emulator, RawClient(emulator.h2c_endpoint) as client:
        ending = await client.open("/stream-transcription", headers=(*HEADERS, (HEADER, fault))).ending()

        assert (ending.status, ending.headers["x-amzn-errortype"]) == (status, code)


async def test_an_exception_comes_in_the_middle_of_an_answer() -> None:
    async with NovaSonicLocal(ECHO) as emulator:
        await emulator.control.plan_next(faults="exception:throttlingException@3out", operation=Operation.CONVERSE)

        def use(client: Any) -> tuple[list[str], str]:
            names: list[str] = []
            try:
                names.extend(next(iter(event)) for event in client.converse_stream(modelId=TEXT_MODEL, messages=WORDS)["stream"])
            except EventStreamError as error:
                return names, str(error.response["Error"]["Code"])
            return names, ""

        names, code = await with_boto("bedrock-runtime", emulator, use)

        assert names == ["messageStart", "contentBlockDelta", "contentBlockDelta"]
        assert code == "throttlingException"


async def test_an_exception_ends_a_transcription() -> None:
    async with NovaSonicLocal(SCRIPTED) as emulator, RawClient(emulator.h2c_endpoint) as client:
        request = client.open("/stream-transcription", headers=(*HEADERS, (HEADER, "exception:serviceUnavailableException@2AudioEvent")))
        await request.write(audio_event(silence(0.1)) * 2)
        ending = await request.ending()

        assert ending.exception == ("ServiceUnavailableException", "Bedrock is unable to process your request.")


@pytest.mark.parametrize("fault", ["tcp_drop@3out", "rst@3out", "goaway@3out"])
async def test_an_answer_is_cut_off(fault: str) -> None:
    async with NovaSonicLocal(ECHO) as emulator:
        await emulator.control.plan_next(faults=fault, operation=Operation.CONVERSE)
        with pytest.raises((HTTPClientError, ProtocolError)):
            await with_boto("bedrock-runtime", emulator, stream)
        again = await with_boto("bedrock-runtime", emulator, stream)

        assert next(iter(again[-1])) == "metadata"


async def test_speech_is_cut_off() -> None:
    async with NovaSonicLocal(ECHO) as emulator:
        await emulator.control.plan_next(faults="tcp_drop@1out", operation=Operation.POLLY)
        with pytest.raises(HTTPClientError):
            await with_boto("polly", emulator, lambda client: client.synthesize_speech(**SPEECH)["AudioStream"].read())


async def test_a_stall_lasts_until_the_client_goes() -> None:
    async with NovaSonicLocal(ECHO) as emulator:
        await emulator.control.plan_next(faults="stall", operation=Operation.CONVERSE)

        with pytest.raises(ReadTimeoutError):
            await with_boto("bedrock-runtime", emulator, converse, read_seconds=0.2)
        await emulator.idle()

        assert emulator.control.counters()["calls"] == {"converse": {"client_gone": 1}}


async def test_a_late_head_comes_late_and_whole() -> None:
    async with NovaSonicLocal(Options(brain="echo", time_scale=0.01)) as emulator, RawClient(emulator.h2c_endpoint) as client:
        request = client.open("/v1/speech", headers=((HEADER, "late_head:5"),))
        await request.write(b'{"Text": "hi", "VoiceId": "Amy", "OutputFormat": "pcm"}')
        request.end()
        begun = asyncio.get_running_loop().time()
        ending = await request.ending()

        assert (ending.status, ending.is_ended) == (200, True)
        assert asyncio.get_running_loop().time() - begun >= 0.05


async def test_a_fault_that_is_none_is_refused_by_the_names_of_the_service() -> None:
    async with NovaSonicLocal(SCRIPTED) as emulator, RawClient(emulator.h2c_endpoint) as client:
        ending = await client.open("/stream-transcription", headers=(*HEADERS, (HEADER, "earthquake"))).ending()

        assert (ending.status, ending.headers["x-amzn-errortype"]) == (400, "BadRequestException")


async def test_a_reset_ends_what_hangs() -> None:
    async with NovaSonicLocal(SCRIPTED) as emulator, RawClient(emulator.h2c_endpoint) as client:
        request = client.open("/stream-transcription", headers=HEADERS)
        while not request.status:
            await client.wait()
        await emulator.control.reset()
        ending = await request.ending()

        assert ending.reset_code == 8  # CANCEL
