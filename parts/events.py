"""The parts that tell the world what happens, opened as the settings ask; each is closed with the stack it was opened into.

That who listens is away is no reason not to start: what is to be told waits, and conversations go on.
"""

from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

import structlog

from api import alerts as alerts_api
from api import events as events_api
from config import Settings, StorageKind
from observers.alert_rules import AlertRules, AlertWatch, rules
from observers.change_feed import ChangeFeed
from observers.event_outbox import AlertOutbox, EventOutbox
from observers.publishing import PublishingAttendance
from parts.errors import StartFailed
from parts.records import RecordParts
from publishing.alerts import AlertDesk
from publishing.appsync import AppSyncEvents
from publishing.changes import BadRecord, FollowedTables, event_of
from publishing.events import Alert
from publishing.interfaces import EventPublisher, EventsKind, Silent
from publishing.local import LocalChannels
from publishing.sns import open_sns
from s2s.bedrock.credentials import find_credentials
from s2s.bedrock.http2.proxy import proxy_for
from s2s.errors import ModelError
from session.interfaces import Clock
from storage.table import Database
from telemetry.counters import Counters
from transports.event_channels import EventDesk

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class PublishParts:
    """Who is told."""

    publisher: EventPublisher
    alerts: AlertDesk
    watch: AlertWatch
    desk: EventDesk | None = None
    """Serves the clients of this process that follow events; None where they do so elsewhere, or not at all."""
    feed: ChangeFeed | None = None
    """Tells of changes where there is no stream."""

    def watched(self, database: Database) -> Database:
        """Return a database whose changes are published, if they are to be."""
        return database if self.feed is None else self.feed.watched(database)

    def join(self, parts: RecordParts) -> None:
        """Have sessions listened to, and offer over plain HTTP what there is to be asked for."""
        if not isinstance(self.publisher, Silent):
            parts.attendances.append(PublishingAttendance(self.publisher))
        parts.offer(alerts_api.OPERATIONS, alerts_api.ALERTS, self.alerts)
        if self.desk is not None:
            parts.offer(events_api.OPERATIONS, events_api.CHANNELS, self.desk.channels)


async def open_publish_parts(settings: Settings, resources: AsyncExitStack, counters: Counters, clock: Clock) -> PublishParts:
    """Open everything that the settings ask for.

    Raises:
        StartFailed: the events cannot be published as the settings want it.
    """
    publisher: EventPublisher = Silent()
    desk: EventDesk | None = None
    if settings.events is EventsKind.LOCAL:
        publisher = channels = LocalChannels(counters, settings.events_namespace)
        desk = EventDesk(channels, counters, clock)
    elif settings.events is EventsKind.APPSYNC:
        publisher = await _open_appsync(settings, resources, counters)
    passed_on: list[Callable[[Alert], object]] = [publisher.publish]
    if settings.alert_topic:
        passed_on.append((await _open_topic(settings, resources, counters)).send)
    alerts = AlertDesk(counters, passed_on)
    applied = AlertRules(rules(settings.alert_after_failures), settings.alert_quiet_seconds)
    watch = AlertWatch(applied, alerts, counters, clock.now)
    watch.start()
    resources.push_async_callback(watch.aclose)
    return PublishParts(publisher, alerts, watch, desk, _feed(settings, publisher, counters))


async def _open_appsync(settings: Settings, resources: AsyncExitStack, counters: Counters) -> EventOutbox:
    proxy = None
    try:
        proxy = proxy_for(settings.events_endpoint, {"https_proxy": settings.https_proxy or "", "no_proxy": settings.no_proxy})
        credentials = None if settings.events_api_key else await find_credentials(region=settings.region)
    except ValueError as error:
        raise StartFailed(f"HTTPS_PROXY: {error}") from None
    except ModelError as error:
        raise StartFailed(f"EVENTS=appsync needs AWS credentials or EVENTS_API_KEY: {error}") from error
    if credentials is not None:
        resources.push_async_callback(credentials.aclose)
    service = AppSyncEvents(
        settings.events_endpoint,
        api_key=settings.events_api_key or "",
        credentials=credentials,
        region=settings.region,
        proxy=f"http://{proxy}" if proxy else None,
        proxy_headers={"Proxy-Authorization": proxy.authorization} if proxy and proxy.authorization else None,
    )
    resources.push_async_callback(service.aclose)
    outbox = EventOutbox(service.write, counters, settings.events_namespace)
    outbox.start()
    resources.push_async_callback(outbox.aclose)
    return outbox


async def _open_topic(settings: Settings, resources: AsyncExitStack, counters: Counters) -> AlertOutbox:
    topic = await open_sns(settings.region, settings.alert_topic)
    resources.push_async_callback(topic.aclose)
    outbox = AlertOutbox(topic.write, counters)
    outbox.start()
    resources.push_async_callback(outbox.aclose)
    return outbox


def _feed(settings: Settings, publisher: EventPublisher, counters: Counters) -> ChangeFeed | None:
    """Return what publishes changes of tables where nobody else does.

    At an Event API a Lambda does it (`lambda_changes.py`), if the tables have streams; it cannot reach a process.
    """
    is_told_elsewhere = settings.events is EventsKind.APPSYNC and settings.storage is not StorageKind.SQLITE
    if settings.events is EventsKind.OFF or is_told_elsewhere:
        return None
    tables = FollowedTables(
        conversations=settings.conversations_table, orders=settings.orders_table, appointments=settings.appointments_table
    )
    followed = {tables.orders: "ORDER#", tables.appointments: "APPOINTMENT#", tables.conversations: "", tables.bookings: ""}
    feed = ChangeFeed(followed, counters)

    def publish(record: Mapping[str, Any]) -> None:
        try:
            event = event_of(record, tables)
        except BadRecord as error:
            log.warning("change.unreadable", reason=str(error))
            counters.add("change_unreadable")
            return
        if event is not None:
            publisher.publish(event)

    feed.listener = publish
    return feed
