"""Alerts: kept for operators, never shown in the log, and sent to an SNS topic over HTTP."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from itertools import count
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError, EndpointConnectionError
from structlog.testing import capture_logs

from observers import backlog
from observers.event_outbox import AlertOutbox
from publishing.alerts import AlertDesk
from publishing.errors import Away, Denied, PublishingError, Refused, Throttled
from publishing.events import Alert, Severity
from publishing.sns import MAX_SUBJECT, OutgoingAlert, SnsTopic, open_sns
from telemetry.counters import Counters
from tests import ministack, needs

AT = datetime(2026, 11, 22, 9, 30, tzinfo=UTC)
_numbers = count(1)


def alert(number: int = 0, message: str = "John asks for help", code: str = "patient_needs_help") -> Alert:
    return Alert(code=code, message=message, at=AT, severity=Severity.CRITICAL, session_id="s-1", details={"n": str(number)})


# Kept in the process


def test_alerts_are_kept_newest_first_and_no_more_than_so_many() -> None:
    desk = AlertDesk(Counters(), kept=3)
    for number in range(5):
        desk.send(alert(number))

    assert [one.details["n"] for one in desk.newest(2)] == ["4", "3"]
    assert [one.details["n"] for one in desk.newest(100)] == ["4", "3", "2"]


def test_the_log_has_the_code_and_nothing_about_the_person() -> None:
    with capture_logs() as lines:
        AlertDesk(Counters()).send(alert())

    assert [(line["event"], line["code"], line["session_id"]) for line in lines] == [("alert", "patient_needs_help", "s-1")]
    assert "John" not in str(lines)


def test_an_alert_is_passed_on_to_everybody_who_wants_it() -> None:
    first: list[Alert] = []
    second: list[Alert] = []
    counters = Counters()
    AlertDesk(counters, [first.append, second.append]).send(alert())

    assert first == second == [alert()]
    assert counters.read()["alert_sent"] == 1


# Sent to a topic


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    try:
        with ministack.started() as address:
            yield address
    except ministack.Unavailable as error:
        needs.missing(f"MiniStack ({error})")


@pytest.fixture
def account(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Have boto3 find the service as in production, by environment variables alone."""
    for name, value in {**ministack.CREDENTIALS, "AWS_ENDPOINT_URL_SNS": endpoint, "AWS_ENDPOINT_URL_SQS": endpoint}.items():
        monkeypatch.setenv(name, value)
    return endpoint


@pytest.fixture
def queue(account: str) -> tuple[str, Any, str]:
    """Make a topic with a queue that hears it; return the topic, the client of queues, and the queue."""
    number, config = next(_numbers), Config(retries={"total_max_attempts": 1})
    sns = boto3.client("sns", region_name=ministack.REGION, config=config)
    sqs = boto3.client("sqs", region_name=ministack.REGION, config=config)
    topic = sns.create_topic(Name=f"alerts-{number}")["TopicArn"]
    url = sqs.create_queue(QueueName=f"alerts-{number}")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)
    return topic, sqs, url


@pytest.fixture
async def topic(queue: tuple[str, Any, str]) -> AsyncIterator[SnsTopic]:
    made = await open_sns(ministack.REGION, queue[0])
    yield made
    await made.aclose()


