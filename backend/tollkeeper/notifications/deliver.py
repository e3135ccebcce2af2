"""Deliver notifications as Standard Webhooks: claimed rows, no transaction during HTTP, retries over three days.

Times here are the machine's: receivers refuse a timestamp that is off by more than five minutes.
"""

import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta

import requests
import structlog
from sqlalchemy import select, update
from sqlalchemy.orm import Session
from standardwebhooks import Webhook

from tollkeeper.errors import InvalidInput, NotFound
from tollkeeper.notifications.endpoints import check_url
from tollkeeper.notifications.tables import Delivery, Notification, WebhookEndpoint
from tollkeeper.storage.ids import new_id
from tollkeeper.storage.session import Database
from tollkeeper.storage.upsert import insert_ignoring

log = structlog.get_logger()

# After the n-th failure the next attempt waits so long; after the last one it is given up (about three days).
WAITS = tuple(timedelta(seconds=seconds) for seconds in (5, 300, 1800, 7200, 18000, 36000, 50400, 72000, 86400))
# Longer than an attempt can take: a claim that nobody answered for is free again after it.
LEASE = timedelta(minutes=2)
TIMEOUT_SECONDS = (5, 10)
AT_ONCE = 8
MOST_SPREAD = 500
MOST_CLAIMED = 64
GONE = 410


