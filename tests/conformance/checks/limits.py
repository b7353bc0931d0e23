"""Time limits, voices, rates and tools: what is accepted, and for how long."""

import asyncio

from tests.conformance.checks.refusals import refusal_of
from tests.conformance.facts import holds
from tests.conformance.recording import LOOKUP, talking
from tests.conformance.target import FIRST_MODEL_ID, MODEL_ID, NEWEST_MODEL_ID, PLAIN, Setup, Target
from tests.emulator.signed_wire import path_of
from tests.emulator.wire import Json, audio_input, audio_start, opening, prompt_start, session_start, silence, text_block, tool

IDLE = (
    "Timed out waiting for audio bytes or interactive content. Please ensure gaps between audio bytes and interactive content are less than"
)
VOICES_1 = ("matthew", "tiffany", "amy", "lupe", "carlos", "ambre", "florian", "greta", "lennart", "beatrice", "lorenzo")
VOICES_2 = (*(voice for voice in VOICES_1 if voice != "greta"), "olivia", "kiara", "arjun", "tina", "carolina", "leo")
RATES = (8_000, 16_000, 24_000)
SCALE = 0.005
"""Of the emulator's limits: the eight minutes are 2.4 s, 55 s are 0.28 s."""


def scaled(target: Target, seconds: float) -> float:
    return seconds if target.is_remote else seconds * SCALE


async def assert_opens(target: Target, *scripts: list[Json], model_id: str = MODEL_ID) -> None:
    """Open a stream with each script, all on one connection, and fail when one of them is refused."""
    async with target.raw() as client:
        streams = [client.open(path_of(model_id)) for _ in scripts]
        for stream, script in zip(streams, scripts, strict=True):
            await stream.send(*script)
        for stream in streams:
            await stream.head()
        await asyncio.sleep(2.0 if target.is_remote else 0.01)  # a refusal comes after the head

        assert [(stream.status, stream.body) for stream in streams if stream.status != 200] == []
        assert [stream.exception() for stream in streams if stream.exception() is not None] == []


async def assert_voices(target: Target, model_id: str, voices: tuple[str, ...]) -> None:
    await assert_opens(target, *([*opening(voice=voice), audio_input(silence(0.1))] for voice in voices), model_id=model_id)


@holds("voices.nova-1")
async def _nova_1(target: Target) -> None:
    await assert_voices(target, FIRST_MODEL_ID, VOICES_1)


@holds("voices.nova-2")
async def _nova_2(target: Target) -> None:
    await assert_voices(target, MODEL_ID, VOICES_2)


@holds("voices.nova-2-5")
async def _nova_2_5(target: Target) -> None:
    await assert_voices(target, NEWEST_MODEL_ID, VOICES_2)


@holds("limit.input-rates")
async def _input_rates(target: Target) -> None:
    begin = [session_start(), prompt_start(), *text_block("S", "SYSTEM", "Be brief.")]
    await assert_opens(target, *([*begin, audio_start(hertz=hertz), audio_input(silence(0.1, hertz))] for hertz in RATES))


@holds("limit.output-rates")
async def _output_rates(target: Target) -> None:
    await assert_opens(target, *([*opening(hertz=hertz), audio_input(silence(0.1))] for hertz in RATES))


@holds("limit.endpointing")
async def _endpointing(target: Target) -> None:
    start = session_start(turnDetectionConfiguration={"endpointingSensitivity": "LOW"})
    for model_id in (MODEL_ID, NEWEST_MODEL_ID):
        await assert_opens(target, [start, *opening()[1:], audio_input(silence(0.1))], model_id=model_id)


@holds("limit.no-inference")
async def _no_inference(target: Target) -> None:
    await assert_opens(target, [{"event": {"sessionStart": {}}}, *opening()[1:], audio_input(silence(0.1))])


@holds("tools.choices")
async def _choices(target: Target) -> None:
    choices: tuple[Json, ...] = ({"auto": {}}, {"any": {}}, {"tool": {"name": "lookup"}})
    output = {"mediaType": "application/json"}
    begins = [prompt_start(toolConfiguration={"tools": [LOOKUP], "toolChoice": one}, toolUseOutputConfiguration=output) for one in choices]
    rest = [*text_block("S", "SYSTEM", "Be brief."), audio_start(), audio_input(silence(0.1))]
    await assert_opens(target, *([session_start(), begin, *rest] for begin in begins))


@holds("tools.names")
async def _names(target: Target) -> None:
    await assert_opens(target, [*opening(tools=[tool("a_B-9"), tool("x")]), audio_input(silence(0.1))])


@holds("limit.faster-than-real-time")
async def _faster(target: Target) -> None:
    async with talking(target, PLAIN, opening()) as (talk, _):
        await talk.send(*(audio_input(silence(0.1)) for _ in range(30)))
        await talk.send(*text_block("U", "USER", "Say hello.", interactive=True))

        assert await talk.stream.until("contentStart", type="AUDIO")


@holds("time.eight-minutes")
async def _eight_minutes(target: Target) -> None:
    async with talking(target, Setup(time_scale=SCALE, idle_profile=295), opening()) as (talk, recording):
        started = asyncio.get_running_loop().time()
        talk.stream.client.timeout_seconds = scaled(target, 600)
        await talk.stream.ending()
        lasted = asyncio.get_running_loop().time() - started
        kind, text = refusal_of(recording().ending)

        assert kind == "modelTimeoutException"
        assert text == "Model has timed out in processing the request. Try your request again."
        assert scaled(target, 470) <= lasted


async def assert_idle_ends(target: Target, seconds: int) -> None:
    async with target.raw(Setup(time_scale=SCALE, idle_profile=seconds)) as client:
        client.timeout_seconds = scaled(target, 330) + 5
        stream = client.open()
        await stream.send(*opening(), audio_input(silence(0.1)))
        kind, text = refusal_of(await stream.ending())

        assert (kind, text) == ("validationException", f"{IDLE} {seconds} seconds")


@holds("time.idle-55")
async def _idle_55(target: Target) -> None:
    await assert_idle_ends(target, 55)


@holds("time.idle-295")
async def _idle_295(target: Target) -> None:
    await assert_idle_ends(target, 295)


@holds("time.silence-keeps-alive")
async def _silence_keeps_alive(target: Target) -> None:
    scale = 0.01
    async with talking(target, Setup(time_scale=scale, idle_profile=55), opening()) as (talk, _):
        await asyncio.sleep(90 if target.is_remote else 90 * scale)

        assert not talk.stream.is_over


@holds("time.no-events")
async def _no_events(target: Target) -> None:
    async with target.raw(Setup(time_scale=SCALE)) as client:
        client.timeout_seconds = scaled(target, 330) + 5
        ending = await client.open().ending()

        assert "Timed out waiting for input events" in refusal_of(ending)[1]
