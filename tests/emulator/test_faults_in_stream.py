"""Faults inside a stream: messages that are broken, strange or an error, and ends that nobody asked for."""

import json

import pytest
from h2.errors import ErrorCodes

from nova_sonic_local.options import Options
from nova_sonic_local.refusals import Refusal
from nova_sonic_local.server import NovaSonicLocal
from tests.emulator.wire import Ending, RawClient, RawStream, audio_input, closing, opening, silence, spoken_turn

ECHO = Options(brain="echo")


def fault(text: str) -> list[tuple[str, str]]:
    return [("x-nova-sonic-local-fault", text)]


async def ended_by(text: str) -> tuple[RawStream, Ending]:
    """Return a stream that a fault ends after its opening, and how it ended."""
    async with NovaSonicLocal(ECHO) as emulator, RawClient(emulator.h2c_endpoint) as client:
        stream = client.open(headers=fault(text))
        await stream.send(*opening(), audio_input(silence(0.1)))
        return stream, await stream.ending()


async def goes_on_after(text: str) -> tuple[RawStream, Ending]:
    """Return a stream that outlives a fault, and its orderly end."""
    async with NovaSonicLocal(ECHO) as emulator, RawClient(emulator.h2c_endpoint) as client:
        stream = client.open(headers=fault(text))
        await stream.send(*opening(), audio_input(silence(0.1)))
        await stream.until("audioOutput")
        await stream.send(audio_input(silence(0.2)), *closing())
        return stream, await stream.ending()


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("unknown_exception", "brandNewException"),
        ("unknown_exception:teapotException", "teapotException"),
        ("error_message", "InternalFailure"),
        ("error_message:ServiceQuotaExceeded", "ServiceQuotaExceeded"),
        ("content_filter", "validationException"),
    ],
)
async def test_an_error_in_the_stream_is_told_and_ends_it(text: str, code: str) -> None:
    _, ending = await ended_by(f"{text}@7")

    assert ending.exception is not None
    assert ending.exception[0] == code
    assert ending.is_ended


@pytest.mark.parametrize("refusal", list(Refusal), ids=lambda refusal: refusal.name)
async def test_every_text_on_record_can_be_asked_for(refusal: Refusal) -> None:
    _, ending = await ended_by(f"exception:{refusal.name.lower()}@7")

    assert ending.exception == (
        refusal.value.member.value,
        f"RequestId={ending.headers['x-amzn-requestid']} : {refusal.value.text}",
    )


async def test_a_stream_can_end_in_good_order_without_being_asked_to() -> None:
    stream, ending = await ended_by("early_end@7")

    assert (ending.status, ending.is_ended, ending.exception) == (200, True, None)
    assert stream.decoder.pending_bytes == 0
    assert len(stream.named("audioOutput")) == 1


async def test_a_stream_can_end_inside_a_message() -> None:
    stream, ending = await ended_by("truncated_frame@7")

    assert (ending.is_ended, ending.exception) == (True, None)
    assert stream.decoder.pending_bytes > 0


@pytest.mark.parametrize("code", ["NO_ERROR", "INTERNAL_ERROR", "CANCEL", "ENHANCE_YOUR_CALM"])
async def test_a_reset_has_the_code_asked_for_and_comes_after_what_was_said(code: str) -> None:
    _, ending = await ended_by(f"rst:{code}@2out")

    assert (ending.reset_code, ending.is_ended) == (ErrorCodes[code], False)
    assert len(ending.events) == 2


async def test_a_message_with_a_wrong_checksum_does_not_end_the_stream() -> None:
    stream, ending = await goes_on_after("corrupt_frame@6")

    assert stream.framing_errors > 0
    assert (ending.is_ended, len(stream.named("audioOutput"))) == (True, 2)


async def test_garbage_is_no_message() -> None:
    async with NovaSonicLocal(ECHO) as emulator, RawClient(emulator.h2c_endpoint) as client:
        stream = client.open(headers=fault("garbage@7"))
        await stream.send(*opening(), audio_input(silence(0.1)), *closing())
        await stream.ending()

    assert b"502 Bad Gateway" in stream.body
    assert stream.framing_errors > 0


async def test_an_event_of_an_unknown_name_is_one_event_more() -> None:
    stream, ending = await goes_on_after("unknown_event@6,unknown_event@7")

    assert len(stream.named("somethingNew")) == 2
    assert (ending.is_ended, len(stream.named("audioOutput"))) == (True, 2)


async def test_a_message_of_an_unknown_type_is_one_message_more() -> None:
    stream, _ = await goes_on_after("unknown_event:type@6")

    assert [str(message.value(":event-type")) for message in stream.messages if message.value(":event-type") != "chunk"] == ["somethingNew"]


async def test_an_event_can_be_huge() -> None:
    stream, _ = await goes_on_after("huge_event:300@6")

    assert len(stream.named("somethingNew")[0]["note"]) == 300 * 1024


async def test_chunks_can_have_a_member_beside_their_bytes() -> None:
    stream, _ = await goes_on_after("extra_json_member")
    payloads = [json.loads(message.payload) for message in stream.messages]

    assert all(payload.keys() == {"bytes", "p"} for payload in payloads)
    assert next(iter(stream.events()[0])) == "completionStart"


@pytest.mark.parametrize(
    ("name", "starts", "ends"),
    [("", 1, 1), ("completion_per_turn", 2, 2), ("no_completion_end", 1, 0)],
)
async def test_completions_are_of_a_stream_or_of_a_turn_and_may_never_end(name: str, starts: int, ends: int) -> None:
    async with NovaSonicLocal() as emulator, RawClient(emulator.h2c_endpoint) as client:
        stream = client.open(headers=fault(name))
        await stream.send(*opening())
        for turn in (1, 2):
            await stream.send(*spoken_turn())
            await stream.until("contentEnd", turn, type="AUDIO", stopReason="END_TURN")
        await stream.send(*closing())
        await stream.ending()

        assert (len(stream.named("completionStart")), len(stream.named("completionEnd"))) == (starts, ends)


async def test_slow_speech_takes_longer_than_it_plays() -> None:
    async with NovaSonicLocal() as emulator, RawClient(emulator.h2c_endpoint) as client:
        stream = client.open(headers=fault("slow_output:0.01"))
        await stream.send(*opening(), *spoken_turn())
        await stream.until("audioOutput")
        await stream.send(audio_input(silence(0.1)), *closing())
        await stream.ending()

        assert len(stream.named("audioOutput")) == 1
