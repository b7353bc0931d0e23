"""Names that clients choose: addresses, paths and statements in them stay what they are, words that nobody follows."""

import json

import pytest

from tests.security.battery import CANARY, Ground, knock
from tests.security.tongues import HERTZ, RAW
from tests.server.process import ROOT
from tests.transports import raw_client
from tests.transports.raw_client import event

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.req("S2-28", "S0-57", "S4-06")]

NAMES = {
    "the metadata of the machine": "http://169.254.169.254/latest/meta-data/iam/",
    "our own port": "http://127.0.0.1:{port}/health",
    "a file": "file:///etc/passwd",
    "another protocol": "gopher://127.0.0.1:6379/_FLUSHALL",
    "a path upwards": "../../../../etc/passwd",
    "an encoded path upwards": "..%2f..%2f..%2fetc%2fpasswd",
    "a path of another system": "..\\..\\windows\\win.ini",
    "an assistant in another folder": "../assistants/carlos",
    "a null byte": "carlos\0.toml",
    "line breaks": "carlos\r\nSet-Cookie: a=b",
    "a lone direction mark": "carlos\u202eotni",
    "a statement": "'; DROP TABLE records; --",
    "a condition": "1 OR 1=1",
    "a key of the table": "ORDER#1",
    "a template": "{{7*7}}${{7*7}}%(secret)s{0.__class__}",
    "a lookup": "${jndi:ldap://127.0.0.1/a}",
    "a shell": "$(touch touched)`touch touched`; touch touched",
    "a script": "<script>alert(1)</script>",
    "ten thousand letters": "a" * 10_000,
    "a name from a canary": CANARY,
}


@pytest.fixture(params=NAMES)
def name(request: pytest.FixtureRequest, ground: Ground) -> str:
    return str(NAMES[request.param]).replace("{port}", str(ground.port))


async def test_an_assistant_a_language_and_a_voice_are_taken_from_a_list(ground: Ground, name: str) -> None:
    members = ("assistant", "language", "voice")
    async with ground.watched(), ground.attacker() as attacker:
        for member in members:
            await attacker.send(json.dumps({"type": "hello", "protocol": 1, member: name}))
        told = await attacker.codes_until_probe(len(members))

        assert set(told[:-1]) <= {"not_allowed", "too_large"}
        assert len(told) == len(members) + 1
        assert attacker.named("session.started") == []


async def test_names_of_a_raw_client_are_carried_and_never_followed(ground: Ground, name: str) -> None:
    opening = [
        raw_client.session_start(),
        raw_client.prompt_start(prompt=name, hertz=HERTZ),
        *raw_client.text_block(name + "S", "SYSTEM", name, prompt=name),
        raw_client.audio_start(name, prompt=name),
    ]
    async with ground.watched(), ground.attacker(RAW) as attacker:
        await attacker.send(*opening, raw_client.audio(bytes(64), content=name, prompt=name), event("sessionEnd"))
        told = await attacker.codes_until_probe(0)

        assert set(told) <= {"unknown_event", "bad_frame", "too_large", "wrong_order"}
        assert not (ROOT / "touched").exists()


async def test_a_voice_of_a_raw_client_is_taken_from_a_list(ground: Ground, name: str) -> None:
    async with ground.watched(), ground.attacker(RAW) as attacker:
        await attacker.send(raw_client.session_start(), raw_client.prompt_start(voice=name, hertz=HERTZ), *raw_client.opening()[2:])

        assert await attacker.until_closed() == 1008
        assert attacker.codes == ["not_allowed"]


async def test_model_region_and_endpoint_are_not_a_clients_to_choose(ground: Ground, name: str) -> None:
    before = {stream["id"] for stream in ground.emulator.control.streams()}
    start = json.loads(raw_client.session_start())
    start["event"]["sessionStart"] |= {"modelId": name, "endpoint": name, "region": name, "endpoint_uri": name}
    async with ground.watched(), ground.attacker(RAW) as attacker:
        await attacker.send(
            json.dumps(start), raw_client.prompt_start(hertz=HERTZ), *raw_client.opening()[2:], raw_client.audio(b"\1\1" * 512)
        )
        await attacker.until(lambda: "audioOutput" in str(attacker.answers))
        (stream,) = [stream for stream in ground.emulator.control.streams() if stream["id"] not in before]

        assert stream["model"] == "amazon.nova-2-sonic-v1:0"
        assert attacker.codes == []


async def test_a_token_that_is_none_leads_to_no_session(ground: Ground, name: str) -> None:
    async with ground.watched(), ground.attacker() as attacker:
        await attacker.send(json.dumps({"type": "resume", "protocol": 1, "token": name, "seq": 0}))
        told = await attacker.codes_until_probe(1)

        assert told[0] in {"resume_refused", "too_large"}


async def test_names_in_the_address_lead_nowhere(ground: Ground, name: str) -> None:
    escaped = "".join(f"%{byte:02x}" for byte in name.encode()[:1_500])
    async with ground.watched():
        told = await knock(ground, [f"GET /{escaped}?userId={escaped}&sessionId={escaped} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()])

        assert told.statuses in ([404], [414], [400])


async def test_afterwards_everything_is_as_it_was(ground: Ground) -> None:
    await ground.unharmed()
