"""Forgetting a person changes no number, breaks no digest, and leaves the names nowhere."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import event, inspect, select, text
from sqlalchemy.orm import Session

from tests.scenarios.story import Story
from tests.shop import add_customer, add_feature, at
from tollkeeper.customers.map_consumer import map_consumer
from tollkeeper.errors import Conflict, InvalidInput
from tollkeeper.invoices.forget import forget_person
from tollkeeper.invoices.tables import Invoice
from tollkeeper.invoices.verify import Verdict, verify_invoice
from tollkeeper.kong.tables import KongConsumer
from tollkeeper.metering.accept import accept_events
from tollkeeper.metering.event import Event
from tollkeeper.metering.findings import Verified
from tollkeeper.metering.forget_person import Person
from tollkeeper.metering.measure import Question, Span, measure
from tollkeeper.metering.meters import get_meter
from tollkeeper.metering.stores.tables import DONE, EventMove
from tollkeeper.metering.verify import verify_events, whole_range
from tollkeeper.storage.base import Base
from tollkeeper.storage.session import Database
from tollkeeper.usage.unmapped import unmapped_usage

NOW = datetime(2026, 3, 3, tzinfo=UTC)
ADA = {"id": "c-ada", "username": "ada.lovelace", "custom_id": "ada-42"}
BOB = {"id": "c-bob", "username": "bob"}
NAMES = ("c-ada", "ada.lovelace", "ada-42", "key-of-ada", "ada@example.com")


def request(number: int, who: dict[str, str], *, day: int = 1, **data: Any) -> Event:
    credential = f"key-of-{who['username'][:3]}"
    facts = {"route": "flights", "status": 200, "consumer": who, "credential": credential, **data}
    when, subject = at(f"2026-03-0{day}"), f"consumer:{who['id']}"
    return Event(id=f"{number:032x}", source="s", type="kong.request", subject=subject, time=when, data=facts)


@pytest.fixture
def stored(session: Session) -> Session:
    """Ada's and Bob's requests of two days, and a mail of hers as another type of event; Acme pays for both."""
    add_customer(session, "acme")
    for username in ("ada.lovelace", "bob"):
        map_consumer(session, "acme", "username", username, since=at("2026-01-01"), now=NOW)
    session.add(KongConsumer(**ADA, tags=[], seen_at=NOW))
    batch = [request(1, ADA, bytes={"response": 100}), request(2, ADA, day=2, bytes={"response": "1.5"})]
    batch += [request(4, BOB), request(5, BOB, day=2)]
    assert accept_events(session, [request(3, ADA | {"username": "ada"}, day=2)], now=NOW).accepted == 1
    mail = {"to": {"address": "ada@example.com"}, "size": 7}
    batch.append(Event(id="m1", source="s", type="mail", subject="consumer:c-bob", time=at("2026-03-02"), data=mail))
    assert accept_events(session, batch, now=NOW).accepted == 5
    session.flush()
    return session


def everything_in(session: Session) -> str:
    """Return all that the database holds, as one text."""
    names = sorted(Base.metadata.tables.keys() & set(inspect(session.connection()).get_table_names()))
    rows = [tuple(row) for name in names for row in session.execute(text(f"SELECT * FROM {name}"))]
    return repr([[value.decode("latin-1") if isinstance(value, bytes) else value for value in row] for row in rows])


def findings_of(session: Session) -> list[Any]:
    session.flush()
    return list(verify_events(session, whole_range(session), Verified(), lambda _: None))


def totals_of(session: Session) -> dict[str, Decimal | None]:
    span = Span(None, 0, 2**60)
    return {
        key: next(iter(measure(session, Question(get_meter(session, key)), [span]).values())).quantity()
        for key in ("requests", "response_bytes")
    }


WHOLE = Person(usernames=["ada.lovelace"], fields={"to.address": ["ada@example.com"]})


def test_the_names_are_nowhere_any_more(stored: Session) -> None:
    before = everything_in(stored)
    assert all(name in before for name in NAMES)
    done = forget_person(stored, WHOLE, by="tests", now=NOW)
    after = everything_in(stored)
    assert [name for name in NAMES if name in after] == []
    assert (done.act.events, done.act.dimension_sets) == (4, 2)
    assert "bob" in after


def test_totals_and_digests_stay_valid(stored: Session) -> None:
    assert totals_of(stored) == {"requests": Decimal(5), "response_bytes": Decimal("101.5")}
    forget_person(stored, WHOLE, by="tests", now=NOW)
    assert totals_of(stored) == {"requests": Decimal(5), "response_bytes": Decimal("101.5")}
    assert findings_of(stored) == []


def test_a_difference_from_before_is_not_laundered(stored: Session) -> None:
    stored.execute(text("DELETE FROM events WHERE id_key = :key"), {"key": bytes.fromhex(f"{1:032x}")})
    forget_person(stored, WHOLE, by="tests", now=NOW)
    assert {finding.kind for finding in findings_of(stored)} == {"lost", "total"}


def test_usage_stays_whose_it_was(stored: Session) -> None:
    forget_person(stored, WHOLE, by="tests", now=NOW)
    assert unmapped_usage(stored) == []


def test_the_next_request_of_a_forgotten_person_is_a_new_consumers(stored: Session) -> None:
    forget_person(stored, WHOLE, by="tests", now=NOW)
    assert accept_events(stored, [request(9, ADA, day=2)], now=NOW).accepted == 1
    assert [one.subject for one in unmapped_usage(stored)] == ["consumer:c-ada"]
    assert findings_of(stored) == []


def test_what_a_process_remembers_of_sets_is_forgotten_with_them(database: Database) -> None:
    with database.transaction() as session:
        accept_events(session, [request(1, ADA)], now=NOW)
    with database.transaction() as session:
        forget_person(session, Person(consumer_ids=["c-ada"]), by="tests", now=NOW)
    with database.transaction() as session:
        assert accept_events(session, [request(2, ADA)], now=NOW).accepted == 1
        assert findings_of(session) == []


def test_a_repeat_finds_nothing_more_and_is_noted(stored: Session) -> None:
    forget_person(stored, WHOLE, by="tests", now=NOW)
    again = forget_person(stored, WHOLE, by="tests", now=NOW)
    assert (again.act.events, again.act.subjects, again.act.dimension_sets) == (0, 0, 0)


def test_a_credential_alone_is_forgotten_without_its_consumer(stored: Session) -> None:
    done = forget_person(stored, Person(credentials=["key-of-ada"]), by="tests", now=NOW)
    after = everything_in(stored)
    assert (done.act.events, "key-of-ada" in after, "ada.lovelace" in after) == (3, False, True)
    assert findings_of(stored) == []


def test_nobody_cannot_be_forgotten(stored: Session) -> None:
    with pytest.raises(InvalidInput, match="names nobody"):
        forget_person(stored, Person(), by="tests", now=NOW)


def test_a_field_that_totals_count_is_refused(stored: Session) -> None:
    with pytest.raises(Conflict, match=r"meter 'response_bytes' computes with 'bytes.response'"):
        forget_person(stored, Person(fields={"bytes.response": ["1.5"]}), by="tests", now=NOW)


def test_while_events_lie_in_an_archive_nobody_is_forgotten(stored: Session) -> None:
    stored.add(EventMove(state=DONE, events=1))
    with pytest.raises(Conflict, match="events lie in the archive"):
        forget_person(stored, WHOLE, by="tests", now=NOW)


def test_a_dimension_is_no_field(stored: Session) -> None:
    with pytest.raises(InvalidInput, match=r"/fields/consumer.username: is a dimension; give it by its own name"):
        forget_person(stored, Person(fields={"consumer.username": ["bob"]}), by="tests", now=NOW)


def test_a_filter_that_names_the_person_is_refused_with_its_name(stored: Session) -> None:
    add_feature(stored, "adas", consumer={"eq": "ada.lovelace"})
    with pytest.raises(Conflict, match="the filter of feature 'adas' names the person"):
        forget_person(stored, WHOLE, by="tests", now=NOW)


STORY = """
    plan payg: 0.10 EUR each of calls
    2026-01-01 acme subscribes to payg
    2026-01-10 acme uses 10 calls
    2026-02-01 02:00 close period