async def received(sqs: Any, url: str, wanted: int) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    async with asyncio.timeout(20):
        while len(found) < wanted:
            told = await asyncio.to_thread(lambda: sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, WaitTimeSeconds=1))
            found += [json.loads(message["Body"]) for message in told.get("Messages", ())]
            for message in told.get("Messages", ()):
                await asyncio.to_thread(sqs.delete_message, QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
    return found


@pytest.mark.req("S3-07")
@pytest.mark.dynamodb
async def test_an_alert_comes_to_whoever_follows_the_topic(topic: SnsTopic, queue: tuple[str, Any, str]) -> None:
    one = OutgoingAlert(alert(7))
    await topic.write([one])
    await topic.write([one])  # was delivered: is not sent again
    (told,) = await received(queue[1], queue[2], 1)

    assert told["Subject"] == "[CRITICAL] patient_needs_help"
    assert json.loads(told["Message"]) == {
        "type": "ALERT",
        "code": "patient_needs_help",
        "severity": "critical",
        "message": "John asks for help",
        "timestamp": "2026-11-22T09:30:00.000Z",
        "details": {"n": "7"},
        "sessionId": "s-1",
    }
    assert told["MessageAttributes"]["severity"]["Value"] == "critical"
    assert told["MessageAttributes"]["alertId"]["Value"] == one.id


@pytest.mark.req("S3-07")
@pytest.mark.dynamodb
async def test_alerts_wait_in_a_line_and_come_all(topic: SnsTopic, queue: tuple[str, Any, str]) -> None:
    counters = Counters()
    outbox = AlertOutbox(topic.write, counters)
    for number in range(12):
        outbox.send(alert(number))
    outbox.start()
    await outbox.backlog.written()
    await outbox.aclose()
    told = await received(queue[1], queue[2], 12)

    assert sorted(int(json.loads(one["Message"])["details"]["n"]) for one in told) == list(range(12))
    assert counters.read()["alert_written"] == 12


@pytest.mark.dynamodb
async def test_a_topic_that_is_not_there_is_told_as_a_matter_of_settings(account: str) -> None:
    topic = await open_sns(ministack.REGION, "arn:aws:sns:us-east-1:000000000000:none")
    with pytest.raises(Denied):
        await topic.write([OutgoingAlert(alert())])

    await topic.aclose()


class Client:
    """Answers like boto3's client, with errors first."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.sent: list[dict[str, Any]] = []

    def publish(self, **members: Any) -> object:
        if self.errors:
            raise self.errors.pop(0)
        self.sent.append(members)
        return {"MessageId": "1"}

    def close(self) -> None:
        pass


def refused(code: str, status: int = 400) -> ClientError:
    return ClientError({"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}, "Publish")  # type: ignore[typeddict-item]


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (refused("Throttled"), Throttled),
        (refused("ThrottlingException"), Throttled),
        (refused("InvalidParameter"), Refused),
        (refused("AuthorizationError", 403), Denied),
        (refused("NotFound", 404), Denied),
        (refused("InternalError", 500), Away),
        (refused("Whatever", 503), Away),
        (EndpointConnectionError(endpoint_url="http://x"), Away),
    ],
)
async def test_an_error_of_the_service_says_what_can_be_done(error: Exception, expected: type[PublishingError]) -> None:
    topic = SnsTopic(Client(error), "arn")
    with pytest.raises(expected):
        await topic.write([OutgoingAlert(alert())])

    await topic.aclose()


async def test_a_service_that_is_away_delays_alerts_and_loses_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backlog, "AWAY_SECONDS", (0.0,))
    client = Client(*(refused("ServiceUnavailable", 503) for _ in range(20)))
    topic, counters = SnsTopic(client, "arn"), Counters()
    outbox = AlertOutbox(topic.write, counters)
    outbox.start()
    for number in range(8):
        outbox.send(alert(number))
    await outbox.backlog.written()
    await outbox.aclose()
    await topic.aclose()

    assert [json.loads(one["Message"])["details"]["n"] for one in client.sent] == [str(number) for number in range(8)]
    assert "alert_lost" not in counters.read()


async def test_what_can_never_be_sent_is_left_out() -> None:
    client, counters = Client(), Counters()
    topic = SnsTopic(client, "arn")
    outbox = AlertOutbox(topic.write, counters)
    outbox.send(alert(1, message="\ud800"))
    outbox.send(alert(2, code="x" * 300))
    outbox.start()
    await outbox.backlog.written()
    await outbox.aclose()
    await topic.aclose()

    assert [len(one["Subject"]) for one in client.sent] == [MAX_SUBJECT]
    assert counters.read()["alert_refused"] == 1
