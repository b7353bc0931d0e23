"""Ids and members of the output events."""

import base64
import json
from itertools import pairwise
from uuid import UUID

from tests.conformance.facts import holds
from tests.conformance.recording import Heard, Recording, recorded
from tests.conformance.target import Target
from tests.emulator.wire import Json, audio_input, opening, silence, text_block

KINDS = ("spoken", "tool", "barge-in", "typed")
USER_SPEECH = ("userSpeechStart", "userSpeechEnd")


async def everything(target: Target) -> list[Recording]:
    """Return all conversations; of Bedrock, those that came about."""
    found: list[Recording] = []
    for kind in KINDS:
        try:
            found.append(await recorded(target, kind))
        except (AssertionError, TimeoutError, OSError):
            if not target.is_remote:
                raise
    assert found, "no conversation came about"
    return found


async def events(target: Target) -> list[Heard]:
    return [one for recording in await everything(target) for one in recording.heard]


async def bodies(target: Target, name: str, **members: object) -> list[Json]:
    found = [body for recording in await everything(target) for body in recording.named(name, **members)]
    assert found, f"no {name} in any conversation"
    return found


@holds("ids.session-and-prompt")
async def _session_and_prompt(target: Target) -> None:
    for one in await events(target):
        assert {"sessionId", "promptName"} <= one.body.keys(), one


@holds("ids.one-session")
async def _one_session(target: Target) -> None:
    for recording in await everything(target):
        ids = {one.body["sessionId"] for one in recording.heard if "sessionId" in one.body}

        assert len(ids) == 1
        assert UUID(ids.pop())


@holds("ids.prompt-echoed")
async def _prompt_echoed(target: Target) -> None:
    assert {one.body["promptName"] for one in await events(target) if "promptName" in one.body} == {"P"}


@holds("ids.completion")
async def _completion(target: Target) -> None:
    for recording in await everything(target):
        ids = {one.body["completionId"] for one in recording.heard if one.name not in USER_SPEECH}

        assert len(ids) == 1


@holds("ids.content")
async def _content(target: Target) -> None:
    for recording in await everything(target):
        starts = [start["contentId"] for start in recording.blocks()]
        used = {one.body["contentId"] for one in recording.heard if "contentId" in one.body}

        assert len(set(starts)) == len(starts)
        assert used == set(starts)


@holds("shape.text-start")
async def _text_start(target: Target) -> None:
    for start in await bodies(target, "contentStart", type="TEXT"):
        assert isinstance(start["additionalModelFields"], str)
        assert json.loads(start["additionalModelFields"])["generationStage"] in ("SPECULATIVE", "FINAL")
        assert start["textOutputConfiguration"] == {"mediaType": "text/plain"}
        assert start["role"] in ("USER", "ASSISTANT")


@holds("shape.stage-on-text-only")
async def _stage_on_text_only(target: Target) -> None:
    for recording in await everything(target):
        assert [start for start in recording.blocks() if start["type"] != "TEXT" and "additionalModelFields" in start] == []


@holds("shape.audio-start")
async def _audio_start(target: Target) -> None:
    for start in await bodies(target, "contentStart", type="AUDIO"):
        audio = start["audioOutputConfiguration"]

        assert start["role"] == "ASSISTANT"
        assert (audio["mediaType"], audio["sampleRateHertz"], audio["sampleSizeBits"]) == ("audio/lpcm", 24_000, 16)
        assert (audio["channelCount"], audio["encoding"]) == (1, "base64")


@holds("shape.tool-start")
async def _tool_start(target: Target) -> None:
    for start in await bodies(target, "contentStart", type="TOOL"):
        assert start["role"] == "TOOL"
        assert start["toolUseOutputConfiguration"] == {"mediaType": "application/json"}


@holds("shape.text-output")
async def _text_output(target: Target) -> None:
    for recording in await everything(target):
        roles = {start["contentId"]: start["role"] for start in recording.blocks()}
        for output in recording.named("textOutput"):
            assert isinstance(output["content"], str)
            assert output["role"] == roles[output["contentId"]]


