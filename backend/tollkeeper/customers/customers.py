"""Create, change, archive and find customers; keep the chain of parents free of cycles and of one currency."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from tollkeeper.customers.tables import Customer, TaxExemption
from tollkeeper.customers.words import check_words
from tollkeeper.errors import Conflict, InvalidInput, NotFound
from tollkeeper.storage.changes import note_change
from tollkeeper.storage.ids import new_id
from tollkeeper.storage.locks import wait_for_turn

LONGEST_PARENT_CHAIN = 10
CHANGEABLE = {"name", "email", "currency", "time_zone", "parent", "address", "tax_ids", "tax_exemption"}


@dataclass(frozen=True, slots=True, kw_only=True)
class CustomerDraft:
    """What a new customer is made of; `parent` is the id or key of who pays for it."""

    key: str
    name: str
    email: str | None = None
    currency: str = "USD"
    time_zone: str = "UTC"
    parent: str | None = None
    address: dict[str, Any] | None = None
    tax_ids: Sequence[Mapping[str, str]] = ()
    tax_exemption: TaxExemption = TaxExemption.NONE


def create_customer(session: Session, draft: CustomerDraft, *, now: datetime) -> Customer:
    """Create a customer; raises Conflict if the key is taken, InvalidInput for a wrong word (words.py)."""
    wait_for_turn(session, "customers")
    if session.scalar(select(Customer.id).where(or_(Customer.key == draft.key, Customer.id == draft.key))):
        raise Conflict(f"a customer with the key {draft.key!r} is there already")
    customer = Customer(
        id=new_id("cus"),
        key=draft.key,
        name=draft.name,
        email=draft.email,
        currency=draft.currency,
        time_zone=draft.time_zone,
        address=draft.address,
        tax_ids=[dict(one) for one in draft.tax_ids],
        tax_exemption=draft.tax_exemption,
        created_at=now,
        archived_at=None,
        parent_id=None,
    )
    check_words(customer)
    if draft.parent is not None:
        customer.parent_id = get_customer(session, draft.parent).id
    _check_family(session, customer)
    session.add(customer)
    session.flush()
    return customer


def update_customer(session: Session, key_or_id: str, changes: Mapping[str, Any]) -> Customer:
    """Set the fields of CHANGEABLE that are named; `parent` is an id, a key or None.

    Raises Conflict for a cycle of parents or a family of two currencies; changing nothing is no error.
    """
    unknown = set(changes) - CHANGEABLE
    if unknown:
        raise InvalidInput.of(f"/{min(unknown)}", "cannot be changed")
    wait_for_turn(session, "customers")
    customer = get_customer(session, key_or_id)
    for field, value in changes.items():
        if field == "parent":
            customer.parent_id = None if value is None else get_customer(session, value).id
        else:
            setattr(customer, field, value)
    check_words(customer)
    with session.no_autoflush:
        _check_family(session, customer)
    session.flush()
    note_change(session, "customers")
    return customer


def archive_customer(session: Session, key_or_id: str, *, now: datetime) -> Customer:
    """Hide a customer from lists; its usage and documents stay. A repeat keeps the first instant."""
    customer = get_customer(session, key_or_id)
    if customer.archived_at is None:
        customer.archived_at = now
        session.flush()
        note_change(session, "customers")
    return customer


def get_customer(session: Session, key_or_id: str) -> Customer:
    """Return the customer by key or id; raises NotFound."""
    customer = find_customer(session, key_or_id)
    if customer is None:
        raise NotFound(f"there is no customer {key_or_id!r}")
    return customer


def find_customer(session: Session, key_or_id: str) -> Customer | None:
    """Return the customer by key or id, or None."""
    return session.scalar(select(Customer).where(or_(Customer.id == key_or_id, Customer.key == key_or_id)))


def list_customers(
    session: Session, *, after: str | None = None, limit: int = 100, with_archived: bool = False
) -> Sequence[Customer]:
    """List customers by id, which is by age, after the given id."""
    query = select(Customer).order_by(Customer.id).limit(limit)
    if after is not None:
        query = query.where(Customer.id > after)
    if not with_archived:
        query = query.where(Customer.archived_at.is_(None))
    return session.scalars(query).all()


def payer_of(session: Session, customer: Customer) -> Customer:
    """Return who pays: the top of the chain of parents, often the customer itself."""
    return _chain_of(session, customer)[-1]


def family_of(session: Session, payer_id: str) -> list[Customer]:
    """Return the payer and all whom it pays for, the payer first, then by key."""
    return families_of(session, [payer_id])[payer_id]


def families_of(session: Session, payer_ids: Sequence[str]) -> dict[str, list[Customer]]:
    """Return the families of several payers, with a query for each generation."""
    payers = {row.id: row for row in session.scalars(select(Customer).where(Customer.id.in_(payer_ids)))}
    families = {payer_id: [payers[payer_id]] for payer_id in payer_ids}
    payer_of_parent = {payer_id: payer_id for payer_id in payer_ids}
    while payer_of_parent:
        children = session.scalars(
            select(Customer).where(Customer.parent_id.in_(payer_of_parent)).order_by(Customer.key)
        ).all()
        generation = {}
        for child in children:
            assert child.parent_id is not None
            generation[child.id] = payer_of_parent[child.parent_id]
            families[generation[child.id]].append(child)
        payer_of_parent = generation
    return families


def _chain_of(session: Session, customer: Customer) -> list[Customer]:
    chain = [customer]
    while chain[-1].parent_id is not None:
        parent = session.get_one(Customer, chain[-1].parent_id)
        if parent in chain:
            raise Conflict(f"{parent.key!r} would be its own parent; choose another parent for {customer.key!r}")
        if len(chain) == LONGEST_PARENT_CHAIN:
            raise Conflict(f"the chain of parents of {customer.key!r} is longer than {LONGEST_PARENT_CHAIN}")
        chain.append(parent)
    return chain


def _check_family(session: Session, customer: Customer) -> None:
    # One invoice holds the whole family's usage, so the family has one currency.
    relatives = _chain_of(session, customer)[1:]
    relatives += session.scalars(select(Customer).where(Customer.parent_id == customer.id)).all()
    for relative in relatives:
        if relative.currency != customer.currency:
            raise Conflict(
                f"{customer.key!r} is billed in {customer.currency} and {relative.key!r} in {relative.currency}; "
                "a parent and those whom it pays for have one currency"
            )
