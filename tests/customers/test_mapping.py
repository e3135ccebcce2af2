"""Whose usage a consumer's is: by any of its names, from a date on, never twice."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.orm import Session

from tollkeeper.customers.attribute import intervals_of
from tollkeeper.customers.customers import CustomerDraft, create_customer
from tollkeeper.customers.map_consumer import end_mapping, map_consumer, remap_consumer
from tollkeeper.customers.subjects import (
    SeenSubject,
    customer_of_subject,
    list_subjects,
    register_subjects,
    subjects_of_customer,
)
from tollkeeper.customers.tables import ConsumerMapping
from tollkeeper.errors import Conflict, InvalidInput, NotFound

NOW = datetime(2026, 3, 10, tzinfo=UTC)
ALICE = SeenSubject("consumer:1", "1", "alice", "alice-42", "cred")


@pytest.fixture
def customers(session: Session) -> None:
    for key in ("acme", "globex"):
        create_customer(session, CustomerDraft(key=key, name=key), now=NOW)


def key_of(session: Session, day: int, subject: str = "consumer:1") -> str | None:
    owner = customer_of_subject(session, subject, datetime(2026, 3, day, tzinfo=UTC))
    return owner and owner.key


@pytest.mark.parametrize(
    ("match", "value"),
    [("subject", "consumer:1"), ("id", "1"), ("username", "alice"), ("custom_id", "alice-42")],
)
@pytest.mark.parametrize("is_seen_first", [True, False])
@pytest.mark.usefixtures("customers")
def test_a_consumer_is_found_by_each_of_its_names_before_and_after_it_is_seen(
    session: Session, match: str, value: str, is_seen_first: bool
) -> None:
    if is_seen_first:
        register_subjects(session, [ALICE], now=NOW)
    map_consumer(session, "acme", match, value, now=NOW)
    if not is_seen_first:
        register_subjects(session, [ALICE], now=NOW)
    assert [key_of(session, day) for day in (9, 10, 11)] == [None, "acme", "acme"]


@pytest.mark.usefixtures("customers")
def test_a_mapping_may_begin_in_the_past(session: Session) -> None:
    register_subjects(session, [ALICE], now=NOW)
    map_consumer(session, "acme", "username", "alice", since=NOW - timedelta(days=7), now=NOW)
    assert [key_of(session, day) for day in (2, 3)] == [None, "acme"]


@pytest.mark.usefixtures("customers")
def test_a_consumer_is_mapped_once_at_a_time(session: Session) -> None:
    register_subjects(session, [ALICE], now=NOW)
    map_consumer(session, "acme", "username", "alice", now=NOW)
    for customer, match, value in [
        ("globex", "username", "alice"),
        ("globex", "id", "1"),
        ("acme", "username", "alice"),
    ]:
        with pytest.raises(Conflict, match="is mapped by username 'alice'"):
            map_consumer(session, customer, match, value, now=NOW)


@pytest.mark.usefixtures("customers")
def test_a_second_name_of_the_same_consumer_for_the_same_customer_is_no_conflict(session: Session) -> None:
    register_subjects(session, [ALICE], now=NOW)
    map_consumer(session, "acme", "username", "alice", now=NOW)
    map_consumer(session, "acme", "id", "1", since=NOW + timedelta(days=1), now=NOW)
    acme = customer_of_subject(session, "consumer:1", NOW)
    assert acme is not None
    assert [(one.valid_from, one.valid_to) for one in subjects_of_customer(session, acme.id)] == [(NOW, None)]


@pytest.mark.usefixtures("customers")
def test_a_consumer_moves_from_a_date_on(session: Session) -> None:
    register_subjects(session, [ALICE], now=NOW)
    map_consumer(session, "acme", "username", "alice", since=NOW - timedelta(days=9), now=NOW)
    remap_consumer(session, "globex", "username", "alice", since=NOW - timedelta(days=2), now=NOW)
    assert [key_of(session, day) for day in (1, 7, 8, 20)] == ["acme", "acme", "globex", "globex"]
    remap_consumer(session, "acme", "username", "alice", since=NOW - timedelta(days=5), now=NOW)
    assert [key_of(session, day) for day in (1, 7, 8, 20)] == ["acme"] * 4


@pytest.mark.usefixtures("customers")
def test_an_ended_mapping_leaves_the_rest_unmapped(session: Session) -> None:
    register_subjects(session, [ALICE], now=NOW)
    mapping = map_consumer(session, "acme", "username", "alice", now=NOW)
    end_mapping(session, mapping.id, at=NOW + timedelta(days=1))
    assert [key_of(session, day) for day in (10, 11)] == ["acme", None]
    with pytest.raises(InvalidInput):
        end_mapping(session, mapping.id, at=NOW)
    with pytest.raises(NotFound):
        end_mapping(session, "map_none", at=NOW)


@pytest.mark.usefixtures("customers")
def test_a_consumer_that_is_renamed_is_mapped_by_its_new_name(session: Session) -> None:
    map_consumer(session, "acme", "username", "bob", now=NOW)
    register_subjects(session, [ALICE], now=NOW)
    assert key_of(session, 11) is None
    register_subjects(session, [SeenSubject("consumer:1", username="bob")], now=NOW)
    assert key_of(session, 11) == "acme"
    row = list_subjects(session, ["consumer:1"])["consumer:1"]
    assert (row.username, row.custom_id, row.credential) == ("bob", "alice-42", "cred")


@pytest.mark.usefixtures("customers")
def test_when_two_names_lead_to_two_customers_the_more_particular_wins(session: Session) -> None:
    """Both mappings were made before anybody could know that they name one consumer."""
    map_consumer(session, "acme", "username", "alice", now=NOW)
    map_consumer(session, "globex", "id", "1", now=NOW + timedelta(days=2))
    register_subjects(session, [ALICE], now=NOW)
    assert [key_of(session, day) for day in (10, 11, 12)] == ["acme", "acme", "globex"]


@pytest.mark.parametrize(("match", "value", "path"), [("email", "a", "/match"), ("id", "", "/value")])
@pytest.mark.usefixtures("customers")
def test_a_wrong_mapping_is_refused(session: Session, match: str, value: str, path: str) -> None:
    with pytest.raises(InvalidInput) as refusal:
        map_consumer(session, "acme", match, value, now=NOW)
    assert refusal.value.fields[0].path == path


mapping = st.builds(
    lambda customer, first, length: ConsumerMapping(
        customer_id=customer,
        valid_from=NOW + timedelta(days=first),
        valid_to=None if length is None else NOW + timedelta(days=first + length),
    ),
    st.sampled_from(["acme", "globex"]),
    st.integers(0, 9),
    st.none() | st.integers(1, 5),
)


@given(st.lists(mapping, max_size=5))
def test_intervals_never_overlap_and_each_instant_is_the_first_mapping_s(mappings: list[ConsumerMapping]) -> None:
    intervals = intervals_of(mappings)
    for day in range(16):
        instant = NOW + timedelta(days=day, hours=12)
        holders = [
            customer for start, end, customer in intervals if start <= instant and (end is None or instant < end)
        ]
        wanted = [
            one.customer_id
            for one in mappings
            if one.valid_from <= instant and (one.valid_to is None or instant < one.valid_to)
        ]
        assert holders == wanted[:1]
