"""The bucket, the topic and the Event API that the settings name are looked at, without leaving anything there."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import boto3
import pytest
from aiohttp import web

from config import Settings
from scripts.upkeep.findings import Weight
from scripts.upkeep.services import examine_services
from tests import ministack
from tests.loopback import serving

pytestmark = pytest.mark.dynamodb


@pytest.fixture
def aws(ministack_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Lead clients of S3 and SNS to MiniStack."""
    for name, value in ministack.CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    for service in ("S3", "SNS"):
        monkeypatch.setenv(f"AWS_ENDPOINT_URL_{service}", ministack_endpoint)
    return ministack_endpoint


async def found_with(**env: str) -> list[tuple[str, Weight, str, str]]:
    return [(one.part, one.weight, one.line, one.cure) for one in await examine_services(Settings.from_env(env))]


async def test_what_is_not_set_is_not_looked_at() -> None:
    assert await found_with() == []


async def test_a_bucket_that_is_not_there_has_its_cure(aws: str) -> None:
    ((part, weight, line, cure),) = await found_with(AUDIO_STORAGE_BUCKET="no-such-bucket")

    assert (part, weight, line) == ("bucket", Weight.PROBLEM, "no-such-bucket is not there")
    assert "AUDIO_STORAGE_BUCKET" in cure


async def test_a_bucket_is_left_as_it_was(aws: str) -> None:
    client = boto3.client("s3", region_name=ministack.REGION)
    await asyncio.to_thread(client.create_bucket, Bucket="diagnosed-bucket")
    found = await found_with(AUDIO_STORAGE_BUCKET="diagnosed-bucket")
    objects = await asyncio.to_thread(client.list_objects_v2, Bucket="diagnosed-bucket")
    uploads = await asyncio.to_thread(client.list_multipart_uploads, Bucket="diagnosed-bucket")

    assert found[0][:3] == ("bucket", Weight.OK, "diagnosed-bucket answers")
    assert ("bucket", Weight.NOTICE, "diagnosed-bucket: no rule removes what is old") in [one[:3] for one in found]
    assert all(weight is not Weight.PROBLEM for _, weight, _, _ in found)
    assert objects["KeyCount"] == 0
    assert uploads.get("Uploads", []) == []


async def test_a_topic_without_subscribers_reaches_nobody(aws: str) -> None:
    client = boto3.client("sns", region_name=ministack.REGION)
    made = await asyncio.to_thread(client.create_topic, Name="diagnosed-alerts")
    alone = await found_with(ALERT_TOPIC_ARN=made["TopicArn"])
    missing = await found_with(ALERT_TOPIC_ARN=f"{made['TopicArn']}-of-others")

    assert [one[1:3] for one in alone] == [(Weight.PROBLEM, "nobody is subscribed: alerts reach nobody")]
    assert [one[1] for one in missing] == [Weight.PROBLEM]
    assert "ALERT_TOPIC_ARN" in missing[0][3]


@dataclass
class EventApi:
    """An Event API that answers as it is told."""

    endpoint: str = ""
    status: int = 400
    asked: list[tuple[str, str]] = field(default_factory=list)
    """Key and body of each request."""


@pytest.fixture
async def event_api() -> AsyncIterator[EventApi]:
    api = EventApi()

    async def answer(request: web.Request) -> web.Response:
        api.asked.append((request.headers.get("x-api-key", request.headers.get("authorization", "")[:16]), await request.text()))
        return web.Response(status=api.status)

    app = web.Application()
    app.router.add_post("/event", answer)
    async with serving(app) as api.endpoint:
        yield api


async def test_an_event_api_is_asked_to_publish_nothing(aws: str, event_api: EventApi) -> None:
    by_key = await found_with(EVENTS="appsync", EVENTS_ENDPOINT=event_api.endpoint, EVENTS_API_KEY="da2-made-up")
    signed = await found_with(EVENTS="appsync", EVENTS_ENDPOINT=event_api.endpoint)
    event_api.status = 401
    refused = await found_with(EVENTS="appsync", EVENTS_ENDPOINT=event_api.endpoint, EVENTS_API_KEY="da2-made-up")
    event_api.status = 404
    elsewhere = await found_with(EVENTS="appsync", EVENTS_ENDPOINT=event_api.endpoint, EVENTS_API_KEY="da2-made-up")

    assert [one[0][1] for one in (by_key, signed, refused, elsewhere)] == [Weight.OK, Weight.OK, Weight.PROBLEM, Weight.PROBLEM]
    assert event_api.asked[:2] == [
        ("da2-made-up", '{"channel":"/events/diagnosis","events":[]}'),
        ("AWS4-HMAC-SHA256", '{"channel":"/events/diagnosis","events":[]}'),
    ]
    assert "EVENTS_API_KEY" in refused[0][3]
    assert "EVENTS_ENDPOINT" in elsewhere[0][3]


async def test_an_event_api_that_nobody_serves_has_its_cure(aws: str, unused_tcp_port: int) -> None:
    ((part, weight, line, _),) = await found_with(
        EVENTS="appsync", EVENTS_ENDPOINT=f"http://127.0.0.1:{unused_tcp_port}", EVENTS_API_KEY="da2-made-up"
    )

    assert (part, weight) == ("events", Weight.PROBLEM)
    assert "cannot be reached" in line
