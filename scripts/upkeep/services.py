"""Looks at the bucket, the topic and the Event API that the settings name; what they do not name is not looked at."""

import asyncio
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, Final, NamedTuple

import aiohttp
import boto3
import orjson
from botocore.config import Config
from botocore.exceptions import BotoCoreError

from config import Settings
from publishing.signing import signed_headers
from scripts.upkeep.asking import MISSING, Answer, ask, explained
from scripts.upkeep.findings import Finding, Weight

_SECONDS: Final = 5.0
_NONE: Final = frozenset(
    {"NoSuchLifecycleConfiguration", "ServerSideEncryptionConfigurationNotFoundError", "NoSuchPublicAccessBlockConfiguration"}
)
_KEY: Final = "diagnosis/nothing"


async def examine_services(settings: Settings) -> list[Finding]:
    """Return what is found of all that is set."""
    found = []
    if settings.audio_bucket:
        found += await _bucket(settings)
    if settings.alert_topic:
        found += await _topic(settings)
    if settings.events_endpoint:
        found.append(await _events(settings))
    return found


async def _bucket(settings: Settings) -> list[Finding]:
    bucket = settings.audio_bucket
    try:
        client = await _client("s3", settings.region)
    except BotoCoreError as error:
        return [explained("bucket", type(error).__name__, "S3")]
    head = await ask(client.head_bucket, Bucket=bucket)
    if head.code in MISSING:
        cure = "make the bucket, or correct AUDIO_STORAGE_BUCKET and AWS_DEFAULT_REGION"
        return [Finding("bucket", Weight.PROBLEM, f"{bucket} is not there", cure)]
    if head.code and not head.is_denied:
        return [explained("bucket", head.code, bucket)]
    found = [_refused("s3:ListBucket", f"arn:aws:s3:::{bucket}")] if head.is_denied else []
    found += await _bucket_permissions(client, bucket)
    for operation, line, cure in (
        (
            client.get_bucket_lifecycle_configuration,
            "no rule removes what is old",
            "add a lifecycle rule that expires objects after 30 days",
        ),
        (client.get_bucket_encryption, "what is stored is not encrypted by default", "turn on default encryption (SSE-S3 or SSE-KMS)"),
        (client.get_public_access_block, "nothing keeps it from being made public", "block all public access"),
    ):
        answer = await ask(operation, Bucket=bucket)
        if answer.code in _NONE:
            found.append(Finding("bucket", Weight.NOTICE, f"{bucket}: {line}", cure))
    await asyncio.to_thread(client.close)
    return [Finding("bucket", Weight.OK, f"{bucket} answers"), *found]


async def _bucket_permissions(client: Any, bucket: str) -> list[Finding]:
    """Try to read what is not there, and to begin an upload that is given up at once."""
    found = []
    arn = f"arn:aws:s3:::{bucket}/*"
    if (await ask(client.get_object, Bucket=bucket, Key=_KEY)).is_denied:
        found.append(_refused("s3:GetObject", arn))
    begun = await ask(client.create_multipart_upload, Bucket=bucket, Key=_KEY)
    if begun.is_denied:
        return [*found, _refused("s3:PutObject", arn)]
    if begun.code:
        return [*found, explained("bucket", begun.code, bucket)]
    ended: Answer = await ask(client.abort_multipart_upload, Bucket=bucket, Key=_KEY, UploadId=begun.members["UploadId"])
    return [*found, _refused("s3:AbortMultipartUpload", arn)] if ended.is_denied else found


async def _topic(settings: Settings) -> list[Finding]:
    try:
        client = await _client("sns", settings.region)
    except BotoCoreError as error:
        return [explained("topic", type(error).__name__, "SNS")]
    answer = await ask(client.get_topic_attributes, TopicArn=settings.alert_topic)
    await asyncio.to_thread(client.close)
    if answer.code in MISSING:
        return [Finding("topic", Weight.PROBLEM, f"{settings.alert_topic} is not there", "make the topic, or correct ALERT_TOPIC_ARN")]
    if answer.is_denied:
        cure = "the server needs sns:Publish alone; to look at the topic, allow sns:GetTopicAttributes to whoever runs this"
        return [Finding("topic", Weight.NOTICE, "sns:GetTopicAttributes is refused", cure)]
    if answer.code:
        return [explained("topic", answer.code, settings.alert_topic)]
    if answer.members.get("Attributes", {}).get("SubscriptionsConfirmed", "0") == "0":
        cure = f"subscribe somebody: aws sns subscribe --topic-arn {settings.alert_topic} --protocol email --notification-endpoint ..."
        return [Finding("topic", Weight.PROBLEM, "nobody is subscribed: alerts reach nobody", cure)]
    return [Finding("topic", Weight.OK, f"{settings.alert_topic} has subscribers")]


class _Signer(NamedTuple):
    access_key_id: str
    secret_access_key: str
    session_token: str | None


async def _events(settings: Settings) -> Finding:
    """Publish no event at all: what may not publish is refused, what may is told that there was nothing."""
    url = f"{settings.events_endpoint.removesuffix('/event')}/event"
    body = orjson.dumps({"channel": f"/{settings.events_namespace}/diagnosis", "events": []})
    headers = {"content-type": "application/json"}
    if settings.events_api_key:
        headers["x-api-key"] = settings.events_api_key
    else:
        frozen = await asyncio.to_thread(_signer, settings.region)
        if frozen is None:
            return explained("events", "NoCredentialsError", url)
        headers = signed_headers(
            frozen, url=url, headers=headers, body=body, region=settings.region, service="appsync", now=datetime.now(UTC)
        )
    try:
        timeout = aiohttp.ClientTimeout(total=_SECONDS)
        async with aiohttp.ClientSession(timeout=timeout) as session, session.post(url, data=body, headers=headers) as response:
            status = response.status
    except (TimeoutError, aiohttp.ClientError, OSError) as error:
        return explained("events", "EndpointConnectionError", f"{url} ({type(error).__name__})")
    if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
        cure = "correct EVENTS_API_KEY, or without one allow appsync:EventPublish on the API to the server's role"
        return Finding("events", Weight.PROBLEM, f"{url} lets nobody publish ({status})", cure)
    if status in (HTTPStatus.OK, HTTPStatus.BAD_REQUEST):
        return Finding("events", Weight.OK, f"{url} answers")
    return Finding("events", Weight.PROBLEM, f"{url} answers {status}", "correct EVENTS_ENDPOINT: it is the HTTP endpoint of an Event API")


def _signer(region: str) -> _Signer | None:
    try:
        credentials = boto3.session.Session(region_name=region).get_credentials()
        frozen = credentials.get_frozen_credentials() if credentials is not None else None
    except BotoCoreError:
        return None
    if frozen is None or frozen.access_key is None or frozen.secret_key is None:
        return None
    return _Signer(frozen.access_key, frozen.secret_key, frozen.token)


async def _client(service: Any, region: str) -> Any:
    config = Config(connect_timeout=_SECONDS, read_timeout=_SECONDS, retries={"mode": "standard", "total_max_attempts": 2})
    session = boto3.session.Session(region_name=region)
    return await asyncio.to_thread(lambda: session.client(service, config=config))


def _refused(action: str, resource: str) -> Finding:
    return Finding("bucket", Weight.PROBLEM, f"{action} is refused", f"allow {action} on {resource}")
