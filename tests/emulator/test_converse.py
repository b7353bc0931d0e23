"""Converse and ConverseStream by the stock clients: boto3 over HTTP/1.1, and AWS's asynchronous SDK over HTTP/2."""

import json
from typing import Any

import pytest
from aws_sdk_bedrock_runtime.models import (
    ContentBlockText,
    ConverseInput,
    ConverseOutputMessage,
    ConverseStreamInput,
    ConverseStreamOutputContentBlockDelta,
    ConverseStreamOutputMessageStop,
    Message,
)

from nova_sonic_local.brains.chat_settings import ChatSettings
from nova_sonic_local.brains.script import ScriptBrains, parse_script
from nova_sonic_local.envelope import SignatureCheck
from nova_sonic_local.options import Options
from nova_sonic_local.server import NovaSonicLocal
from tests.emulator.cascade_clients import TEXT_MODEL, refused, sdk_client, tool, tool_results, user, with_boto
from tests.emulator.chat_server import call, chat_server, finish, text
from tests.emulator.conversation import ACCESS_KEY, SECRET_KEY
from tests.emulator.wire import Json, RawClient

pytestmark = pytest.mark.timeout(30)
SCRIPT = {
    "turns": [
        {"hear": "hello", "say": ["Good morning.", "How can I help?"]},
        {
            "hear": "where is my order",
            "say": "One moment.",
            "tools": [{"name": "find_order", "arguments": {"order_id": "PED-1", "note": "where is it, please?"}}],
            "then": "It is {status}.",
        },
    ],
    "repeat": False,
}
SCRIPTED = Options(brain=ScriptBrains(parse_script(SCRIPT)))
CARLOS = Options(brain="demo")
PERSONA = [{"text": "Eres Carlos, el asistente de pedidos y turnos."}]
FIND_ORDER = {"tools": [tool("find_order", order_id="string")]}
ORDERS = {"tools": [tool("consultarOrder", orderId="string", dni="string")]}


async def converse(emulator: NovaSonicLocal, messages: list[Json], *, has_tls: bool = True, **more: Any) -> Json:
    answer = await with_boto(
        "bedrock-runtime", emulator, lambda client: client.converse(modelId=TEXT_MODEL, messages=messages, **more), has_tls=has_tls
    )
    assert isinstance(answer, dict)
    return answer


async def stream(emulator: NovaSonicLocal, messages: list[Json], **more: object) -> list[Json]:
    def use(client: Any) -> list[Json]:
        return list(client.converse_stream(modelId=TEXT_MODEL, messages=messages, **more)["stream"])

    return await with_boto("bedrock-runtime", emulator, use)


async def refusal(emulator: NovaSonicLocal, messages: list[Json], model: str = TEXT_MODEL, **more: Any) -> tuple[int, str, str]:
    return await refused("bedrock-runtime", emulator, lambda client: client.converse(modelId=model, messages=messages, **more))


def text_of(answer: Json) -> str:
    return " ".join(block["text"] for block in answer["output"]["message"]["content"] if "text" in block)


@pytest.mark.parametrize("has_tls", [True, False], ids=["tls", "plain"])
async def test_a_brain_answers_in_writing(*, has_tls: bool) -> None:
    async with NovaSonicLocal(SCRIPTED) as emulator:
        answer = await converse(emulator, [user("hello")], has_tls=has_tls)

        assert answer["output"]["message"] == {"role": "assistant", "content": [{"text": "Good morning. How can I help?"}]}
        assert answer["stopReason"] == "end_turn"
        assert answer["usage"] == {"inputTokens": 2, "outputTokens": 8, "totalTokens": 10}


async def test_a_tool_is_asked_for_and_its_result_told() -> None:
    async with NovaSonicLocal(SCRIPTED) as emulator:
        messages = [user("hello"), {"role": "assistant", "content": [{"text": "Good morning."}]}, user("where is my order")]
        asked = await converse(emulator, messages, toolConfig=FIND_ORDER)
        use = asked["output"]["message"]["content"][1]["toolUse"]
        messages += [asked["output"]["message"], tool_results(asked["output"]["message"], {"status": "on its way"})]
        told = await converse(emulator, messages, toolConfig=FIND_ORDER)

        assert text_of(asked) == "One moment."
        assert (use["name"], use["input"]) == ("find_order", {"order_id": "PED-1", "note": "where is it, please?"})
        assert (asked["stopReason"], told["stopReason"]) == ("tool_use", "end_turn")
        assert text_of(told) == "It is on its way."