@holds("shape.one-text-per-block")
async def _one_text_per_block(target: Target) -> None:
    for recording in await everything(target):
        texts = [output["contentId"] for output in recording.named("textOutput")]

        assert len(set(texts)) == len(texts)


@holds("shape.audio-output")
async def _audio_output(target: Target) -> None:
    for output in await bodies(target, "audioOutput"):
        pcm = base64.b64decode(output["content"], validate=True)

        assert len(pcm) % 2 == 0
        assert not pcm.startswith(b"RIFF")


@holds("shape.audio-pieces")
async def _audio_pieces(target: Target) -> None:
    for recording in await everything(target):
        outputs = recording.named("audioOutput")
        sizes = [
            len(base64.b64decode(output["content"]))
            for output, following in pairwise(outputs)
            if output["contentId"] == following["contentId"]  # the last piece of a block is what is left
        ]

        assert all(2_500 <= size <= 6_400 for size in sizes), sizes


@holds("shape.tool-use")
async def _tool_use(target: Target) -> None:
    for use in await bodies(target, "toolUse"):
        assert (use["role"], use["toolName"]) == ("TOOL", "lookup")
        assert use["toolUseId"]
        assert isinstance(use["content"], str)
        assert "city" in json.loads(use["content"])


@holds("shape.content-end")
async def _content_end(target: Target) -> None:
    for recording in await everything(target):
        types = {start["contentId"]: start["type"] for start in recording.blocks()}
        for end in recording.named("contentEnd"):
            assert end["type"] == types[end["contentId"]]
            assert end["stopReason"] in ("PARTIAL_TURN", "END_TURN", "INTERRUPTED", "TOOL_USE")


@holds("shape.usage")
async def _usage(target: Target) -> None:
    for usage in await bodies(target, "usageEvent"):
        for part in ("delta", "total"):
            for side in ("input", "output"):
                assert set(usage["details"][part][side]) == {"speechTokens", "textTokens"}
        total = usage["details"]["total"]

        assert usage["totalInputTokens"] == sum(total["input"].values())
        assert usage["totalOutputTokens"] == sum(total["output"].values())
        assert usage["totalTokens"] == usage["totalInputTokens"] + usage["totalOutputTokens"]


@holds("shape.usage-adds-up")
async def _usage_adds_up(target: Target) -> None:
    for recording in await everything(target):
        spent = {"input": {"speechTokens": 0, "textTokens": 0}, "output": {"speechTokens": 0, "textTokens": 0}}
        for usage in recording.named("usageEvent"):
            for side, kinds in spent.items():
                for kind in kinds:
                    kinds[kind] += usage["details"]["delta"][side][kind]
            assert usage["details"]["total"] == spent


@holds("shape.user-speech")
async def _user_speech(target: Target) -> None:
    recording = await recorded(target, "spoken")
    start, end = recording.named("userSpeechStart")[0], recording.named("userSpeechEnd")[0]

    assert start["inputAudioOffsetMs"] < end["inputAudioOffsetMs"] < end["inputAudioDetectionOffsetMs"]


@holds("shape.completion-end")
async def _completion_end(target: Target) -> None:
    assert [end["stopReason"] for end in (await recorded(target, "typed")).named("completionEnd")] == ["END_TURN"]


@holds("shape.output-rate")
async def _output_rate(target: Target) -> None:
    for hertz in (8_000, 16_000, 24_000):
        async with target.raw() as client:
            stream = client.open()
            await stream.send(*opening(hertz=hertz), audio_input(silence(0.1)), *text_block("U", "USER", "Say hello.", interactive=True))
            await stream.until("contentStart", type="AUDIO")
            starts = [
                start["audioOutputConfiguration"]["sampleRateHertz"] for start in stream.named("contentStart") if start["type"] == "AUDIO"
            ]

            assert starts[0] == hertz
