"""Prepaid credit over the API: grant, void, balances, the ledger, automatic top-up."""

from datetime import datetime
from typing import Annotated

from flask import Blueprint
from pydantic import BaseModel, ConfigDict, Field

from tollkeeper.catalog.words import Cadence, Currency
from tollkeeper.credits.balance import balances_of
from tollkeeper.credits.grants import DEFAULT_PRIORITY, GrantDraft, get_grant, grant_credit, list_grants, void_grant
from tollkeeper.credits.ledger import Posted, list_ledger
from tollkeeper.credits.tables import ActKind, CreditGrant, CreditWallet, GrantKind
from tollkeeper.credits.top_up import TopUpTerms, set_top_up, stop_top_up
from tollkeeper.customers.customers import get_customer
from tollkeeper.customers.tables import Customer
from tollkeeper.errors import InvalidInput, NotFound
from tollkeeper.money import format_minor, parse_minor
from tollkeeper.web.api.conventions import endpoint
from tollkeeper.web.api.instants import Instant
from tollkeeper.web.api.paging import Page, PageQuery, page_of
from tollkeeper.web.context import snapshot, transaction, web_context

blueprint = Blueprint("api_credits", __name__, url_prefix="/api/v1/customers/<customer>")

AmountIn = Annotated[
    str,
    Field(pattern=r"^[0-9]{1,15}(\.[0-9]{1,4})?$", description="In the currency's own exponent.", examples=["50.00"]),
]
Amount = Annotated[str, Field(description="Decimal in the currency's own exponent.", examples=["50.00"])]
Text = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00]*$")]


class GrantIn(BaseModel):
    """Money to be granted."""

    model_config = ConfigDict(extra="forbid")

    kind: Annotated[GrantKind, Field(description="Given away, paid to you, or paid elsewhere.")]
    amount: AmountIn
    currency: Annotated[Currency | None, Field(description="By default the customer's.")] = None
    name: Annotated[Text | None, Field(description="Stands on invoices.")] = None
    priority: Annotated[int, Field(ge=0, le=1000, description="Lower burns first.")] = DEFAULT_PRIORITY
    effective_at: Annotated[Instant | None, Field(description="From when it may be drawn; by default now.")] = None
    expires_at: Annotated[Instant | None, Field(description="Exclusive; by default never.")] = None
    reset_every: Annotated[Cadence | None, Field(description="How often the rest is reset.", examples=["P1M"])] = None
    min_rollover: Annotated[AmountIn | None, Field(description="What a reset leaves at least; by default 0.")] = None
    max_rollover: Annotated[AmountIn | None, Field(description="What it leaves at most; by default the amount.")] = None
    key: Annotated[Text | None, Field(description="Your own name for it: a repeat under it grants once.")] = None


class GrantOut(BaseModel):
    """A grant and what is left of it."""

    id: str
    customer: str
    currency: str
    key: str | None
    kind: GrantKind
    name: str
    amount: Amount
    remaining: Amount
    priority: int
    effective_at: datetime
    expires_at: datetime | None
    reset_every: str | None
    min_rollover: Amount
    max_rollover: Amount
    created_at: datetime
    voided_at: datetime | None


class BalanceQuery(BaseModel):
    """Of which instant."""

    model_config = ConfigDict(extra="forbid")

    at: Annotated[Instant | None, Field(description="By default now.")] = None


class BalanceOut(BaseModel):
    """What may be used in one currency."""

    currency: str
    balance: Amount


class BalancesOut(BaseModel):
    """What a customer may use, by currency."""

    customer: str
    as_of: datetime
    items: list[BalanceOut]


class LedgerQuery(PageQuery):
    """Of which currency."""

    currency: Annotated[Currency | None, Field(description="By default the customer's.")] = None


class EntryOut(BaseModel):
    """What a transaction adds to an account; below zero takes away."""

    account: Annotated[str, Field(description="`grant:<id>`, or where money comes from or goes to.")]
    amount: Amount


