"""Sends alerts to an SNS topic, off the event loop. The endpoint is AWS's own choice: boto3 honours AWS_ENDPOINT_URL_SNS.

An alert that was sent and not confirmed is sent again: its attribute `alertId` tells that it is the same.
"""

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final, Protocol
from uuid import uuid4

import boto3
import orjson
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from publishing.errors import Away, Denied, PublishingError, Refused, Throttled
from publishing.events import Alert
from publishing.shapes import to_json

CONNECT_SECONDS: Final = 1.0
READ_SECONDS: Final = 3.0
MAX_SUBJECT: Final = 100
"""Characters, printable ASCII (SNS API reference, "Publish")."""
_THROTTLED: Final = frozenset({"Throttled", "ThrottledException", "Throttling", "ThrottlingException", "TooManyRequestsException"})
_REFUSED: Final = frozenset(
    {"InvalidParameter", "InvalidParameterValue", "ParameterValueInvalid", "ValidationError", "ValidationException"}
)
_BROKEN: Final = frozenset({"InternalError", "InternalFailure", "ServiceUnavailable", "InternalErrorException"})


class SnsClient(Protocol):
    """What is used of boto3's low-level client."""

    def publish(self, **members: object) -> object:
        """Send a message."""

    def close(self) -> None:
        """Close the connections."""


class OutgoingAlert:
    """An alert on its way.

    Args:
        alert: what is sent.
    """

    def __init__(self, alert: Alert) -> None:
        self.alert = alert
        self.id = str(uuid4())
        self.is_delivered = False


class SnsTopic:
    """One topic.

    Args:
        client: a low-level client.
        arn: of the topic.
    """

    def __init__(self, client: SnsClient, arn: str) -> None:
        self._client = client
        self._arn = arn
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="sns")

    async def write(self, waiting: Sequence[OutgoingAlert]) -> None:
        """Send alerts in order; may be called again with the same, of which those that were taken are not sent again.

        Raises:
            Refused: one of them is never taken.
            PublishingError: it was not taken now.
        """
        for one in waiting:
            if not one.is_delivered:
                await asyncio.get_running_loop().run_in_executor(self._executor, self._send, one)
                one.is_delivered = True

    async def aclose(self) -> None:
        """Let a request that runs come to its end, and close the connections."""
        await asyncio.to_thread(self._executor.shutdown)
        await asyncio.to_thread(self._client.close)

    def _send(self, one: OutgoingAlert) -> None:
        alert = one.alert
        subject = f"[{alert.severity.upper()}] {alert.code}"
        values = {"alertId": one.id, "code": alert.code, "severity": alert.severity.value}
        try:
            self._client.publish(
                TopicArn=self._arn,
                Subject="".join(letter for letter in subject if " " <= letter <= "~")[:MAX_SUBJECT],
                Message=orjson.dumps(to_json(alert)).decode(),
                MessageAttributes={name: {"DataType": "String", "StringValue": value} for name, value in values.items()},
            )
        except ClientError as error:
            raise _error_of(error) from error
        except BotoCoreError as error:
            raise Away(type(error).__name__) from error
        except TypeError as error:  # a text that is not Unicode
            raise Refused("the alert cannot be written as JSON") from error


async def open_sns(region: str, arn: str) -> SnsTopic:
    """Return a topic; off the event loop, since making a client reads files."""
    config = Config(connect_timeout=CONNECT_SECONDS, read_timeout=READ_SECONDS, retries={"total_max_attempts": 1}, max_pool_connections=1)
    client = await asyncio.to_thread(lambda: boto3.session.Session().client("sns", region_name=region, config=config))
    return SnsTopic(client, arn)


def _error_of(error: ClientError) -> PublishingError:
    code = error.response.get("Error", {}).get("Code", "")
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    if code in _THROTTLED:
        return Throttled(code)
    if code in _REFUSED:
        return Refused(code)
    return Away(code) if code in _BROKEN or status >= 500 else Denied(code)  # noqa: PLR2004 - the range of server errors
