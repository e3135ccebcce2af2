"""Draw credit for a document, once, and give it back when the document is voided."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from sqlalchemy import select
from sqlalchemy.orm import Session

from tollkeeper.credits.grants import take_rest
from tollkeeper.credits.ledger import Act, Move, find_posted, post
from tollkeeper.credits.tables import (
    ActKind,
    CreditAccount,
    CreditEntry,
    CreditGrant,
    CreditTransaction,
    CreditWallet,
    GrantKind,
)
from tollkeeper.credits.wallets import bring_up_to_date, close_act, lock_wallet, next_act, usable_grants
from tollkeeper.errors import Conflict
from tollkeeper.rating.coupons import draw_credit

INVOICES = "invoices"
NOTHING: Mapping[str, int] = {}


class Stage(StrEnum):
    """When credit is drawn for a document, which is once at each stage: the beginning of the draw's key."""

    BEFORE_TAX = "draw_before_tax"
    AFTER_TAX = "draw"


@dataclass(frozen=True, slots=True)
class Wanted:
    """Up to how much is to be paid by whose credit, at which stage, and by which kinds of grants."""

    payer_id: str
    currency: str
    amount_minor: int
    stage: Stage = Stage.AFTER_TAX
    kinds: frozenset[str] = frozenset(GrantKind)


@dataclass(frozen=True, slots=True)
class Draw:
    """What one grant pays at which stage, and the transaction of the ledger that says so."""

    grant_id: str
    grant_name: str
    grant_kind: str
    stage: Stage
    amount_minor: int
    transaction_id: str | None


def plan_draws(session: Session, wanted: Wanted, *, at: datetime, drawn: Mapping[str, int] = NOTHING) -> list[Draw]:
    """Return what would be drawn, in the order in which grants burn; nothing is written.

    `drawn` is what the same plan draws earlier, by grant.
    """
    grants = usable_grants(session, wanted.payer_id, wanted.currency, at=at)
    return [_draw(grant, wanted.stage, amount, None) for grant, amount in _share(grants, wanted, drawn)]


def draw_credit_for(session: Session, wanted: Wanted, *, reference: str, now: datetime) -> list[Draw]:
    """Draw up to the amount from the payer's credit and return what each grant pays; nothing, if there is none.

    Once per reference and stage: a repeat returns the same draws, also when two workers ask at one time. Raises
    Conflict for a repeat with other terms, and after the draws were given back.
    """
    wallet = lock_wallet(session, wanted.payer_id, wanted.currency, now=now)
    if wallet is None:
        return []
    key = f"{wanted.stage}:{reference}"
    earlier = find_posted(session, key)
    if earlier is not None:
        terms = (wanted.payer_id, wanted.currency, wanted.amount_minor)
        if (earlier.customer_id, earlier.currency, earlier.asked_minor) != terms:
            raise Conflict(f"credit was drawn for {reference} already, for another amount or customer")
        if find_posted(session, _reversal_key(reference)) is not None:
            raise Conflict(f"the credit drawn for {reference} was given back; it is not drawn again")
        return [draw for draw in list_draws(session, reference) if draw.stage is wanted.stage]
    parts = _share(usable_grants(session, wanted.payer_id, wanted.currency, at=now), wanted, NOTHING)
    if not parts:
        return []
    act = Act(kind=ActKind.DRAW, key=key, happened_at=now, reference=reference, asked_minor=wanted.amount_minor)
    posted = post(session, wallet, act, [Move(grant, -amount) for grant, amount in parts], INVOICES)
    close_act(session, wallet, now=now)
    return [_draw(grant, wanted.stage, amount, posted.id) for grant, amount in parts]


def reverse_draws(session: Session, reference: str, *, now: datetime) -> list[Draw]:
    """Give back what was drawn for the reference, to the grants that it came from; a repeat changes nothing.

    A grant that has expired or was voided since loses it again at once: its terms are what they were.
    """
    drawn = session.scalars(
        select(CreditTransaction).where(
            CreditTransaction.reference == reference, CreditTransaction.kind == ActKind.DRAW
        )
    ).first()
    if drawn is None:
        return []
    wallet = lock_wallet(session, drawn.customer_id, drawn.currency, now=now)
    assert wallet is not None
    draws = list_draws(session, reference)
    if find_posted(session, _reversal_key(reference)) is not None:
        return draws
    back: dict[str, int] = {}
    for draw in draws:
        back[draw.grant_id] = back.get(draw.grant_id, 0) + draw.amount_minor
    moves = [Move(session.get_one(CreditGrant, grant_id), amount) for grant_id, amount in back.items()]
    act = Act(kind=ActKind.REVERSAL, key=_reversal_key(reference), happened_at=now, reference=reference)
    posted = post(session, wallet, act, moves, INVOICES)
    for move in moves:
        _apply_terms(session, wallet, move.grant, posted.id, now=now)
    close_act(session, wallet, now=now)
    return draws


def list_draws(session: Session, reference: str) -> list[Draw]:
    """Return what was drawn for a reference, in the order in which the grants burned; given back or not."""
    rows = session.execute(
        select(CreditTransaction, CreditEntry.amount_minor, CreditGrant)
        .join(CreditEntry, CreditEntry.transaction_id == CreditTransaction.id)
        .join(CreditAccount, CreditAccount.id == CreditEntry.account_id)
        .join(CreditGrant, CreditGrant.id == CreditAccount.grant_id)
        .where(CreditTransaction.reference == reference, CreditTransaction.kind == ActKind.DRAW)
        .order_by(CreditTransaction.sequence, CreditEntry.position)
    )
    return [_draw(grant, Stage(act.key.partition(":")[0]), -amount, act.id) for act, amount, grant in rows]


def _apply_terms(
    session: Session, wallet: CreditWallet, grant: CreditGrant, reversal_id: str, *, now: datetime
) -> None:
    if grant.voided_at is not None:
        take_rest(session, wallet, grant, f"void:{grant.id}:{reversal_id}", now=now)
    elif grant.next_act_at is None:
        grant.next_act_at = next_act(grant, after=now)
        bring_up_to_date(session, wallet, grant, now=now)


def _share(grants: Sequence[CreditGrant], wanted: Wanted, drawn: Mapping[str, int]) -> list[tuple[CreditGrant, int]]:
    usable = [grant for grant in grants if grant.kind in wanted.kinds]
    balances = [grant.remaining_minor - drawn.get(grant.id, 0) for grant in usable]
    parts = draw_credit([max(wanted.amount_minor, 0)], balances)
    return [(grant, part[0]) for grant, part in zip(usable, parts, strict=True) if part[0]]


def _draw(grant: CreditGrant, stage: Stage, amount_minor: int, transaction_id: str | None) -> Draw:
    return Draw(grant.id, grant.name, grant.kind, stage, amount_minor, transaction_id)


def _reversal_key(reference: str) -> str:
    return f"reversal:{reference}"