"""


def test_an_issued_invoice_verifies_after_its_user_was_forgotten(database: Database) -> None:
    Story(database, STORY)
    with database.transaction() as session:
        number = session.scalars(select(Invoice.id)).one()
        done = forget_person(session, Person(subjects=["user:acme"]), by="tests", now=NOW)
        assert (done.act.events, done.proofs) == (1, 1)
    with database.transaction() as session:
        document, line = verify_invoice(session, number)
        assert (document.verdict, line.verdict) == (Verdict.EQUAL, Verdict.FORGOTTEN)
        assert line.detail == "identifiers were forgotten on 2026-03-03; the events are those that were left then"
        session.execute(text("DELETE FROM events WHERE time_us = (SELECT max(time_us) FROM events)"))
        assert [one.verdict for one in verify_invoice(session, number)] == [Verdict.EQUAL, Verdict.DIFFERS]


def test_the_next_run_bills_nothing_anew_after_forgetting(database: Database) -> None:
    story = Story(database, STORY)
    with database.transaction() as session:
        forget_person(session, Person(subjects=["user:acme"]), by="tests", now=NOW)
    story.go_on("2026-03-01 02:00 close period")
    assert story.lines == []


def test_an_act_that_is_killed_anywhere_leaves_everything_and_runs_again(database: Database) -> None:
    with database.transaction() as session:
        add_customer(session, "acme")
        map_consumer(session, "acme", "username", "ada.lovelace", since=at("2026-01-01"), now=NOW)
        batch = [request(1, ADA, user={"mail": "ada@example.com"}), request(2, ADA, day=2), request(3, BOB)]
        assert accept_events(session, batch, now=NOW).accepted == 3
    person = Person(usernames=["ada.lovelace"], fields={"user.mail": ["ada@example.com"]})
    with database.snapshot() as session:
        before = everything_in(session)
    killed_at = 0
    while _is_killed(database, person, killed_at):
        killed_at += 1
        with database.snapshot() as session:
            assert everything_in(session) == before
    assert killed_at > 10
    with database.transaction() as session:
        assert findings_of(session) == []
        assert not [name for name in (*NAMES[:3], NAMES[4]) if name in everything_in(session)]


def _is_killed(database: Database, person: Person, at_write: int) -> bool:
    """Forget, and fail before a write (0: the first one); say whether there was such a write."""
    writes = iter(range(10**6))

    def fail(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if not statement.lstrip().startswith("SELECT") and next(writes) == at_write:
            raise KeyboardInterrupt

    event.listen(database.engine, "before_cursor_execute", fail)
    try:
        with database.transaction() as session:
            forget_person(session, person, by="test", now=NOW)
    except KeyboardInterrupt:
        return True
    finally:
        event.remove(database.engine, "before_cursor_execute", fail)
    return False