async def test_a_stream_says_the_same_in_pieces() -> None:
    async with NovaSonicLocal(SCRIPTED) as emulator:
        messages = [user("hello"), {"role": "assistant", "content": [{"text": "Good morning."}]}, user("where is my order")]
        events = await stream(emulator, messages, toolConfig=FIND_ORDER)
        names = [next(iter(event)) for event in events]
        deltas = [event["contentBlockDelta"] for event in events if "contentBlockDelta" in event]
        arguments = "".join(delta["delta"]["toolUse"]["input"] for delta in deltas if "toolUse" in delta["delta"])

        assert [name for name, before in zip(names, ["", *names], strict=False) if name != before] == [
            *("messageStart", "contentBlockDelta", "contentBlockStop"),
            *("contentBlockStart", "contentBlockDelta", "contentBlockStop", "messageStop", "metadata"),
        ]
        assert [delta["delta"]["text"] for delta in deltas if "text" in delta["delta"]] == ["One", " moment."]
        assert json.loads(arguments) == {"order_id": "PED-1", "note": "where is it, please?"}
        assert sum("toolUse" in delta["delta"] for delta in deltas) > 1
        assert [event["messageStop"]["stopReason"] for event in events if "messageStop" in event] == ["tool_use"]


async def test_the_scenario_knows_what_it_asked_for_in_an_earlier_request() -> None:
    async with NovaSonicLocal(CARLOS) as emulator:
        messages = [user("quiero ver mi pedido")]
        said: list[str] = []
        for text in ("12345678", "mi dni es 23456789"):
            answer = await converse(emulator, messages, system=PERSONA, toolConfig=ORDERS)
            said.append(text_of(answer))
            messages += [answer["output"]["message"], user(text)]
        asked = await converse(emulator, messages, system=PERSONA, toolConfig=ORDERS)

        assert said == ["¿Cuál es el número de pedido?", "Para verificar tu identidad, decime tu DNI o tu nombre completo."]
        assert asked["output"]["message"]["content"][0]["toolUse"]["input"] == {"orderId": "12345678", "dni": "23456789"}


async def test_a_prompt_that_asks_for_notes_gets_an_extract() -> None:
    async with NovaSonicLocal(CARLOS) as emulator:
        text = "The order was late. The customer asked for the order. Hm. The order comes on Monday."
        answer = await converse(emulator, [user(text)], system=[{"text": "Write a summary of the conversation."}])

        assert text_of(answer) == "The order was late. The customer asked for the order. Hm. The order comes on Monday."


async def test_the_echo_repeats_what_was_written() -> None:
    async with NovaSonicLocal(Options(brain="echo")) as emulator:
        assert text_of(await converse(emulator, [user("one two three")])) == "one two three"


async def test_an_answer_stops_where_it_is_told_to() -> None:
    async with NovaSonicLocal(SCRIPTED) as emulator:
        short = await converse(emulator, [user("hello")], inferenceConfig={"maxTokens": 2})
        stopped = await converse(emulator, [user("hello")], inferenceConfig={"stopSequences": ["can"]})

        assert (text_of(short), short["stopReason"], short["usage"]["outputTokens"]) == ("Good mor", "max_tokens", 2)
        assert (text_of(stopped), stopped["stopReason"]) == ("Good morning. How ", "stop_sequence")


async def test_the_asynchronous_sdk_converses_over_http2() -> None:
    options = Options(brain=SCRIPTED.brain, signatures=SignatureCheck.STRICT, secrets={ACCESS_KEY: SECRET_KEY})
    async with NovaSonicLocal(options) as emulator:
        client = await sdk_client(emulator)
        messages = [Message(role="user", content=[ContentBlockText("hello")])]
        whole = await client.converse(ConverseInput(model_id=TEXT_MODEL, messages=messages))
        output = await client.converse_stream(ConverseStreamInput(model_id=TEXT_MODEL, messages=messages))
        events = [event async for event in output.output_stream]
        said = [event.value.delta.value for event in events if isinstance(event, ConverseStreamOutputContentBlockDelta)]
        ends = [event.value.stop_reason for event in events if isinstance(event, ConverseStreamOutputMessageStop)]

        assert isinstance(whole.output, ConverseOutputMessage)
        assert whole.output.value.content == [ContentBlockText("Good morning. How can I help?")]
        assert "".join(str(piece) for piece in said) == "Good morning. How can I help?"
        assert ends == ["end_turn"]


@pytest.mark.parametrize(
    ("messages", "message"),
    [
        ([{"role": "assistant", "content": [{"text": "hi"}]}], "A conversation must start with a user message"),
        ([user("a"), user("b")], "A conversation must alternate between user and assistant roles"),
        ([user(" ")], "The text field in the ContentBlock object at messages.0.content.0 is blank"),
        ([{"role": "user", "content": []}], "The content field in the Message object at messages.0 is empty"),
        ([{"role": "user", "content": [{"image": {"format": "png", "source": {"bytes": b"x"}}}]}], "image is not"),
        ([user("a"), {"role": "assistant", "content": [{"text": "hi"}]}], "must end with a user message"),
        (
            [user("a"), {"role": "assistant", "content": [{"toolUse": {"toolUseId": "t1", "name": "x", "input": {}}}]}, user("b")],
            "The toolConfig field must be defined when using toolUse and toolResult content blocks.",
        ),
    ],
)
async def test_what_makes_no_sense_is_refused(messages: list[Json], message: str) -> None:
    async with NovaSonicLocal(SCRIPTED) as emulator:
        status, kind, text = await refusal(emulator, messages)

        assert (status, kind) == (400, "ValidationException")
        assert message in text


