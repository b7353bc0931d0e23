"""Plain HTTP in hostile hands: records, connections and sessions of others, forged tokens, and requests that make no sense."""

import json
import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field

import pytest
import pytest_asyncio
from aiohttp import ClientSession

from tests.auth.issuer import Issuer, running_issuer
from tests.auth.test_tokens import FORGED
from tests.security.battery import CANARY, RECORDS, Ground, battleground

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.req("S0-54", "S0-57", "S2-28", "S0-17")]

EVA = "eva"
"""Has no order and no appointment."""
ANA = "ana"
"""Has order 4 and appointments of her own."""
OPERATOR = "operator"
ADDRESSES = {EVA: "eva@email.com", ANA: "ana.martinez@email.com", OPERATOR: "operator@email.com"}
NEW_ORDER = {"customerName": "Eva", "customerEmail": ADDRESSES[EVA], "items": [{"name": "a", "quantity": 1, "price": 5}]}


@dataclass(slots=True)
class Answer:
    """What a request was answered."""

    status: int
    headers: Mapping[str, str]
    text: str

    @property
    def code(self) -> str:
        """Of the refusal."""
        error = json.loads(self.text)["error"]
        assert set(error) >= {"code", "message", "retryable", "ref"}
        return str(error["code"])

    def told_of(self, number: str) -> str:
        """Return the body without the reference, which is another one each time, and without the number that was asked for."""
        return re.sub(r'"ref":"\w+"', "", self.text).replace(number, "")


@dataclass(slots=True)
class Desk:
    """Where somebody asks."""

    ground: Ground
    issuer: Issuer
    http: ClientSession
    tokens: dict[str, str] = field(default_factory=dict)

    def token(self, user: str) -> str:
        """Return the token of one of the three."""
        groups = ["operators"] if user == OPERATOR else []
        return self.tokens.setdefault(user, self.issuer.token(user, email=ADDRESSES[user], groups=groups))

    async def ask(self, method: str, path: str, *, by: str = EVA, token: str | None = None, **request: object) -> Answer:
        """Send a request; by nobody if `by` is empty."""
        shown = token if token is not None else self.token(by) if by else ""
        headers = {**({"Authorization": f"Bearer {shown}"} if shown else {}), **request.pop("headers", {})}  # type: ignore[dict-item]
        url = f"http://127.0.0.1:{self.ground.port}{path}"
        async with self.http.request(method, url, headers=headers, **request) as response:  # type: ignore[arg-type]
            answer = Answer(response.status, response.headers, (await response.read()).decode(errors="replace"))
        self.ground.answered.append(answer.text)
        return answer


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def issuer() -> AsyncIterator[Issuer]:
    """Somebody who signs tokens that name an address."""
    async with running_issuer("id") as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def ground(tmp_path_factory: pytest.TempPathFactory, issuer: Issuer) -> AsyncIterator[Ground]:
    """A server with records that asks for tokens."""
    bearer = {"Authorization": f"Bearer {issuer.token('neighbour')}"}
    async with battleground(tmp_path_factory.mktemp("battery"), issuer.settings, "--local", headers=bearer) as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def desk(ground: Ground, issuer: Issuer) -> AsyncIterator[Desk]:
    """Where somebody asks over HTTP."""
    async with ClientSession() as http:
        yield Desk(ground, issuer, http)


def shows(answer: Answer) -> list[str]:
    """Return what of others an answer shows."""
    return [word for word in (*RECORDS, "TRK") if word in answer.text]


PRIVATE = {
    "the orders": ("GET", "/orders"),
    "an order": ("GET", "/orders/1"),
    "a new order": ("POST", "/orders"),
    "a change of an order": ("PATCH", "/orders/1"),
    "the end of an order": ("DELETE", "/orders/1"),
    "the appointments": ("GET", "/appointments"),
    "those of a day": ("GET", "/appointments?date=2030-01-16"),
    "an appointment": ("GET", "/appointments/1"),
    "a new appointment": ("POST", "/appointments"),
    "a change of an appointment": ("PATCH", "/appointments/1"),
    "the end of an appointment": ("DELETE", "/appointments/1"),
    "the connections": ("GET", "/connections"),
    "a connection": ("GET", "/connections/1"),
    "the end of a connection": ("DELETE", "/connections/1"),
    "the sweep": ("POST", "/connections/sweep"),
    "the audit trail": ("GET", "/audit"),
    "the sessions": ("GET", "/sessions"),
    "a session": ("GET", "/sessions/1"),
    "the end of a session": ("DELETE", "/sessions/1"),
}


