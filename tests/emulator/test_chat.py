"""The chat brain against a scripted endpoint: what is asked, what is said, which tools are called, and every way to fail."""

import asyncio
import contextlib
import json
import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field

import pytest

from nova_sonic_local.brains.chat import FAILURE, MOST_ROUNDS, NOT_UNDERSTOOD, ChatBrain, ChatBrains
from nova_sonic_local.brains.chat_settings import ChatSettings
from nova_sonic_local.brains.interface import Prompt, Tool, UserTurn
from tests.emulator.chat_server import HANG, Answer, ChatServer, call, chat_server, delta, event, finish, more, text

pytestmark = pytest.mark.timeout(20)
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TOOLS = {"lookup": Tool("lookup", "Looks it up.", SCHEMA), "log": Tool("log", "Notes it.", {})}
HISTORY = (("USER", "Hi."), ("ASSISTANT", "Hello."))
PROMPT = Prompt("amazon.nova-2-sonic-v1", "matthew", 16_000, 24_000, "Be brief.", HISTORY, TOOLS)
BEGINNING = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Hi."},
    {"role": "assistant", "content": "Hello."},
]
KEY = "sk-a-secret"


@dataclass
class NotedReply:
    """Writes down what the brain does; tools answer when they may."""

    results: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    said: list[str] = field(default_factory=list)
    called: list[list[tuple[str, Mapping[str, object] | str]]] = field(default_factory=list)
    spoke: asyncio.Event = field(default_factory=asyncio.Event)
    may_answer: asyncio.Event = field(default_factory=asyncio.Event)

    async def say(self, text: str) -> None:
        self.said.append(text)
        self.spoke.set()

    async def play(self, pcm: bytes, text: str = "") -> None:
        raise AssertionError("the chat brain has no audio")

    async def call_tools(self, calls: Sequence[tuple[str, Mapping[str, object] | str]]) -> list[Mapping[str, object]]:
        self.called.append(list(calls))
        self.spoke.set()
        await self.may_answer.wait()
        return [self.results.get(name, {}) for name, _ in calls]


def ready_reply(**results: Mapping[str, object]) -> NotedReply:
    reply = NotedReply(results)
    reply.may_answer.set()
    return reply


@contextlib.asynccontextmanager
async def brain_of(server: ChatServer, prompt: Prompt = PROMPT, **settings: float | str) -> AsyncIterator[ChatBrain]:
    brains = ChatBrains(ChatSettings(server.url, "a-model", KEY, **settings))  # type: ignore[arg-type]
    brain = brains(prompt)
    try:
        yield brain
    finally:
        await brain.close()
        await brains.aclose()


async def test_sentences_are_spoken_as_they_arrive() -> None:
    async with chat_server([*text("It is gr", "ey in Oslo. Ta", "ke an")[:-1], HANG]) as server, brain_of(server) as brain:
        reply = NotedReply()
        answering = asyncio.create_task(brain.answer(UserTurn(1, "How is the weather?"), reply))
        await reply.spoke.wait()
        answering.cancel()

        assert reply.said == ["It is grey in Oslo."]


async def test_the_endpoint_gets_prompt_history_turns_tools_and_key() -> None:
    async with chat_server(text("Grey weather it is."), text("And it stays so.")) as server, brain_of(server) as brain:
        await brain.answer(UserTurn(1, "How is the weather?"), NotedReply())
        await brain.answer(UserTurn(2, None), NotedReply())
    tools = server.asked[0]["tools"]

    assert {key: server.asked[0][key] for key in ("model", "stream")} == {"model": "a-model", "stream": True}
    assert server.asked[1]["messages"] == [
        *BEGINNING,
        {"role": "user", "content": "How is the weather?"},
        {"role": "assistant", "content": "Grey weather it is."},
        {"role": "user", "content": NOT_UNDERSTOOD},
    ]
    assert tools[0] == {"type": "function", "function": {"name": "lookup", "description": "Looks it up.", "parameters": SCHEMA}}
    assert tools[1]["function"]["parameters"] == {"type": "object", "properties": {}}
    assert server.authorizations == [f"Bearer {KEY}"] * 2


async def test_a_prompt_without_tools_asks_without_tools() -> None:
    prompt = Prompt("amazon.nova-2-sonic-v1", "matthew", 16_000, 24_000, "")
    async with chat_server(text("All is well here.")) as server, brain_of(server, prompt) as brain:
        await brain.answer(UserTurn(1, "Hi"), NotedReply())

    assert server.asked == [{"model": "a-model", "messages": [{"role": "user", "content": "Hi"}], "stream": True}]