class TransactionOut(BaseModel):
    """One act; its entries sum to zero."""

    id: str
    sequence: Annotated[int, Field(description="Counts the customer's transactions in a currency, without a gap.")]
    kind: ActKind
    currency: str
    happened_at: datetime
    reference: Annotated[str | None, Field(description="Of draws and reversals: the invoice's id.")]
    entries: list[EntryOut]


class TopUpIn(BaseModel):
    """When to ask for more, and for how much."""

    model_config = ConfigDict(extra="forbid")

    currency: Annotated[Currency | None, Field(description="By default the customer's.")] = None
    threshold: Annotated[AmountIn | None, Field(description="Ask when the balance is below it; null: never.")] = None
    amount: Annotated[AmountIn | None, Field(description="How much to ask for; null with the threshold.")] = None
    is_charged: Annotated[
        bool, Field(description="Charge it by an invoice of its own, whose payment grants the credit.")
    ] = False


class TopUpOut(BaseModel):
    """The setting, and since when a top-up is due."""

    customer: str
    currency: str
    threshold: Amount | None
    amount: Amount | None
    is_charged: bool
    due_since: datetime | None


@blueprint.get("/credit-grants")
@endpoint("read", query=PageQuery, answer=Page[GrantOut])
def list_credit_grants(customer: str, query: PageQuery) -> Page[GrantOut]:
    """List a customer's grants of prepaid credit, oldest first."""
    with snapshot() as session:
        found = get_customer(session, customer)
        rows = list_grants(session, found.id, after=query.after(), limit=query.limit + 1)
        return page_of(rows, query.limit, _describe, lambda row: row.id)


@blueprint.post("/credit-grants")
@endpoint("write", body=GrantIn, answer=GrantOut, status=201)
def create_credit_grant(customer: str, body: GrantIn) -> GrantOut:
    """Grant prepaid credit; invoices draw it when they are issued.

    It is granted to the customer who pays. Grants burn by lower priority, then earlier expiry, then age.
    """
    with transaction() as session:
        draft = _draft(get_customer(session, customer), body)
        return _describe(grant_credit(session, customer, draft, now=web_context().clock.now()))


@blueprint.post("/credit-grants/<grant_id>/void")
@endpoint("write", answer=GrantOut)
def void_credit_grant(customer: str, grant_id: str) -> GrantOut:
    """Take back what is left of a grant; what was drawn stays drawn. A repeat changes nothing."""
    with transaction() as session:
        if get_grant(session, grant_id).customer_id != get_customer(session, customer).id:
            raise NotFound(f"customer {customer!r} has no credit grant {grant_id!r}")
        return _describe(void_grant(session, grant_id, now=web_context().clock.now()))


@blueprint.get("/credit-balance")
@endpoint("read", query=BalanceQuery, answer=BalancesOut)
def show_credit_balance(customer: str, query: BalanceQuery) -> BalancesOut:
    """Show what a customer may use of its prepaid credit, now or at an instant, by currency."""
    at = query.at or web_context().clock.now()
    with snapshot() as session:
        found = get_customer(session, customer)
        balances = {found.currency: 0} | balances_of(session, found.id, at=at)
        items = [
            BalanceOut(currency=currency, balance=format_minor(balance, currency))
            for currency, balance in sorted(balances.items())
        ]
        return BalancesOut(customer=found.id, as_of=at, items=items)


@blueprint.get("/credit-ledger")
@endpoint("read", query=LedgerQuery, answer=Page[TransactionOut])
def show_credit_ledger(customer: str, query: LedgerQuery) -> Page[TransactionOut]:
    """List the transactions of a customer's prepaid credit, newest first; the entries of each sum to zero."""
    with snapshot() as session:
        found = get_customer(session, customer)
        currency = query.currency or found.currency
        rows = list_ledger(session, found.id, currency, before=_before(query), limit=query.limit + 1)
        return page_of(rows, query.limit, _transaction, lambda row: str(row.transaction.sequence))