async def test_every_tool_call_needs_its_result() -> None:
    async with NovaSonicLocal(SCRIPTED) as emulator:
        call = {"role": "assistant", "content": [{"toolUse": {"toolUseId": "t1", "name": "find_order", "input": {}}}]}
        stray = {"role": "user", "content": [{"toolResult": {"toolUseId": "t2", "content": [{"text": "x"}]}}]}

        assert "for the following Ids: t1" in (await refusal(emulator, [user("a"), call, user("b")], toolConfig=FIND_ORDER))[2]
        assert "belongs to no toolUse" in (await refusal(emulator, [user("a"), call, stray], toolConfig=FIND_ORDER))[2]


async def test_a_model_of_speech_answers_no_text() -> None:
    async with NovaSonicLocal(SCRIPTED) as emulator:
        status, kind, text = await refusal(emulator, [user("hello")], "amazon.nova-2-sonic-v1:0")

        assert (status, kind) == (400, "ValidationException")
        assert "doesn't support the model" in text


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b'{"messages":{}}', b'{"messages":[1]}', b"\xff" * 100, b'{"messages":' + b"[" * 50_000]
)
async def test_a_hostile_body_is_refused(body: bytes) -> None:
    async with NovaSonicLocal(SCRIPTED) as emulator, RawClient(emulator.h2c_endpoint) as client:
        request = client.open("/model/x/converse")
        await request.write(body)
        request.end()
        ending = await request.ending()

        assert (ending.status, ending.headers["x-amzn-errortype"]) == (400, "ValidationException")


async def test_a_body_that_is_too_large_is_refused_before_it_is_all_there() -> None:
    async with NovaSonicLocal(SCRIPTED) as emulator, RawClient(emulator.h2c_endpoint) as client:
        request = client.open("/model/x/converse")
        await request.write(bytes(5 * 1024 * 1024))
        ending = await request.ending()

        assert (ending.status, ending.headers["x-amzn-errortype"]) == (413, "RequestEntityTooLargeException")


async def test_a_wrong_signature_is_refused() -> None:
    options = Options(brain=SCRIPTED.brain, signatures=SignatureCheck.STRICT, secrets={ACCESS_KEY: "another"})
    async with NovaSonicLocal(options) as emulator:
        status, kind, _text = await refusal(emulator, [user("hello")])

        assert (status, kind) == (403, "InvalidSignatureException")


async def test_a_right_signature_is_taken_over_http_1_1() -> None:
    options = Options(brain=SCRIPTED.brain, signatures=SignatureCheck.STRICT, secrets={ACCESS_KEY: SECRET_KEY})
    async with NovaSonicLocal(options) as emulator:
        assert text_of(await converse(emulator, [user("hello")])) == "Good morning. How can I help?"


async def test_a_language_model_gets_the_whole_conversation_with_its_tools() -> None:
    async with chat_server(text("It is ", "on its way.")) as server:
        options = Options(brain="chat", chat=ChatSettings(server.url, "a-model"))
        async with NovaSonicLocal(options) as emulator:
            use = {"toolUse": {"toolUseId": "t1", "name": "find_order", "input": {"order_id": "PED-1"}}}
            result = {"toolResult": {"toolUseId": "t1", "content": [{"json": {"status": "on its way"}}]}}
            messages: list[Json] = [
                user("hello"),
                {"role": "assistant", "content": [{"text": "Hi."}]},
                user("where is my order"),
                {"role": "assistant", "content": [{"text": "One moment."}, use]},
                {"role": "user", "content": [result]},
            ]
            answer = await converse(emulator, messages, system=[{"text": "Be brief."}], toolConfig=FIND_ORDER)
        asked = server.asked[0]["messages"]

        assert text_of(answer) == "It is on its way."
        assert len(server.asked) == 1
        assert [(message["role"], message["content"]) for message in asked] == [
            ("system", "Be brief."),
            ("user", "hello"),
            ("assistant", "Hi."),
            ("user", "where is my order"),
            ("assistant", "One moment."),
            ("tool", '{"status":"on its way"}'),
        ]
        assert asked[4]["tool_calls"][0]["function"] == {"name": "find_order", "arguments": '{"order_id":"PED-1"}'}


async def test_a_language_model_asks_for_a_tool() -> None:
    async with chat_server([call(0, "c1", "find_order", '{"order_id": "PED-2"}'), finish("tool_calls")]) as server:
        options = Options(brain="chat", chat=ChatSettings(server.url, "a-model"))
        async with NovaSonicLocal(options) as emulator:
            answer = await converse(emulator, [user("where is it?")], toolConfig=FIND_ORDER)

        assert answer["stopReason"] == "tool_use"
        assert answer["output"]["message"]["content"][0]["toolUse"]["input"] == {"order_id": "PED-2"}
