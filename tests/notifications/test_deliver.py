"""Webhooks: signed, told at least once, retried over days, given up in the end; never redirected."""

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from sqlalchemy import select
from standardwebhooks import Webhook

from tollkeeper.errors import Conflict, InvalidInput
from tollkeeper.notifications.deliver import (
    LEASE,
    WAITS,
    claim_attempts,
    deliver_due,
    has_notifications_due,
    list_deliveries,
    resend,
    spread_notifications,
)
from tollkeeper.notifications.endpoints import add_endpoint, check_url, disable_endpoint
from tollkeeper.notifications.enqueue import enqueue
from tollkeeper.notifications.tables import Delivery, Notification, WebhookEndpoint
from tollkeeper.storage.session import Database

NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)


class Receiver:
    """An HTTP server on loopback that answers with the statuses it is given, then 200."""

    def __init__(self) -> None:
        self.statuses: list[int] = []
        self.received: list[tuple[dict[str, str], bytes]] = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                receiver.received.append((dict(self.headers), body))
                status = receiver.statuses.pop(0) if receiver.statuses else 200
                self.send_response(status)
                if 300 <= status < 400:
                    self.send_header("location", receiver.url)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                return

        self._server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/hooks"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    receiver = Receiver()
    yield receiver
    receiver.close()


def prepare(database: Database, url: str, *kinds: str) -> str:
    """One endpoint, one notification; returns the endpoint's secret."""
    with database.transaction() as session:
        endpoint = add_endpoint(session, url, kinds, may_be_loopback=True, now=NOW)
        enqueue(session, "entitlement.exhausted", {"limit": "10"}, key="k1", now=NOW)
        return endpoint.secret


def run(database: Database, now: datetime) -> int:
    with database.transaction() as session:
        spread_notifications(session, now=now)
    return deliver_due(database, now=now, may_be_loopback=True)


def only_delivery(database: Database) -> Delivery:
    with database.snapshot() as session:
        return session.scalars(select(Delivery)).one()


def test_a_delivery_is_signed_by_standard_webhooks(database: Database, receiver: Receiver) -> None:
    now = datetime.now(UTC)  # the library checks the timestamp against the real time
    secret = prepare(database, receiver.url)
    assert run(database, now) == 1
    ((headers, body),) = receiver.received
    told = Webhook(secret).verify(body, headers)
    assert told == {"type": "entitlement.exhausted", "timestamp": "2026-03-10T12:00:00Z", "data": {"limit": "10"}}
    assert only_delivery(database).delivered_at == now


def test_the_same_key_is_told_once(database: Database, receiver: Receiver) -> None:
    prepare(database, receiver.url)
    with database.transaction() as session:
        enqueue(session, "entitlement.exhausted", {"limit": "11"}, key="k1", now=NOW)
    run(database, NOW)
    run(database, NOW + timedelta(days=9))
    assert len(receiver.received) == 1


def test_a_failure_is_tried_again_later_and_not_sooner(database: Database, receiver: Receiver) -> None:
    prepare(database, receiver.url)
    receiver.statuses = [500]
    assert run(database, NOW) == 0
    assert run(database, NOW + timedelta(seconds=4)) == 0
    assert len(receiver.received) == 1
    assert run(database, NOW + timedelta(seconds=5)) == 1
    first, second = (headers["webhook-id"] for headers, _ in receiver.received)
    assert first == second, "a receiver tells repeats apart by the id"


def test_it_is_given_up_after_about_three_days(database: Database, receiver: Receiver) -> None:
    prepare(database, receiver.url)
    receiver.statuses = [503] * 20
    now = NOW
    for wait in WAITS:
        run(database, now)
        now += wait
    run(database, now)
    delivery = only_delivery(database)
    assert (delivery.attempts, delivery.given_up_at, delivery.next_attempt_at) == (len(WAITS) + 1, now, None)
    assert (delivery.last_status, delivery.last_error) == (503, "answered 503")
    assert timedelta(days=2) < now - NOW < timedelta(days=4)


def test_a_receiver_that_is_gone_is_given_up_at_once(database: Database, receiver: Receiver) -> None:
    prepare(database, receiver.url)
    receiver.statuses = [410]
    run(database, NOW)
    assert only_delivery(database).given_up_at == NOW