async def test_tools_in_fragments_are_called_all_at_once_and_their_results_told() -> None:
    fragments = [
        delta(content="One moment please."),
        call(0, "a", "lookup", '{"ci'),
        call(1, "b", "log", ""),
        more(0, 'ty":"Oslo"}'),
        finish("tool_calls"),
    ]
    async with chat_server(fragments, text("It is grey there.")) as server, brain_of(server) as brain:
        reply = ready_reply(lookup={"sky": "grey"}, log={"ok": True})
        await brain.answer(UserTurn(1, "Weather?"), reply)

    assert reply.called == [[("lookup", '{"city":"Oslo"}'), ("log", "{}")]]
    assert reply.said == ["One moment please.", "It is grey there."]
    assert server.asked[1]["messages"][len(BEGINNING) + 1 :] == [
        {
            "role": "assistant",
            "content": "One moment please.",
            "tool_calls": [
                {"id": "a", "type": "function", "function": {"name": "lookup", "arguments": '{"city":"Oslo"}'}},
                {"id": "b", "type": "function", "function": {"name": "log", "arguments": "{}"}},
            ],
        },
        {"role": "tool", "tool_call_id": "a", "content": '{"sky":"grey"}'},
        {"role": "tool", "tool_call_id": "b", "content": '{"ok":true}'},
    ]


async def test_parallel_calls_that_share_a_number_are_told_apart_by_their_ids() -> None:
    calls = [call(0, "a", "lookup", "{}"), call(0, "b", "log", "{}"), finish("tool_calls")]
    async with chat_server(calls, text("Both are done now.")) as server, brain_of(server) as brain:
        reply = ready_reply()
        await brain.answer(UserTurn(1, "Go"), reply)

    assert reply.called == [[("lookup", "{}"), ("log", "{}")]]


async def test_calls_without_number_and_id_with_arguments_as_an_object_are_understood() -> None:
    whole = {
        "choices": [{"message": {"tool_calls": [{"function": {"name": "lookup", "arguments": {"city": "Oslo"}}}]}, "finish_reason": "stop"}]
    }
    answer = Answer([json.dumps(whole).encode()], content_type="application/json")
    async with chat_server(answer, text("That is all of it.")) as server, brain_of(server) as brain:
        reply = ready_reply()
        await brain.answer(UserTurn(1, "Go"), reply)

    assert reply.called == [[("lookup", '{"city":"Oslo"}')]]
    assert server.asked[1]["messages"][-1]["tool_call_id"] == "call_0"


async def test_a_tool_that_the_client_does_not_have_is_refused_to_the_model_alone() -> None:
    wanting = [call(0, "a", "delete_all", "{}"), finish("tool_calls")]
    async with chat_server(wanting, text("I cannot do that.")) as server, brain_of(server) as brain:
        reply = ready_reply()
        await brain.answer(UserTurn(1, "Go"), reply)

    assert reply.called == []
    assert json.loads(server.asked[1]["messages"][-1]["content"]) == {"error": "there is no such tool"}


async def test_arguments_that_are_no_json_go_to_the_client_as_they_are_and_not_back_to_the_endpoint() -> None:
    wanting = [call(0, "a", "lookup", "{city"), finish("tool_calls")]
    async with chat_server(wanting, text("That went wrong.")) as server, brain_of(server) as brain:
        reply = ready_reply()
        await brain.answer(UserTurn(1, "Go"), reply)

    assert reply.called == [[("lookup", "{city")]]
    assert server.asked[1]["messages"][-2]["tool_calls"][0]["function"]["arguments"] == "{}"


async def test_a_turn_while_tools_run_tells_the_model_that_they_do() -> None:
    answers = ([call(0, "a", "lookup", "{}"), finish("tool_calls")], text("Still at it, sorry."), text("It is grey."))
    async with chat_server(*answers) as server, brain_of(server) as brain:
        first = NotedReply({"lookup": {"sky": "grey"}})
        answering = asyncio.create_task(brain.answer(UserTurn(1, "Weather?"), first))
        await first.spoke.wait()
        await brain.answer(UserTurn(2, "And?"), NotedReply())
        first.may_answer.set()
        await answering

    assert [message["role"] for message in server.asked[1]["messages"]][3:] == ["user", "assistant", "tool", "user"]
    assert json.loads(server.asked[1]["messages"][-2]["content"]) == {"status": "there is no result yet"}
    assert [message["content"] for message in server.asked[2]["messages"]][3:] == [
        "And?",
        "Still at it, sorry.",
        "Weather?",
        "",
        '{"sky":"grey"}',
    ]


