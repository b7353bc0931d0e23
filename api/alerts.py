"""/alerts: what this process wanted people to look at lately, for operators."""

from typing import Final, Protocol

from aiohttp import web

from api.answers import answer
from api.kinds import DEFAULT_LIMIT, LIMIT, RECORD_ID
from api.operations import Access, Operation, Success
from api.requests import GIVEN
from api.schema import Anything, Choice, Instant, ListOf, Member, Record, Text
from publishing.events import Alert, Severity
from publishing.shapes import timestamp


class Alerts(Protocol):
    """The alerts of this process."""

    def newest(self, limit: int) -> tuple[Alert, ...]:
        """Return the last ones, the newest first."""


ALERTS: Final = web.AppKey("alerts", Alerts)


async def list_alerts(request: web.Request) -> web.Response:
    """Tell the last alerts, the newest first."""
    told = [alert_json(one) for one in request.app[ALERTS].newest(request[GIVEN].query.get(LIMIT) or DEFAULT_LIMIT)]
    return answer(told, f"Retrieved {len(told)} alerts successfully")


def alert_json(alert: Alert) -> dict[str, object]:
    """Return an alert as it is told."""
    told: dict[str, object] = {"at": timestamp(alert.at), "code": alert.code, "severity": alert.severity.value}
    told |= {"message": alert.message, "details": dict(alert.details)}
    return told | ({"sessionId": alert.session_id} if alert.session_id else {})


_ALERT: Final = Record(
    "Alert",
    (
        Member("at", Instant(), "When it was raised.", is_required=True),
        Member("code", Text(64), "What it is about; stable.", is_required=True),
        Member("severity", Choice(Severity), "How urgent it is.", is_required=True),
        Member("message", Text(1_000), "For people.", is_required=True),
        Member("details", Anything("AlertDetails", "Ids and figures, by name."), "What belongs to it.", is_required=True),
        Member("sessionId", RECORD_ID, "The conversation that it came from."),
    ),
)

OPERATIONS: Final = (
    Operation(
        method="GET",
        path="/alerts",
        handler=list_alerts,
        summary="The last alerts of this process",
        access=Access.OPERATOR,
        query=(LIMIT,),
        success=Success(description="Alerts, the newest first", data=ListOf(_ALERT)),
    ),
)
