"""Alerts over plain HTTP."""

from datetime import UTC, datetime

import pytest
from aiohttp import ClientSession

from api import alerts as alerts_api
from api.alerts import ALERTS
from api.app import build_app
from publishing.alerts import AlertDesk
from publishing.events import Alert, Severity
from telemetry.counters import Counters
from tests.api.desk import NamedTokens
from tests.api.raw import serving
from transports.origins import OriginPolicy

AT = datetime(2026, 11, 22, 9, 30, tzinfo=UTC)


@pytest.mark.req("S3-07")
async def test_operators_see_the_last_alerts_and_nobody_else_does() -> None:
    desk = AlertDesk(Counters())
    desk.send(Alert(code="model_unavailable", message="It is away.", at=AT))
    desk.send(
        Alert(code="patient_needs_help", message="John asks.", at=AT, severity=Severity.CRITICAL, session_id="s-1", details={"a": "b"})
    )
    app = build_app([alerts_api.OPERATIONS], authenticator=NamedTokens(), origins=OriginPolicy(), parts={ALERTS: desk})
    async with serving(app) as port, ClientSession() as http:
        answers = []
        for who, query in (("operator", ""), ("operator", "?limit=1"), ("juan", "")):
            headers = {"Authorization": f"Bearer {who}"}
            async with http.get(f"http://127.0.0.1:{port}/alerts{query}", headers=headers) as answer:
                answers.append((answer.status, (await answer.json()).get("data")))

    newest = {
        "at": "2026-11-22T09:30:00.000Z",
        "code": "patient_needs_help",
        "severity": "critical",
        "message": "John asks.",
        "details": {"a": "b"},
        "sessionId": "s-1",
    }
    assert answers[0][1][0] == newest
    assert [one["code"] for one in answers[0][1]] == ["patient_needs_help", "model_unavailable"]
    assert answers[1] == (200, [newest])
    assert answers[2] == (403, None)