@blueprint.put("/credit-top-up")
@endpoint("write", body=TopUpIn, answer=TopUpOut)
def set_credit_top_up(customer: str, body: TopUpIn) -> TopUpOut:
    """Ask for a top-up, by the notification credit.top_up_due, whenever the balance falls below a threshold.

    If it is charged, an invoice of its own is issued, too; its payment grants the credit.
    """
    now = web_context().clock.now()
    with transaction() as session:
        found = get_customer(session, customer)
        currency = body.currency or found.currency
        if body.threshold is None and body.amount is None:
            return _top_up(stop_top_up(session, found.id, currency, now=now))
        if body.threshold is None or body.amount is None:
            raise InvalidInput.of("/threshold" if body.threshold is None else "/amount", "goes with the other")
        wallet = set_top_up(
            session,
            found.id,
            currency,
            TopUpTerms(
                threshold_minor=parse_minor(body.threshold, currency, "/threshold"),
                amount_minor=parse_minor(body.amount, currency, "/amount"),
                is_charged=body.is_charged,
            ),
            now=now,
        )
        return _top_up(wallet)


def _draft(customer: Customer, body: GrantIn) -> GrantDraft:
    currency = body.currency or customer.currency
    return GrantDraft(
        kind=body.kind,
        amount_minor=parse_minor(body.amount, currency, "/amount"),
        currency=currency,
        name=body.name,
        priority=body.priority,
        effective_at=body.effective_at,
        expires_at=body.expires_at,
        reset_every=body.reset_every,
        min_rollover_minor=parse_minor(body.min_rollover or "0", currency, "/min_rollover"),
        max_rollover_minor=(
            None if body.max_rollover is None else parse_minor(body.max_rollover, currency, "/max_rollover")
        ),
        key=body.key,
    )


def _before(query: LedgerQuery) -> int | None:
    after = query.after()
    if after is None:
        return None
    if not after.isdecimal() or len(after) > 18:  # of a 64-bit number
        raise InvalidInput.of("/cursor", "is no cursor of this list; leave it out to start from the first page")
    return int(after)


def _describe(row: CreditGrant) -> GrantOut:
    return GrantOut(
        id=row.id,
        customer=row.customer_id,
        currency=row.currency,
        key=row.key,
        kind=GrantKind(row.kind),
        name=row.name,
        amount=format_minor(row.amount_minor, row.currency),
        remaining=format_minor(row.remaining_minor, row.currency),
        priority=row.priority,
        effective_at=row.effective_at,
        expires_at=row.expires_at,
        reset_every=row.reset_every,
        min_rollover=format_minor(row.min_rollover_minor, row.currency),
        max_rollover=format_minor(row.max_rollover_minor, row.currency),
        created_at=row.created_at,
        voided_at=row.voided_at,
    )


def _transaction(posted: Posted) -> TransactionOut:
    row = posted.transaction
    return TransactionOut(
        id=row.id,
        sequence=row.sequence,
        kind=ActKind(row.kind),
        currency=row.currency,
        happened_at=row.happened_at,
        reference=row.reference,
        entries=[
            EntryOut(account=entry.account_id, amount=format_minor(entry.amount_minor, row.currency))
            for entry in posted.entries
        ],
    )


def _top_up(wallet: CreditWallet) -> TopUpOut:
    threshold, amount = (
        None if minor is None else format_minor(minor, wallet.currency)
        for minor in (wallet.top_up_threshold_minor, wallet.top_up_amount_minor)
    )
    return TopUpOut(
        customer=wallet.customer_id,
        currency=wallet.currency,
        threshold=threshold,
        amount=amount,
        is_charged=wallet.top_up_is_charged,
        due_since=wallet.top_up_due_since,
    )