def test_a_redirect_is_not_followed(database: Database, receiver: Receiver) -> None:
    prepare(database, receiver.url)
    receiver.statuses = [307]
    assert run(database, NOW) == 0
    assert len(receiver.received) == 1
    assert only_delivery(database).last_status == 307


def test_an_endpoint_that_is_away_is_written_down(database: Database, receiver: Receiver) -> None:
    prepare(database, "http://127.0.0.1:1/hooks")
    assert run(database, NOW) == 0
    assert only_delivery(database).last_error == "ConnectionError"


def test_a_claim_that_nobody_answered_for_is_free_again_after_its_lease(database: Database) -> None:
    prepare(database, "https://example.com/hooks")
    with database.transaction() as session:
        spread_notifications(session, now=NOW)
    with database.transaction() as session:
        assert len(claim_attempts(session, now=NOW)) == 1
    with database.transaction() as session:
        assert claim_attempts(session, now=NOW + LEASE - timedelta(seconds=1)) == []
    with database.transaction() as session:
        assert [attempt.number for attempt in claim_attempts(session, now=NOW + LEASE)] == [2]


def test_an_endpoint_hears_only_of_the_kinds_that_it_asked_for(database: Database, receiver: Receiver) -> None:
    prepare(database, receiver.url, "node.silent")
    assert run(database, NOW) == 0
    with database.transaction() as session:
        enqueue(session, "node.silent", {}, key="k2", now=NOW)
    assert run(database, NOW) == 1


def test_a_disabled_endpoint_is_told_no_more(database: Database, receiver: Receiver) -> None:
    prepare(database, receiver.url)
    with database.transaction() as session:
        spread_notifications(session, now=NOW)
        disable_endpoint(session, session.scalars(select(WebhookEndpoint)).one().id, now=NOW)
    assert deliver_due(database, now=NOW, may_be_loopback=True) == 0
    assert receiver.received == []
    assert only_delivery(database).last_error == "the endpoint is disabled"


def test_without_endpoints_the_outbox_comes_to_rest(database: Database) -> None:
    with database.transaction() as session:
        enqueue(session, "node.silent", {}, key="k", now=NOW)
        assert has_notifications_due(session, now=NOW)
        assert spread_notifications(session, now=NOW) == 0
        assert not has_notifications_due(session, now=NOW)
        assert session.scalars(select(Notification)).one().is_spread


def test_a_delivery_may_be_sent_again(database: Database, receiver: Receiver) -> None:
    prepare(database, receiver.url)
    run(database, NOW)
    with database.transaction() as session:
        ((delivery, notification),) = list_deliveries(session)
        assert notification.kind == "entitlement.exhausted"
        resend(session, delivery.id, now=NOW)
    assert run(database, NOW) == 1
    assert len(receiver.received) == 2


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com/hooks",
        "http://10.0.0.1/hooks",
        "ftp://example.com/",
        "file:///etc/passwd",
        "https://user:secret@example.com/",
        "https:///hooks",
        "https://example.com/#part",
        "https://exa mple.com/",
        "https://example.com:port/",
        "https://[::1/",
        "http://localhost.example.com/",
        "",
    ],
)
def test_an_address_that_is_not_https_is_refused(url: str) -> None:
    with pytest.raises(InvalidInput, match="/url"):
        check_url(url, may_be_loopback=True)


@pytest.mark.parametrize("url", ["http://127.0.0.1:8000/", "http://localhost/", "http://[::1]:99/"])
def test_plain_http_to_this_machine_needs_the_setting(url: str) -> None:
    check_url(url, may_be_loopback=True)
    with pytest.raises(InvalidInput, match="TOLLKEEPER_WEBHOOKS_TO_LOOPBACK"):
        check_url(url, may_be_loopback=False)


def test_an_address_is_added_once(database: Database) -> None:
    with database.transaction() as session:
        add_endpoint(session, "https://example.com/", [], may_be_loopback=False, now=NOW)
    with pytest.raises(Conflict), database.transaction() as session:
        add_endpoint(session, "https://example.com/", [], may_be_loopback=False, now=NOW)