@pytest.mark.parametrize("name", PRIVATE)
async def test_without_a_token_nothing_is_told(desk: Desk, ground: Ground, name: str) -> None:
    method, path = PRIVATE[name]
    async with ground.watched():
        answer = await desk.ask(method, path, by="", json={})
        in_query = await desk.ask(method, f"{path}{'&' if '?' in path else '?'}token={desk.token(OPERATOR)}", by="", json={})

        assert (answer.status, answer.code, in_query.status) == (401, "not_authenticated", 401)
        assert shows(answer) == []


FIT = re.compile(r"[!-~]{5,4000}")
"""What fits into a header."""
FORGED_HERE = [
    name
    for name, forge in FORGED.items()
    if FIT.fullmatch(forge(Issuer())) and not name.startswith(("client_id", "aud", "token_use id"))  # nothing of an id token
]


@pytest.mark.parametrize("name", FORGED_HERE)
async def test_with_a_forged_token_nothing_is_told(desk: Desk, ground: Ground, issuer: Issuer, name: str) -> None:
    token = FORGED[name](issuer)
    async with ground.watched():
        answer = await desk.ask("GET", "/orders/1", token=token)

        assert answer.status == 401
        assert [part for part in token.split(".") if len(part) > 10 and part in answer.text] == []


OPERATORS = ["a change of an order", "the end of an order", "the end of an appointment", "the sweep", "the audit trail"]


@pytest.mark.parametrize("name", [name for name in PRIVATE if "/1" in PRIVATE[name][1] or name in OPERATORS])
async def test_who_is_nobody_special_gets_at_nothing_of_others(desk: Desk, ground: Ground, name: str) -> None:
    method, path = PRIVATE[name]
    body = {"status": "cancelled"} if method == "PATCH" else None
    async with ground.watched():
        theirs = await desk.ask(method, path, json=body)
        missing = await desk.ask(method, path.replace("/1", "/987654"), json=body)

        assert theirs.status in (403, 404)
        assert (theirs.status, theirs.told_of(" 1.")) == (missing.status, missing.told_of(" 987654."))
        assert shows(theirs) == []


LISTS = ["/orders", "/appointments", "/orders?status=pending", "/appointments?date=2030-01-16", "/connections", "/sessions"]
EMAILS = ["juan.perez@email.com", "JUAN.PEREZ@EMAIL.COM", "juan.perez@email.com%00", "juan.perez@email.com,eva@email.com", "*", "%25"]


@pytest.mark.parametrize("path", LISTS)
async def test_lists_hold_what_is_ones_own(desk: Desk, ground: Ground, path: str) -> None:
    async with ground.watched():
        answer = await desk.ask("GET", path)

        assert answer.status in (200, 403)
        assert shows(answer) == []
        assert "neighbour" not in answer.text


@pytest.mark.parametrize("email", EMAILS)
@pytest.mark.parametrize("path", ["/orders?customerEmail=", "/appointments?patientEmail=", "/connections?userId=", "/sessions?userId="])
async def test_to_ask_for_somebody_elses_finds_nothing(desk: Desk, ground: Ground, path: str, email: str) -> None:
    async with ground.watched():
        answer = await desk.ask("GET", path + email)

        assert answer.status in (200, 400, 403, 404)
        assert shows(answer) == []


IDS = {
    "a key": "ORDER%231",
    "a path upwards": "..%2f1",
    "a path upwards, plainly": "../1",
    "a null byte": "1%00",
    "line breaks": "1%0d%0aX-Evil:%201",
    "a statement": "1'%20OR%20'1'%3d'1",
    "a wildcard": "*",
    "another spelling": "%ef%bc%91",
    "no UTF-8": "%ff%fe",
    "a list": "1,2",
    "ten thousand digits": "1" * 5_000,
    "nothing": "%20",
    "a template": "%7b%7b7*7%7d%7d",
}


@pytest.mark.parametrize("name", IDS)
@pytest.mark.parametrize("kind", ["orders", "appointments", "connections", "sessions"])
async def test_a_number_that_is_none_finds_nothing(desk: Desk, ground: Ground, kind: str, name: str) -> None:
    async with ground.watched():
        answer = await desk.ask("GET", f"/{kind}/{IDS[name]}")

        assert answer.status in (400, 403, 404, 414)
        assert shows(answer) == []
        assert "X-Evil" not in answer.headers


