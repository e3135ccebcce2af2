"""Customers, their consumers, and usage that is nobody's, over the API."""

from datetime import datetime
from typing import Annotated, Any, Literal

from flask import Blueprint
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.orm import Session

from tollkeeper.customers.customers import (
    CustomerDraft,
    archive_customer,
    create_customer,
    get_customer,
    list_customers,
    update_customer,
)
from tollkeeper.customers.map_consumer import end_mapping, list_mappings, map_consumer, remap_consumer
from tollkeeper.customers.tables import ConsumerMapping, Customer, TaxExemption
from tollkeeper.customers.words import (
    EMAIL_PATTERN,
    KEY_PATTERN,
    LONGEST_EMAIL,
    LONGEST_KEY,
    LONGEST_NAME,
    LONGEST_VALUE,
)
from tollkeeper.errors import InvalidInput
from tollkeeper.money import format_minor
from tollkeeper.usage.estimate_unmapped import estimate_unmapped, plans_on_sale
from tollkeeper.usage.unmapped import unmapped_usage
from tollkeeper.web.api.conventions import endpoint
from tollkeeper.web.api.instants import Instant
from tollkeeper.web.api.paging import MOST_LIMIT, Page, PageQuery, page_of
from tollkeeper.web.context import snapshot, transaction, web_context

blueprint = Blueprint("api_customers", __name__, url_prefix="/api/v1")

Key = Annotated[str, Field(min_length=1, max_length=LONGEST_KEY, pattern=KEY_PATTERN)]
Name = Annotated[str, Field(min_length=1, max_length=LONGEST_NAME, pattern=r"^[^\x00]*$")]
Email = Annotated[str, Field(max_length=LONGEST_EMAIL, pattern=EMAIL_PATTERN)]
Value = Annotated[str, Field(min_length=1, max_length=LONGEST_VALUE, pattern=r"^[^\x00]*$")]
Match = Literal["subject", "id", "username", "custom_id"]


class Address(BaseModel):
    """A postal address, as it is printed on invoices."""

    model_config = ConfigDict(extra="forbid")

    line1: Name | None = None
    line2: Name | None = None
    postal_code: Name | None = None
    city: Name | None = None
    state: Name | None = None
    country: Annotated[str | None, Field(pattern=r"^[A-Z]{2}$", description="ISO 3166-1, two letters.")] = None


class TaxId(BaseModel):
    """A number under which a tax office knows the customer."""

    model_config = ConfigDict(extra="forbid")

    type: Annotated[
        str, Field(pattern=r"^[a-z]{2,4}_[a-z0-9_]{2,20}$", description="By Stripe's names.", examples=["eu_vat"])
    ]
    value: Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[^\x00]*$", examples=["DE123456789"])]


TaxIds = Annotated[list[TaxId], Field(max_length=10, description="As they are printed on its invoices.")]
Exemption = Annotated[
    TaxExemption, Field(description="`exempt`: no tax is charged; `reverse`: reverse charge, the customer owes it.")
]


class CustomerIn(BaseModel):
    """A customer to be made."""

    model_config = ConfigDict(extra="forbid")

    key: Annotated[Key, Field(description="Your own name for it; may stand for the id everywhere.")]
    name: Name
    email: Email | None = None
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")] = "USD"
    time_zone: Annotated[str, Field(max_length=64, pattern=r"^[A-Za-z0-9_+/-]+$")] = "UTC"
    parent: Annotated[Value | None, Field(description="Id or key of who pays for it.")] = None
    address: Address | None = None
    tax_ids: TaxIds = Field(default_factory=list)
    tax_exemption: Exemption = TaxExemption.NONE


class CustomerChange(BaseModel):
    """The fields to be changed; what is absent stays."""

    model_config = ConfigDict(extra="forbid")

    name: Name | None = None
    email: Email | None = None
    currency: Annotated[str | None, Field(pattern=r"^[A-Z]{3}$")] = None
    time_zone: Annotated[str | None, Field(max_length=64, pattern=r"^[A-Za-z0-9_+/-]+$")] = None
    parent: Annotated[Value | None, Field(description="Id or key of who pays for it; null: it pays itself.")] = None
    address: Address | None = None
    tax_ids: TaxIds = Field(default_factory=list)
    tax_exemption: Exemption = TaxExemption.NONE


class CustomerOut(BaseModel):
    """A customer."""

    id: str
    key: str
    name: str
    email: str | None
    currency: str
    time_zone: str
    parent_id: str | None
    address: dict[str, Any] | None
    tax_ids: list[TaxId]
    tax_exemption: TaxExemption
    created_at: datetime
    archived_at: datetime | None


class CustomerQuery(PageQuery):
    """Which customers to list."""

    archived: Annotated[bool, Field(description="List the archived ones, too.")] = False


class MappingIn(BaseModel):
    """A consumer whose usage is to be this customer's."""

    model_config = ConfigDict(extra="forbid")

    match: Annotated[Match, Field(description="What `value` is: Kong's id, username, custom_id, or the raw subject.")]
    value: Value
    since: Annotated[Instant | None, Field(description="From when on; default now. May lie in the past.")] = None
    move: Annotated[bool, Field(description="End an earlier mapping of the consumer at `since`.")] = False


class MappingEnd(BaseModel):
    """When a mapping ends."""

    model_config = ConfigDict(extra="forbid")

    at: Annotated[Instant | None, Field(description="Exclusive; default now.")] = None


class MappingOut(BaseModel):
    """A mapping; `valid_to` is exclusive, null for ever."""

    id: str
    customer_id: str
    match: Match
    value: str
    valid_from: datetime
    valid_to: datetime | None


