"""Grant credit, void what is left of a grant, find and list grants."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from tollkeeper.credits.ledger import Act, Move, post
from tollkeeper.credits.tables import ActKind, CreditGrant, CreditWallet, GrantKind
from tollkeeper.credits.wallets import SOURCE, close_act, lock_wallet, next_act, open_wallet
from tollkeeper.customers.customers import get_customer
from tollkeeper.customers.tables import Customer
from tollkeeper.errors import Conflict, InvalidInput, NotFound
from tollkeeper.money import currency_exponent
from tollkeeper.storage.ids import new_id
from tollkeeper.subscriptions.periods import CADENCE

VOIDED = "voided"
DEFAULT_PRIORITY = 10
MOST_MINOR = 10**15  # a sum of thousands of these is still far from the end of 64 bits


@dataclass(frozen=True, slots=True, kw_only=True)
class GrantDraft:
    """What is granted. `key` is the caller's own name for it: a repeat under it grants nothing more.

    With `reset_every` (a cadence such as P1M, counted from `effective_at` in the customer's time zone) each reset
    keeps min(max_rollover, max(min_rollover, balance)); by default it keeps what is left, and the most is the amount.
    """

    kind: GrantKind
    amount_minor: int
    currency: str | None = None
    name: str | None = None
    priority: int = DEFAULT_PRIORITY
    effective_at: datetime | None = None
    expires_at: datetime | None = None
    reset_every: str | None = None
    min_rollover_minor: int = 0
    max_rollover_minor: int | None = None
    key: str | None = None


def grant_credit(session: Session, key_or_id: str, draft: GrantDraft, *, now: datetime) -> CreditGrant:
    """Grant credit to a customer who pays itself; a repeat under the draft's key returns the grant that is there.

    Raises InvalidInput for a wrong draft; Conflict if another one pays for the customer (its credit would never
    be drawn) and if the key belongs to another grant.
    """
    customer = get_customer(session, key_or_id)
    if customer.parent_id is not None:
        payer = session.get_one(Customer, customer.parent_id).key
        raise Conflict(f"{customer.key!r} is paid by {payer!r}, and invoices draw the payer's credit: grant it there")
    return add_grant(session, customer, draft, now=now)


def add_grant(session: Session, customer: Customer, draft: GrantDraft, *, now: datetime) -> CreditGrant:
    """Grant credit to a customer, also to one whom another one pays for: it waits until it pays for itself again.

    Otherwise as grant_credit.
    """
    _check(draft, now=now)
    currency = draft.currency or customer.currency
    currency_exponent(currency)
    wallet = open_wallet(session, customer.id, currency, now=now)
    fixed = _fixed_columns(draft, currency)
    earlier = _find_by_key(session, customer.id, draft.key)
    if earlier is not None:
        return _same(earlier, fixed, draft)
    grant = CreditGrant(
        id=new_id("crg"),
        customer_id=customer.id,
        **fixed,
        effective_at=draft.effective_at or now,
        time_zone=customer.time_zone,
        created_at=now,
        remaining_minor=0,
        voided_at=None,
    )
    grant.next_act_at = next_act(grant, after=now)
    session.add(grant)
    session.flush()
    act = Act(kind=ActKind.GRANT, key=f"grant:{grant.id}", happened_at=now)
    post(session, wallet, act, [Move(grant, grant.amount_minor)], f"{SOURCE}:{grant.kind}")
    close_act(session, wallet, now=now)
    return grant


def _check(draft: GrantDraft, *, now: datetime) -> None:
    if not 0 < draft.amount_minor <= MOST_MINOR:
        raise InvalidInput.of("/amount", "has to be more than zero and at most 10^15 of the smallest unit")
    if draft.expires_at is not None and draft.expires_at <= max(draft.effective_at or now, now):
        raise InvalidInput.of("/expires_at", "has to be in the future and after effective_at")
    if draft.reset_every is not None and not CADENCE.fullmatch(draft.reset_every):
        raise InvalidInput.of("/reset_every", f"{draft.reset_every!r} is no cadence; write it like P1M, P1W or P1Y")
    if draft.reset_every is None and (draft.min_rollover_minor or draft.max_rollover_minor is not None):
        raise InvalidInput.of("/reset_every", "is missing: what rolls over is what a reset keeps")
    most = draft.amount_minor if draft.max_rollover_minor is None else draft.max_rollover_minor
    if not 0 <= draft.min_rollover_minor <= most <= draft.amount_minor:
        raise InvalidInput.of("/max_rollover", "needs 0 <= min_rollover <= max_rollover <= amount")


def _fixed_columns(draft: GrantDraft, currency: str) -> dict[str, Any]:
    most = draft.amount_minor if draft.max_rollover_minor is None else draft.max_rollover_minor
    return {
        "currency": currency,
        "key": draft.key,
        "kind": draft.kind.value,
        "name": draft.name or f"{draft.kind.value} credit",
        "amount_minor": draft.amount_minor,
        "priority": draft.priority,
        "expires_at": draft.expires_at,
        "reset_every": draft.reset_every,
        "min_rollover_minor": draft.min_rollover_minor,
        "max_rollover_minor": most,
    }


def _find_by_key(session: Session, customer_id: str, key: str | None) -> CreditGrant | None:
    if key is None:
        return None
    return session.scalars(
        select(CreditGrant).where(CreditGrant.customer_id == customer_id, CreditGrant.key == key)
    ).first()


def _same(earlier: CreditGrant, fixed: dict[str, Any], draft: GrantDraft) -> CreditGrant:
    """Return the grant that a repeat is about, if it is one; when it starts by default is no difference."""
    is_same = all(getattr(earlier, name) == value for name, value in fixed.items())
    if not is_same or draft.effective_at not in {None, earlier.effective_at}:
        raise Conflict(f"grant {earlier.id} has the key {earlier.key!r} already and other terms; take a new key")
    return earlier


def void_grant(session: Session, grant_id: str, *, now: datetime) -> CreditGrant:
    """Take back what is left of a grant; what was drawn stays drawn. A repeat changes nothing. Raises NotFound.

    A draw that is given back later comes back to the grant, and is taken at once.
    """
    found = get_grant(session, grant_id)
    wallet = lock_wallet(session, found.customer_id, found.currency, now=now)
    assert wallet is not None
    grant = get_grant(session, grant_id)
    if grant.voided_at is not None:
        return grant
    grant.voided_at = now
    grant.next_act_at = None
    take_rest(session, wallet, grant, f"void:{grant.id}", now=now)
    close_act(session, wallet, now=now)
    return grant


def take_rest(session: Session, wallet: CreditWallet, grant: CreditGrant, key: str, *, now: datetime) -> None:
    """Move what is left of a voided grant to the voided; the caller holds the wallet."""
    if grant.remaining_minor:
        act = Act(kind=ActKind.VOID, key=key, happened_at=now)
        post(session, wallet, act, [Move(grant, -grant.remaining_minor)], VOIDED)


def get_grant(session: Session, grant_id: str) -> CreditGrant:
    """Return a grant as it is stored now; raises NotFound."""
    grant = session.scalars(
        select(CreditGrant).where(CreditGrant.id == grant_id).execution_options(populate_existing=True)
    ).first()
    if grant is None:
        raise NotFound(f"there is no credit grant {grant_id!r}")
    return grant


def list_grants(
    session: Session, customer_id: str, *, after: str | None = None, limit: int = 100
) -> Sequence[CreditGrant]:
    """Return a customer's grants, oldest first, after the given id."""
    query = select(CreditGrant).where(CreditGrant.customer_id == customer_id).order_by(CreditGrant.id).limit(limit)
    if after is not None:
        query = query.where(CreditGrant.id > after)
    return session.scalars(query).all()