QUERIES = [
    "limit=-1",
    "limit=1e9",
    "limit=99999999999999999999",
    "limit[]=1",
    "limit=1&limit=2",
    "cursor=AAAA",
    "cursor=" + "A" * 4_000,
    "date=2030-02-31",
    "status=%00",
    "order=desc;drop",
    "__proto__=1",
]


@pytest.mark.parametrize("query", QUERIES, ids=lambda query: query[:20])
@pytest.mark.parametrize("kind", ["orders", "appointments"])
async def test_a_query_that_makes_no_sense_is_refused(desk: Desk, ground: Ground, kind: str, query: str) -> None:
    async with ground.watched():
        answer = await desk.ask("GET", f"/{kind}?{query}", by=OPERATOR)

        assert 400 <= answer.status < 500 or (query.startswith("order=") and answer.status == 200)


BODIES: dict[str, bytes] = {
    "nothing": b"",
    "no JSON": b"please",
    "a list": b"[]",
    "nested lists": b"[" * 50_000,
    "nested objects": b'{"items":' * 5_000 + b"1" + b"}" * 5_000,
    "NaN": b'{"total":NaN}',
    "a number without end": b'{"total":' + b"9" * 10_000 + b"}",
    "a lone surrogate": b'{"customerName":"\\ud800"}',
    "no UTF-8": b'{"customerName":"\xff\xfe"}',
    "UTF-16": '{"customerName":"Eva"}'.encode("utf-16"),
    "a megabyte": b'{"customerName":"' + b"a" * 1_000_000 + b'"}',
    "the wrong types": json.dumps({"customerName": 7, "customerEmail": [], "items": {}}).encode(),
    "what is not for clients to set": json.dumps({**NEW_ORDER, "id": "1", "status": "delivered", "PK": "ORDER#1"}).encode(),
    "somebody else's address": json.dumps({**NEW_ORDER, "customerEmail": "juan.perez@email.com"}).encode(),
    "a header in an address": json.dumps({**NEW_ORDER, "customerEmail": "a@b.com\r\nBcc: c@d.com"}).encode(),
    "a total of one cent": json.dumps({**NEW_ORDER, "total": 0.01}).encode(),
    "a canary": json.dumps({CANARY: CANARY, "customerEmail": CANARY}).encode(),
}


@pytest.mark.parametrize("name", BODIES)
@pytest.mark.parametrize(("method", "path"), [("POST", "/orders"), ("POST", "/appointments"), ("PATCH", "/orders/4")])
async def test_a_body_that_makes_no_sense_changes_nothing(desk: Desk, ground: Ground, method: str, path: str, name: str) -> None:
    async with ground.watched():
        before = (await desk.ask("GET", "/orders", by=OPERATOR)).text
        answer = await desk.ask(method, path, by=ANA, data=BODIES[name], headers={"Content-Type": "application/json"})

        assert 400 <= answer.status < 500
        assert answer.code
        assert (await desk.ask("GET", "/orders", by=OPERATOR)).text == before


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=a", "application/xml"])
async def test_a_body_of_another_kind_is_refused(desk: Desk, ground: Ground, kind: str) -> None:
    async with ground.watched():
        answer = await desk.ask("POST", "/orders", data=json.dumps(NEW_ORDER).encode(), headers={"Content-Type": kind})

        assert answer.status == 415


@pytest.mark.parametrize("method", ["PUT", "TRACE", "PROPFIND", "BREW"])
async def test_other_methods_are_refused(desk: Desk, ground: Ground, method: str) -> None:
    async with ground.watched():
        assert (await desk.ask(method, "/orders/1")).status in (400, 404, 405, 501)


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://localhost.evil.example"])
async def test_a_foreign_page_may_not_read_the_answers(desk: Desk, ground: Ground, origin: str) -> None:
    async with ground.watched():
        answer = await desk.ask("GET", "/orders", headers={"Origin": origin})
        preflight = await desk.ask("OPTIONS", "/orders", by="", headers={"Origin": origin, "Access-Control-Request-Method": "DELETE"})

        for told in (answer, preflight):
            assert told.headers.get("Access-Control-Allow-Origin") is None
            assert told.headers.get("Access-Control-Allow-Credentials") is None


async def test_afterwards_everything_is_as_it_was(ground: Ground) -> None:
    await ground.unharmed()