@dataclass(frozen=True, slots=True)
class Attempt:
    """Everything that one HTTP request needs, read before it."""

    delivery_id: str
    number: int
    message_id: str
    url: str
    secret: str
    body: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of an attempt: the status, or why there is none."""

    status: int | None
    error: str | None

    @property
    def is_delivered(self) -> bool:
        """Tell whether the receiver took it."""
        return self.status is not None and 200 <= self.status < 300


def has_notifications_due(session: Session, *, now: datetime) -> bool:
    """Tell, reading only, whether there is something to spread or to attempt: most of the time there is not."""
    fresh = session.scalar(select(Notification.id).where(Notification.is_spread.is_(False)).limit(1))
    due = session.scalar(select(Delivery.id).where(Delivery.next_attempt_at <= now).limit(1))
    return fresh is not None or due is not None


def spread_notifications(session: Session, *, now: datetime) -> int:
    """Make a delivery for each endpoint that wants to hear of what is new in the outbox; return how many."""
    fresh = session.scalars(
        select(Notification)
        .where(Notification.is_spread.is_(False))
        .order_by(Notification.id)
        .limit(MOST_SPREAD)
        .with_for_update(skip_locked=True)
    ).all()
    endpoints = session.scalars(select(WebhookEndpoint).where(WebhookEndpoint.disabled_at.is_(None))).all()
    rows = [
        {
            "id": new_id("dlv"),
            "notification_id": notification.id,
            "endpoint_id": endpoint.id,
            "attempts": 0,
            "next_attempt_at": now,
        }
        for notification in fresh
        for endpoint in endpoints
        if not endpoint.kinds or notification.kind in endpoint.kinds
    ]
    insert_ignoring(session, Delivery, rows)
    for notification in fresh:
        notification.is_spread = True
    return len(rows)


def deliver_due(database: Database, *, now: datetime, may_be_loopback: bool) -> int:
    """Attempt what is due, several at once; return how many were delivered. Any number of processes may run it."""
    with database.transaction() as session:
        attempts = claim_attempts(session, now=now)
    if not attempts:
        return 0
    with ThreadPoolExecutor(AT_ONCE) as pool:
        outcomes = list(pool.map(lambda attempt: send(attempt, now=now, may_be_loopback=may_be_loopback), attempts))
    with database.transaction() as session:
        for attempt, outcome in zip(attempts, outcomes, strict=True):
            note_outcome(session, attempt, outcome, now=now)
    return sum(outcome.is_delivered for outcome in outcomes)


def claim_attempts(session: Session, *, now: datetime) -> list[Attempt]:
    """Claim deliveries that are due, for LEASE."""
    rows = session.execute(
        select(Delivery, Notification, WebhookEndpoint)
        .join(Notification, Notification.id == Delivery.notification_id)
        .join(WebhookEndpoint, WebhookEndpoint.id == Delivery.endpoint_id)
        .where(Delivery.next_attempt_at <= now)
        .order_by(Delivery.next_attempt_at)
        .limit(MOST_CLAIMED)
        .with_for_update(skip_locked=True, of=Delivery)
    ).all()
    attempts = []
    for delivery, notification, endpoint in rows:
        if endpoint.disabled_at is not None:
            delivery.next_attempt_at, delivery.given_up_at = None, now
            delivery.last_error = "the endpoint is disabled"
            continue
        delivery.attempts += 1
        delivery.next_attempt_at = now + LEASE
        body = json.dumps(
            {
                "type": notification.kind,
                "timestamp": notification.happened_at.isoformat().replace("+00:00", "Z"),
                "data": notification.payload,
            },
            separators=(",", ":"),
        )
        attempts.append(Attempt(delivery.id, delivery.attempts, notification.id, endpoint.url, endpoint.secret, body))
    return attempts


def send(attempt: Attempt, *, now: datetime, may_be_loopback: bool) -> Outcome:
    """Make one signed request: no redirects, no proxy or login from the environment, within 15 seconds."""
    try:
        check_url(attempt.url, may_be_loopback=may_be_loopback)
    except InvalidInput as error:
        return Outcome(None, error.message)
    headers = {
        "content-type": "application/json",
        "user-agent": "tollkeeper",
        "webhook-id": attempt.message_id,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": Webhook(attempt.secret).sign(attempt.message_id, now, attempt.body),
    }
    try:
        with requests.Session() as http:
            http.trust_env = False
            with http.post(
                attempt.url,
                data=attempt.body.encode(),
                headers=headers,
                timeout=TIMEOUT_SECONDS,
                allow_redirects=False,
                stream=True,
            ) as answer:
                return Outcome(answer.status_code, None if answer.ok else f"answered {answer.status_code}")
    except requests.RequestException as error:
        return Outcome(None, type(error).__name__)


def note_outcome(session: Session, attempt: Attempt, outcome: Outcome, *, now: datetime) -> None:
    """Write down what became of an attempt; one whose lease ran out meanwhile is another's to write."""
    values: dict[str, object] = {"last_status": outcome.status, "last_error": outcome.error}
    if outcome.is_delivered:
        values |= {"delivered_at": now, "next_attempt_at": None}
    elif attempt.number > len(WAITS) or outcome.status == GONE:
        values |= {"given_up_at": now, "next_attempt_at": None}
        log.warning("webhook_given_up", delivery=attempt.delivery_id, reason=outcome.error)
    else:
        values |= {"next_attempt_at": now + WAITS[attempt.number - 1]}
    session.execute(
        update(Delivery).where(Delivery.id == attempt.delivery_id, Delivery.attempts == attempt.number).values(**values)
    )


def resend(session: Session, delivery_id: str, *, now: datetime) -> Delivery:
    """Let a delivery be attempted at once and anew, also a delivered one. Raises NotFound."""
    delivery = session.get(Delivery, delivery_id)
    if delivery is None:
        raise NotFound(f"there is no delivery {delivery_id!r}")
    delivery.attempts = 0
    delivery.next_attempt_at = now
    delivery.delivered_at = None
    delivery.given_up_at = None
    return delivery


def list_deliveries(session: Session, *, limit: int = 100) -> Sequence[tuple[Delivery, Notification]]:
    """Return the latest deliveries with what they tell: the delivery log."""
    rows = session.execute(
        select(Delivery, Notification)
        .join(Notification, Notification.id == Delivery.notification_id)
        .order_by(Delivery.id.desc())
        .limit(limit)
    )
    return [(delivery, notification) for delivery, notification in rows]