async def test_a_model_that_wants_tools_without_end_has_to_answer_without_them(caplog: pytest.LogCaptureFixture) -> None:
    async with chat_server([call(0, "a", "log", "{}"), finish("tool_calls")]) as server, brain_of(server) as brain:
        reply = ready_reply()
        await brain.answer(UserTurn(1, "Go"), reply)

    assert (len(reply.called), reply.said) == (MOST_ROUNDS, [FAILURE])
    assert ["tools" in asked for asked in server.asked] == [True] * MOST_ROUNDS + [False]
    assert "asks for tools without end" in caplog.text


async def test_an_interruption_closes_the_request_and_is_remembered() -> None:
    story = [delta(content="Once upon a time. There"), HANG]
    async with chat_server(story, text("As you like it.")) as server, brain_of(server) as brain:
        reply = NotedReply()
        answering = asyncio.create_task(brain.answer(UserTurn(1, "A story!"), reply))
        await reply.spoke.wait()
        answering.cancel()
        with pytest.raises(asyncio.CancelledError):
            await answering
        await server.dropped.wait()
        await brain.answer(UserTurn(2, "Stop."), NotedReply())

    assert [message["content"] for message in server.asked[1]["messages"][3:]] == ["A story!", "Once upon a time. ...", "Stop."]


@pytest.mark.parametrize(
    ("answer", "cause"),
    [
        (Answer(status=401), "answered HTTP 401: it does not take the key: see --chat-key-file"),
        (Answer(status=404), "answered HTTP 404: there is no such model, or no API under this URL: see --chat-model and --chat-url"),
        (Answer(status=500), "answered HTTP 500"),
        (Answer(status=302), "answered HTTP 302"),
        (Answer(status=599), "answered HTTP 599"),
        (Answer([b"data: {not json\n\n"]), "sent what is no JSON"),
        (Answer([b"data: [1]\n\n"]), "sent something else than a completion"),
        (Answer([event({"error": {"message": KEY}})]), "reported an error in the middle of its answer"),
        (Answer([b"<html>", b"not an API</html>"], content_type="text/html"), "ended in the middle of its answer"),
        (Answer([delta(content="x" * 600_000)[:-2]] * 2), "sent an event without end"),
        (Answer([delta(reasoning_content="x" * 600_000)] * 8), "does not end its answer"),
        (Answer([HANG]), "did not answer within 0.3 s"),
        (Answer([delta(role="assistant"), HANG]), "fell silent for 0.3 s"),
        (Answer(text()), "answered with nothing"),
        (
            Answer([event({"choices": 3}), event({"choices": [1, {"delta": [], "finish_reason": None}]})]),
            "ended in the middle of its answer",
        ),
    ],
)
async def test_a_failure_is_said_in_words_and_logged_in_one_line(answer: Answer, cause: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "nova_sonic_local")
    async with chat_server(answer, text("Here I am again.")) as server, brain_of(server, patience_seconds=0.3) as brain:
        failed, served = NotedReply(), NotedReply()
        await brain.answer(UserTurn(1, "Tell me a secret."), failed)
        await brain.answer(UserTurn(2, "Again?"), served)
        lines = [
            record.getMessage() for record in caplog.records if record.name.startswith("nova_sonic_local") and "speech" not in record.msg
        ]
        place = server.url.removeprefix("http://").removesuffix("/v1")

    assert (failed.said, served.said) == ([FAILURE], ["Here I am again."])
    assert lines == [f"the chat endpoint {place} {cause}"]


async def test_an_unreachable_endpoint_is_told(caplog: pytest.LogCaptureFixture) -> None:
    async with chat_server(text("x")) as server:
        pass
    async with brain_of(server) as brain:
        reply = NotedReply()
        await brain.answer(UserTurn(1, "Hi"), reply)

    assert reply.said == [FAILURE]
    assert "cannot be reached: Cannot connect to host 127.0.0.1" in caplog.text
    assert KEY not in caplog.text


async def test_an_answer_that_breaks_off_keeps_what_was_said() -> None:
    async with chat_server([delta(content="It is half past. Then")], text("Go on, please do.")) as server, brain_of(server) as brain:
        reply = NotedReply()
        await brain.answer(UserTurn(1, "Time?"), reply)
        await brain.answer(UserTurn(2, "Yes?"), NotedReply())

    assert reply.said == ["It is half past.", FAILURE]
    assert server.asked[1]["messages"][-2] == {"role": "assistant", "content": f"It is half past. ... {FAILURE}"}
