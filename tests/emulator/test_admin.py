"""The admin endpoint over HTTP/1.1, beside a client on HTTP/2."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from nova_sonic_local.admin_guard import LARGEST_BODY_BYTES, is_trusted_host
from nova_sonic_local.brains.interface import Brain, Prompt
from nova_sonic_local.options import Options
from nova_sonic_local.server import NovaSonicLocal
from tests.emulator.wire import Json, RawClient, RawStream, audio_input, closing, inner_bytes, opening, silence, spoken_turn, tool

SCRIPTS = {
    "weather": '[[turns]]\nhear = "weather"\nsay = "Rain."\ntools = [{ name = "lookup" }]\nthen = "Still rain."',
    "broken": "turns = 7",
}


@dataclass
class Desk:
    emulator: NovaSonicLocal
    client: RawClient
    http: aiohttp.ClientSession

    async def ask(self, method: str, path: str, body: object = None, headers: Mapping[str, str] | None = None) -> tuple[int, Json]:
        url = f"{self.emulator.admin_endpoint}{path}"
        async with self.http.request(method, url, json=body, headers=headers) as response:
            assert response.content_type == "application/json"
            answer: Json = json.loads(await response.text())
            return response.status, answer

    async def get(self, path: str) -> Json:
        status, answer = await self.ask("GET", path)
        assert status == 200, answer
        return answer

    async def refusal(self, method: str, path: str, body: object = None, headers: Mapping[str, str] | None = None) -> tuple[int, str]:
        status, answer = await self.ask(method, path, body, headers)
        assert list(answer) == ["error"], answer
        assert answer["error"]["message"]
        return status, answer["error"]["code"]

    async def settled(self) -> None:
        """Wait until no stream is served."""
        assert self.emulator._service is not None
        await self.emulator._service.idle()

    async def converse(self, *events: Json, headers: Mapping[str, str] | None = None) -> RawStream:
        """Play a whole stream."""
        stream = self.client.open(headers=list((headers or {}).items()))
        await stream.send(*opening(), *(events or (audio_input(silence(0.1)),)), *closing())
        await stream.ending()
        await self.settled()
        return stream


@pytest.fixture
def scripts(tmp_path: Path) -> Path:
    for name, text in SCRIPTS.items():
        (tmp_path / f"{name}.toml").write_text(text)
    return tmp_path


@pytest.fixture
def options(scripts: Path) -> Options:
    return Options(brain="echo", admin_port=0, scenario_dir=scripts)


@pytest.fixture
async def desk(options: Options) -> AsyncIterator[Desk]:
    async with (
        NovaSonicLocal(options) as emulator,
        RawClient(emulator.h2c_endpoint) as client,
        aiohttp.ClientSession() as http,
    ):
        yield Desk(emulator, client, http)


async def live(desk: Desk, **headers: str) -> RawStream:
    """Open a stream and wait until it answers."""
    stream = desk.client.open(headers=[(name.replace("_", "-"), value) for name, value in headers.items()])
    await stream.send(*opening(tools=[tool()]), audio_input(silence(0.1)))
    await stream.until("audioOutput")
    return stream


async def test_it_tells_where_the_emulator_listens(desk: Desk) -> None:
    about = await desk.get("/v1")

    assert about["endpoint"] == desk.emulator.endpoint
    assert about["admin"] == desk.emulator.admin_endpoint
    assert about["brain"] == "echo"


async def test_without_a_port_there_is_no_endpoint() -> None:
    async with NovaSonicLocal(Options()) as emulator:
        assert emulator.admin_endpoint is None


async def test_a_live_stream_is_listed(desk: Desk) -> None:
    stream = await live(desk)
    (listed,) = (await desk.get("/v1/streams"))["streams"]
    expected: Json = {
        "id": "1",
        "request_id": stream.headers["x-amzn-requestid"],
        "model": "amazon.nova-2-sonic-v1:0",
        "brain": "echo",
        "voice": "matthew",
        "state": "audio_open",
        "pending_tools": [],
        "ending": None,
    }

    assert {name: listed[name] for name in expected} == expected
    assert (listed["in"]["events"], listed["in"]["audio_events"]) == (7, 1)
    assert (listed["out"]["events"], listed["out"]["audio_events"]) == (3, 1)
    assert listed["out"]["bytes"] > 3200


async def test_a_tool_call_that_waits_is_listed(desk: Desk) -> None:
    stream = desk.client.open(headers=[("x-nova-sonic-local-brain", "script:weather")])
    await stream.send(*opening(tools=[tool()]), *spoken_turn())
    call = await stream.until("toolUse")
    (listed,) = (await desk.get("/v1/streams"))["streams"]

    assert (listed["brain"], listed["pending_tools"]) == ("script:weather", [call["toolUseId"]])


async def test_an_ended_stream_is_listed_with_how_it_ended(desk: Desk) -> None:
    await desk.converse()
    broken = desk.client.open()
    await broken.send({"event": {"promptEnd": {"promptName": "P"}}})
    await broken.ending()
    await desk.settled()
    first, second = (await desk.get("/v1/streams"))["streams"]

    assert (first["state"], first["ending"]) == ("ended", {"how": "completed"})
    assert second["ending"]["how"] == "refused"
    assert second["ending"]["member"] == "validationException"


async def test_a_transcript_has_both_directions_with_times_and_audio_as_its_length(desk: Desk) -> None:
    stream = await desk.converse()
    transcript = await desk.get("/v1/streams/1")
    by_request = await desk.get(f"/v1/streams/{stream.headers['x-amzn-requestid']}")
    outline = [(event["dir"], event["name"]) for event in transcript["events"]]
    times = [event["t"] for event in transcript["events"]]
    heard, said = (event for event in transcript["events"] if "audio_bytes" in event)

    assert outline[:7] == [
        ("in", "sessionStart"),
        ("in", "promptStart"),
        ("in", "contentStart"),
        ("in", "textInput"),
        ("in", "contentEnd"),
        ("in", "contentStart"),
        ("in", "audioInput"),
    ]
    assert outline[7:10] == [("out", "completionStart"), ("out", "contentStart"), ("out", "audioOutput")]
    assert ("out", "completionEnd") in outline
    assert times == sorted(times)
    assert (heard["audio_bytes"], said["audio_bytes"]) == (3200, 3200)
    assert "event" not in heard
    assert transcript["events"][3]["event"]["textInput"]["content"] == "Be brief."
    assert by_request["events"] == transcript["events"]


async def test_a_transcript_can_be_followed(desk: Desk) -> None:
    await desk.converse()
    everything = (await desk.get("/v1/streams/1"))["events"]
    rest = (await desk.get("/v1/streams/1?after=5"))["events"]

    assert rest == everything[5:]


async def test_sound_is_only_told_when_it_is_kept(scripts: Path) -> None:
    async with (
        NovaSonicLocal(Options(brain="echo", admin_port=0, keep_sound=True)) as emulator,
        RawClient(emulator.h2c_endpoint) as client,
        aiohttp.ClientSession() as http,
    ):
        desk = Desk(emulator, client, http)
        await desk.converse(audio_input(b"\1\2" * 100))
        full = (await desk.get("/v1/streams/1?audio=full"))["events"]
        short = (await desk.get("/v1/streams/1"))["events"]

    sounds = [event["event"][event["name"]]["content"] for event in full if "audio_bytes" in event]
    assert sounds == [audio_input(b"\1\2" * 100)["event"]["audioInput"]["content"]] * 2
    assert ["event" in event for event in short if "audio_bytes" in event] == [False, False]


async def test_an_input_that_is_no_json_is_in_the_transcript(desk: Desk) -> None:
    stream = desk.client.open()
    await stream.write(inner_bytes(b"\xff{"))
    await stream.ending()
    await desk.settled()
    (event,) = (await desk.get("/v1/streams/1"))["events"]

    assert event["unparsable"] == "/3s="


async def test_a_fault_is_injected_into_a_live_stream(desk: Desk) -> None:
    stream = await live(desk)
    status, answer = await desk.ask("POST", "/v1/streams/1/fault", {"fault": "rst"})
    ending = await stream.ending()
    await desk.settled()
    (listed,) = (await desk.get("/v1/streams"))["streams"]

    assert (status, answer["id"]) == (200, "1")
    assert ending.reset_code is not None
    assert listed["ending"] == {"how": "cut", "fault": "rst"}


async def test_a_client_that_goes_away_is_told(desk: Desk) -> None:
    stream = await live(desk)
    desk.client.h2.reset_stream(stream.stream_id)
    desk.client.flush()
    await desk.settled()
    (listed,) = (await desk.get("/v1/streams"))["streams"]

    assert (listed["state"], listed["ending"]) == ("ended", {"how": "client_gone"})


async def test_a_bug_of_ours_is_told_apart() -> None:
    def broken(prompt: Prompt) -> Brain:
        raise RuntimeError(prompt.model_id)

    async with (
        NovaSonicLocal(Options(brain=broken, admin_port=0)) as emulator,
        RawClient(emulator.h2c_endpoint) as client,
        aiohttp.ClientSession() as http,
    ):
        desk = Desk(emulator, client, http)
        stream = client.open()
        await stream.send(*opening())
        ending = await stream.ending()
        await desk.settled()
        (listed,) = (await desk.get("/v1/streams"))["streams"]

    assert ending.exception is not None
    assert (listed["brain"], listed["ending"]) == ("custom", {"how": "failed"})


@pytest.mark.parametrize(
    ("path", "body", "expected"),
    [
        ("/v1/streams/1/fault", {"fault": "fire"}, (400, "unknown_fault")),
        ("/v1/streams/1/fault", {}, (400, "missing_member")),
        ("/v1/streams/1/fault", {"fault": 7}, (400, "wrong_value")),
        ("/v1/streams/1/fault", {"fault": "rst", "when": "now"}, (400, "unknown_member")),
        ("/v1/streams/1/fault", ["rst"], (400, "not_json")),
        ("/v1/streams/99/fault", {"fault": "rst"}, (404, "unknown_stream")),
    ],
)
async def test_a_fault_that_cannot_be_injected_is_told(desk: Desk, path: str, body: object, expected: tuple[int, str]) -> None:
    await live(desk)

    assert await desk.refusal("POST", path, body) == expected


async def test_nothing_is_injected_into_an_ended_stream(desk: Desk) -> None:
    await desk.converse()

    assert await desk.refusal("POST", "/v1/streams/1/fault", {"fault": "rst"}) == (409, "stream_ended")


async def test_the_next_streams_get_what_was_planned_for_them(desk: Desk) -> None:
    status, plan = await desk.ask("PUT", "/v1/next", {"brain": "script", "scenario": "weather", "fault": "http_429", "times": 2})
    statuses = []
    for _ in range(3):
        stream = desk.client.open()
        await stream.send(*opening(), audio_input(silence(0.1)))
        statuses.append(await stream.head())
    left = await desk.get("/v1/next")

    assert (status, plan) == (200, {"brain": "script:weather", "fault": "http_429", "times": 2})
    assert statuses == [429, 429, 200]
    assert left == {"brain": "", "fault": "", "times": 0}


async def test_a_planned_brain_answers_one_stream(desk: Desk) -> None:
    await desk.ask("PUT", "/v1/next", {"brain": "script:weather"})
    first = desk.client.open()
    await first.send(*opening(tools=[tool()]), *spoken_turn())
    await first.until("toolUse")
    await live(desk)

    assert [stream["brain"] for stream in (await desk.get("/v1/streams"))["streams"]] == ["script:weather", "echo"]


async def test_each_operation_has_a_plan_of_its_own(desk: Desk) -> None:
    status, _ = await desk.ask("PUT", "/v1/next", {"operation": "converse", "fault": "http_429", "times": 2})
    request = desk.client.open("/model/a.text-model/converse")
    request.end()
    throttled = await request.ending()
    left = await desk.get("/v1/next?operation=converse")
    counters = await desk.get("/v1/counters")
    _, taken = await desk.ask("DELETE", "/v1/next?operation=converse")

    assert status == 200
    assert (throttled.status, throttled.headers["x-amzn-errortype"]) == (429, "ThrottlingException")
    assert (left["times"], taken["times"]) == (1, 0)
    assert counters["calls"] == {"converse": {"http_429": 1}}
    assert (await live(desk)).status == 200


async def test_a_plan_is_for_an_operation_that_there_is(desk: Desk) -> None:
    assert await desk.refusal("PUT", "/v1/next", {"operation": "rekognition"}) == (400, "wrong_value")
    assert await desk.refusal("GET", "/v1/next?operation=rekognition", None) == (400, "wrong_value")


async def test_a_plan_is_taken_back(desk: Desk) -> None:
    await desk.ask("PUT", "/v1/next", {"fault": "http_429"})
    _, plan = await desk.ask("DELETE", "/v1/next")

    assert plan["times"] == 0
    assert (await live(desk)).status == 200


@pytest.mark.parametrize(
    "body",
    [
        {"brain": "poet"},
        {"brain": "script:../weather"},
        {"brain": "script:broken"},
        {"brain": "echo:weather"},
        {"fault": "fire"},
        {"times": -1},
        {"times": True},
        {"times": 10_000_000},
    ],
)
async def test_a_plan_that_cannot_be_kept_is_refused(desk: Desk, body: object) -> None:
    assert await desk.refusal("PUT", "/v1/next", body) == (400, "wrong_value")
    assert (await desk.get("/v1/next"))["times"] == 0


async def test_counters_are_sums_over_live_and_ended_streams(desk: Desk) -> None:
    await desk.converse()
    await live(desk)
    refused = desk.client.open(headers=[("x-nova-sonic-local-brain", "poet")])
    await refused.send(*opening())
    await refused.ending()
    counters = await desk.get("/v1/counters")

    assert counters["streams"] == {"opened": 2, "live": 1, "ended": {"completed": 1}}
    assert counters["refused"] == {"ValidationException": 1}
    assert counters["in"]["audio_events"] == counters["out"]["audio_events"] == 2
    assert counters["in"]["events"] == 7 + 3 + 7
    assert counters["dropped"] == {"streams": 0, "events": 0}


async def test_a_reset_ends_all_streams_and_forgets_everything(desk: Desk) -> None:
    await desk.converse()
    stream = await live(desk)
    await desk.ask("PUT", "/v1/next", {"fault": "http_429"})
    assert await desk.ask("POST", "/v1/reset") == (200, {"reset": True})
    ending = await stream.ending()
    counters = await desk.get("/v1/counters")

    assert ending.reset_code == 8
    assert (await desk.get("/v1/streams"))["streams"] == []
    assert counters["streams"] == {"opened": 0, "live": 0, "ended": {}}
    assert (await desk.get("/v1/next"))["times"] == 0
    assert desk.emulator.live_streams == 0


async def test_after_a_reset_it_serves_again(desk: Desk) -> None:
    await live(desk)
    await desk.ask("POST", "/v1/reset")
    await desk.converse()
    (listed,) = (await desk.get("/v1/streams"))["streams"]

    assert (listed["id"], listed["ending"]) == ("2", {"how": "completed"})


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("GET", "/", (404, "unknown_path")),
        ("GET", "/v2/streams", (404, "unknown_path")),
        ("GET", "/v1/streams/..%2f1", (404, "unknown_stream")),
        ("GET", "/v1/streams/7", (404, "unknown_stream")),
        ("GET", "/v1/streams/1?audio=loud", (400, "wrong_value")),
        ("GET", "/v1/streams/1?after=-1", (400, "wrong_value")),
        ("GET", "/v1/streams/1?after=99999999999999999999", (400, "wrong_value")),
        ("GET", "/v1/streams/1?audio=full", (409, "sound_not_kept")),
        ("GET", "/v1/streams?limit=3", (400, "unknown_parameter")),
        ("DELETE", "/v1/streams", (405, "method_not_allowed")),
        ("GET", "/v1/reset", (405, "method_not_allowed")),
    ],
)
async def test_what_does_not_exist_is_refused_with_a_code(desk: Desk, method: str, path: str, expected: tuple[int, str]) -> None:
    assert await desk.refusal(method, path) == expected


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"Origin": "http://localhost:3000"}, "origin_refused"),
        ({"Origin": "null"}, "origin_refused"),
        ({"Host": "attacker.example"}, "host_refused"),
        ({"Host": "attacker.example:80"}, "host_refused"),
        ({"Host": "intranet"}, "host_refused"),
        ({"Host": ""}, "host_refused"),
        ({"Host": "[::1"}, "host_refused"),
    ],
)
@pytest.mark.parametrize(("method", "path"), [("GET", "/v1/streams"), ("POST", "/v1/reset"), ("GET", "/nothing")])
async def test_a_page_in_a_browser_cannot_use_it(desk: Desk, method: str, path: str, headers: dict[str, str], expected: str) -> None:
    await live(desk)

    assert await desk.refusal(method, path, headers=headers) == (403, expected)
    assert desk.emulator.live_streams == 1


@pytest.mark.parametrize(
    ("name", "bound_to", "expected"),
    [
        ("localhost", "127.0.0.1", True),
        ("127.0.0.1", "127.0.0.1", True),
        ("::1", "::1", True),
        ("192.0.2.7", "0.0.0.0", True),
        ("emulator", "0.0.0.0", True),
        ("emulator", "127.0.0.1", False),
        ("emulator.example", "0.0.0.0", False),
        ("emulator.example", "emulator.example", True),
        ("", "127.0.0.1", False),
    ],
)
def test_a_host_is_trusted_unless_a_stranger_can_point_it_here(name: str, bound_to: str, *, expected: bool) -> None:
    assert is_trusted_host(name, bound_to) is expected


@pytest.mark.parametrize(
    ("data", "content_type", "expected"),
    [
        (b"{", "application/json", (400, "not_json")),
        (b"[" * 5_000, "application/json", (400, "not_json")),
        (b"\xff", "application/json", (400, "not_json")),
        (b"null", "application/json", (400, "not_json")),
        (b"fault=rst", "application/x-www-form-urlencoded", (415, "wrong_media_type")),
        (b'{"fault":"rst"}', "text/plain", (415, "wrong_media_type")),
        (b" " * (LARGEST_BODY_BYTES + 1), "application/json", (413, "body_too_large")),
    ],
)
async def test_a_body_that_cannot_be_used_is_refused_with_a_code(
    desk: Desk, data: bytes, content_type: str, expected: tuple[int, str]
) -> None:
    url = f"{desk.emulator.admin_endpoint}/v1/next"
    async with desk.http.put(url, data=data, headers={"Content-Type": content_type}) as response:
        answer: dict[str, Any] = await response.json()

    assert (response.status, answer["error"]["code"]) == expected


async def test_it_survives_what_is_no_http(desk: Desk) -> None:
    assert desk.emulator.admin_endpoint is not None
    port = int(desk.emulator.admin_endpoint.rsplit(":", 1)[1])
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(2_000))
    async with asyncio.timeout(10):
        await reader.read()
    writer.close()

    assert (await desk.get("/v1/streams"))["streams"] == []
