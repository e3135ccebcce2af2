"""Customers: keys, parents without cycles, one currency in a family."""

from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from sqlalchemy.orm import Session

from tollkeeper.customers.customers import (
    CustomerDraft,
    archive_customer,
    create_customer,
    family_of,
    get_customer,
    list_customers,
    payer_of,
    update_customer,
)
from tollkeeper.customers.tables import Customer
from tollkeeper.errors import Conflict, InvalidInput, NotFound

NOW = datetime(2026, 3, 1, tzinfo=UTC)
Make = Callable[..., Customer]


@pytest.fixture
def customer(session: Session) -> Make:
    def make(key: str, **further: str) -> Customer:
        return create_customer(session, CustomerDraft(key=key, name=key.title(), **further), now=NOW)

    return make


def test_the_top_of_the_chain_of_parents_pays(session: Session, customer: Make) -> None:
    holding = customer("holding")
    europe = customer("europe", parent="holding")
    acme = customer("acme", parent=europe.id)
    assert [payer_of(session, one).key for one in (acme, europe, holding)] == ["holding"] * 3
    assert [one.key for one in family_of(session, holding.id)] == ["holding", "europe", "acme"]
    assert [one.key for one in family_of(session, acme.id)] == ["acme"]


def test_a_cycle_of_parents_is_refused_and_changes_nothing(session: Session, customer: Make) -> None:
    customer("holding")
    customer("acme", parent="holding")
    with pytest.raises(Conflict, match="its own parent"):
        update_customer(session, "holding", {"parent": "acme"})
    with pytest.raises(Conflict, match="its own parent"):
        update_customer(session, "acme", {"parent": "acme"})


def test_a_chain_of_parents_has_an_end(session: Session, customer: Make) -> None:
    customer("c0")
    for number in range(1, 10):
        customer(f"c{number}", parent=f"c{number - 1}")
    with pytest.raises(Conflict, match="longer than 10"):
        customer("c10", parent="c9")


def test_a_family_has_one_currency(session: Session, customer: Make) -> None:
    customer("holding", currency="EUR")
    with pytest.raises(Conflict, match="one currency"):
        customer("acme", parent="holding", currency="USD")
    customer("globex", parent="holding", currency="EUR")
    with pytest.raises(Conflict, match="one currency"):
        update_customer(session, "holding", {"currency": "USD"})


def test_a_key_names_one_customer(session: Session, customer: Make) -> None:
    acme = customer("acme")
    for taken in ("acme", acme.id):
        with pytest.raises(Conflict, match="there already"):
            customer(taken)
    assert get_customer(session, "acme") is get_customer(session, acme.id)
    with pytest.raises(NotFound):
        get_customer(session, "nobody")


def test_only_named_fields_change(session: Session, customer: Make) -> None:
    customer("acme", email="a@example.org")
    changed = update_customer(session, "acme", {"name": "Acme Ltd", "email": None})
    assert (changed.name, changed.email, changed.currency) == ("Acme Ltd", None, "USD")
    with pytest.raises(InvalidInput) as refusal:
        update_customer(session, "acme", {"key": "other"})
    assert refusal.value.fields[0].path == "/key"


@pytest.mark.parametrize(
    ("further", "path"),
    [
        ({"currency": "ZZZ"}, "/currency"),
        ({"time_zone": "Nowhere"}, "/time_zone"),
        ({"time_zone": "../x"}, "/time_zone"),
    ],
)
def test_a_wrong_currency_or_time_zone_is_refused(customer: Make, further: dict[str, str], path: str) -> None:
    with pytest.raises(InvalidInput) as refusal:
        customer("acme", **further)
    assert refusal.value.fields[0].path == path


def test_an_archived_customer_leaves_the_list_and_keeps_its_first_instant(session: Session, customer: Make) -> None:
    customer("acme")
    customer("globex")
    archive_customer(session, "acme", now=NOW)
    again = archive_customer(session, "acme", now=datetime(2027, 1, 1, tzinfo=UTC))
    assert again.archived_at == NOW
    assert [one.key for one in list_customers(session)] == ["globex"]
    assert len(list_customers(session, with_archived=True)) == 2


@pytest.mark.parametrize("key", ["", "..", "a b", "-a", "new", "k" * 65, "acme\n"])
def test_a_key_that_no_address_could_hold_is_refused(session: Session, customer: Make, key: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        customer(key)
    assert [field.path for field in refused.value.fields] == ["/key"]
    assert list_customers(session) == []


@pytest.mark.parametrize("field", ["name", "currency", "time_zone"])
def test_what_a_customer_needs_cannot_be_taken_away(session: Session, customer: Make, field: str) -> None:
    customer("acme")
    with pytest.raises(InvalidInput) as refused:
        update_customer(session, "acme", {field: None})
    session.rollback()
    assert [one.path for one in refused.value.fields] == [f"/{field}"]
