"""What Kong knows is kept once, and its consumers are known before their first request."""

from datetime import UTC, datetime

from sqlalchemy.orm import Session

from tollkeeper.customers.customers import CustomerDraft, create_customer
from tollkeeper.customers.map_consumer import map_consumer
from tollkeeper.customers.subjects import customer_of_subject
from tollkeeper.kong.entities import Consumer, KongConfig, Route, Service
from tollkeeper.kong.keep import list_consumers, list_routes, list_services
from tollkeeper.metering.discover import take_over_kong

NOW = datetime(2026, 3, 10, tzinfo=UTC)
CONFIG = KongConfig(
    consumers=(Consumer("1", "alice", "alice-42"), Consumer("2", "bob")),
    services=(Service("s", "echo", ("t",)),),
    routes=(Route("r", "keyed", "s", ("/keyed",)),),
)


def test_an_import_is_idempotent_and_follows_changes(session: Session) -> None:
    for _ in range(2):
        found = take_over_kong(session, CONFIG, now=NOW)
        assert (found.consumers, found.services, found.routes) == (2, 1, 1)
    renamed = KongConfig(consumers=(Consumer("1", "alicia"), Consumer("1", "alicia")))
    take_over_kong(session, renamed, now=NOW)
    session.expire_all()
    assert [(one.id, one.username) for one in list_consumers(session)] == [("1", "alicia"), ("2", "bob")]
    assert [one.tags for one in list_services(session)] == [["t"]]
    assert [(one.paths, one.service_id) for one in list_routes(session)] == [(["/keyed"], "s")]


def test_a_mapping_by_username_finds_a_consumer_that_has_sent_nothing_yet(session: Session) -> None:
    create_customer(session, CustomerDraft(key="acme", name="Acme"), now=NOW)
    take_over_kong(session, CONFIG, now=NOW)
    map_consumer(session, "acme", "username", "alice", now=NOW)
    owner = customer_of_subject(session, "consumer:1", NOW)
    assert owner is not None
    assert owner.key == "acme"
    assert customer_of_subject(session, "consumer:2", NOW) is None