class UnmappedQuery(BaseModel):
    """How much of the list."""

    model_config = ConfigDict(extra="forbid")

    limit: Annotated[int, Field(ge=1, le=MOST_LIMIT)] = 100
    plan: Annotated[
        str | None,
        Field(max_length=256, description="Key of a plan on sale; default: the one with the most subscriptions."),
    ] = None


class UnmappedOut(BaseModel):
    """What a subject used while it was mapped to nobody."""

    subject: str
    consumer_id: str | None
    username: str | None
    custom_id: str | None
    requests: int
    tokens: int
    first_seen: datetime
    last_seen: datetime
    estimate: Annotated[
        str | None,
        Field(description="What this would come to as one period of `estimated_on`, without fees; no bill."),
    ] = None


class UnmappedPage(BaseModel):
    """The subjects with the most unmapped requests."""

    estimated_on: Annotated[str | None, Field(description="The plan behind the estimates; null if none is sold.")]
    currency: Annotated[str | None, Field(description="Of the estimates.")]
    items: list[UnmappedOut]


@blueprint.get("/customers")
@endpoint("read", query=CustomerQuery, answer=Page[CustomerOut])
def list_all_customers(query: CustomerQuery) -> Page[CustomerOut]:
    """List customers, oldest first."""
    with snapshot() as session:
        rows = list_customers(session, after=query.after(), limit=query.limit + 1, with_archived=query.archived)
        return page_of(rows, query.limit, _describe, lambda customer: customer.id)


@blueprint.post("/customers")
@endpoint("write", body=CustomerIn, answer=CustomerOut, status=201)
def create(body: CustomerIn) -> CustomerOut:
    """Create a customer.

    A customer with a parent uses; the top of the chain of parents pays, on one invoice in one currency.
    """
    address = body.address.model_dump(exclude_none=True) if body.address else None
    draft = CustomerDraft(**{**body.model_dump(), "address": address})
    with transaction() as session:
        return _describe(create_customer(session, draft, now=web_context().clock.now()))


@blueprint.get("/customers/<customer>")
@endpoint("read", answer=CustomerOut)
def show_customer(customer: str) -> CustomerOut:
    """Show a customer, by id or key."""
    with snapshot() as session:
        return _describe(get_customer(session, customer))


@blueprint.patch("/customers/<customer>")
@endpoint("write", body=CustomerChange, answer=CustomerOut)
def change_customer(customer: str, body: CustomerChange) -> CustomerOut:
    """Change the named fields of a customer."""
    changes = body.model_dump(exclude_unset=True)
    with transaction() as session:
        return _describe(update_customer(session, customer, changes))


@blueprint.post("/customers/<customer>/archive")
@endpoint("write", answer=CustomerOut)
def archive(customer: str) -> CustomerOut:
    """Archive a customer: it leaves the lists; usage and documents stay. A repeat changes nothing."""
    with transaction() as session:
        return _describe(archive_customer(session, customer, now=web_context().clock.now()))


@blueprint.get("/customers/<customer>/consumers")
@endpoint("read", query=PageQuery, answer=Page[MappingOut])
def list_consumers_of_customer(customer: str, query: PageQuery) -> Page[MappingOut]:
    """List the mappings of consumers to a customer, oldest first."""
    with snapshot() as session:
        customer_id = get_customer(session, customer).id
        rows = list_mappings(session, customer_id=customer_id, after=query.after(), limit=query.limit + 1)
        return page_of(rows, query.limit, _describe_mapping, lambda mapping: mapping.id)


@blueprint.post("/customers/<customer>/consumers")
@endpoint("write", body=MappingIn, answer=MappingOut, status=201)
def map_to_customer(customer: str, body: MappingIn) -> MappingOut:
    """Map a consumer to a customer: its usage is the customer's from `since` on."""
    now = web_context().clock.now()
    with transaction() as session:
        return _describe_mapping(_map(session, customer, body, now))


@blueprint.post("/consumer-mappings/<mapping_id>/end")
@endpoint("write", body=MappingEnd, answer=MappingOut)
def end(mapping_id: str, body: MappingEnd) -> MappingOut:
    """End a mapping: from `at` on the consumer's usage is nobody's."""
    with transaction() as session:
        return _describe_mapping(end_mapping(session, mapping_id, at=body.at or web_context().clock.now()))


@blueprint.get("/usage/unmapped")
@endpoint("read", query=UnmappedQuery, answer=UnmappedPage)
def list_unmapped(query: UnmappedQuery) -> UnmappedPage:
    """List subjects with usage that is nobody's, most requests first, and estimate what it is worth on a plan."""
    with snapshot() as session:
        found = unmapped_usage(session, limit=query.limit)
        items = [UnmappedOut.model_validate(one, from_attributes=True) for one in found]
        plans = plans_on_sale(session)
        plan = next((one for one in plans if query.plan in {None, one.key}), None)
        if plan is None:
            if query.plan is not None:
                raise InvalidInput.of("/plan", f"no plan {query.plan!r} is on sale")
            return UnmappedPage(estimated_on=None, currency=None, items=items)
        estimate = estimate_unmapped(session, found, plan)
    for item in items:
        item.estimate = format_minor(estimate.amounts_minor[item.subject], estimate.currency)
    return UnmappedPage(estimated_on=plan.key, currency=estimate.currency, items=items)


def _map(session: Session, customer: str, body: MappingIn, now: datetime) -> ConsumerMapping:
    since = now if body.since is None else body.since
    act = remap_consumer if body.move else map_consumer
    return act(session, customer, body.match, body.value, since=since, now=now)


def _describe(customer: Customer) -> CustomerOut:
    return CustomerOut.model_validate(customer, from_attributes=True)


def _describe_mapping(mapping: ConsumerMapping) -> MappingOut:
    return MappingOut.model_validate(mapping, from_attributes=True)
