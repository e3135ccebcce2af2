"""Draw credit for a document, once, and give it back when the document is voided."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from tollkeeper.credits.grants import take_rest
from tollkeeper.credits.ledger import Act, Move, find_posted, post
from tollkeeper.credits.tables import ActKind, CreditAccount, CreditEntry, CreditGrant, CreditTransaction, CreditWallet
from tollkeeper.credits.wallets import bring_up_to_date, close_act, lock_wallet, next_act, usable_grants
from tollkeeper.errors import Conflict
from tollkeeper.rating.coupons import draw_credit

INVOICES = "invoices"


@dataclass(frozen=True, slots=True)
class Draw:
    """What one grant pays, and the transaction of the ledger that says so."""

    grant_id: str
    grant_name: str
    grant_kind: str
    amount_minor: int
    transaction_id: str | None


def plan_draws(session: Session, payer_id: str, currency: str, amount_minor: int, *, at: datetime) -> list[Draw]:
    """Return what would be drawn, in the order in which grants burn; nothing is written."""
    grants = usable_grants(session, payer_id, currency, at=at)
    return [_draw(grant, amount, None) for grant, amount in _share(grants, amount_minor)]


def draw_credit_for(
    session: Session, payer_id: str, currency: str, amount_minor: int, *, reference: str, now: datetime
) -> list[Draw]:
    """Draw up to the amount from the payer's credit and return what each grant pays; nothing, if there is none.

    Once per reference: a repeat returns the same draws, also when two workers ask at one time. Raises Conflict
    for a repeat with other terms, and after the draws were given back.
    """
    wallet = lock_wallet(session, payer_id, currency, now=now)
    if wallet is None:
        return []
    earlier = find_posted(session, _draw_key(reference))
    if earlier is not None:
        if (earlier.customer_id, earlier.currency, earlier.asked_minor) != (payer_id, currency, amount_minor):
            raise Conflict(f"credit was drawn for {reference} already, for another amount or customer")
        if find_posted(session, _reversal_key(reference)) is not None:
            raise Conflict(f"the credit drawn for {reference} was given back; it is not drawn again")
        return list_draws(session, reference)
    parts = _share(usable_grants(session, payer_id, currency, at=now), amount_minor)
    if not parts:
        return []
    act = Act(
        kind=ActKind.DRAW, key=_draw_key(reference), happened_at=now, reference=reference, asked_minor=amount_minor
    )
    posted = post(session, wallet, act, [Move(grant, -amount) for grant, amount in parts], INVOICES)
    close_act(session, wallet, now=now)
    return [_draw(grant, amount, posted.id) for grant, amount in parts]


def reverse_draws(session: Session, reference: str, *, now: datetime) -> list[Draw]:
    """Give back what was drawn for the reference, to the grants that it came from; a repeat changes nothing.

    A grant that has expired or was voided since loses it again at once: its terms are what they were.
    """
    drawn = find_posted(session, _draw_key(reference))
    if drawn is None:
        return []
    wallet = lock_wallet(session, drawn.customer_id, drawn.currency, now=now)
    assert wallet is not None
    draws = list_draws(session, reference)
    if find_posted(session, _reversal_key(reference)) is not None:
        return draws
    moves = [Move(session.get_one(CreditGrant, draw.grant_id), draw.amount_minor) for draw in draws]
    act = Act(kind=ActKind.REVERSAL, key=_reversal_key(reference), happened_at=now, reference=reference)
    posted = post(session, wallet, act, moves, INVOICES)
    for move in moves:
        _apply_terms(session, wallet, move.grant, posted.id, now=now)
    close_act(session, wallet, now=now)
    return draws


def list_draws(session: Session, reference: str) -> list[Draw]:
    """Return what was drawn for a reference, in the order in which the grants burned; given back or not."""
    rows = session.execute(
        select(CreditTransaction.id, CreditEntry.amount_minor, CreditGrant)
        .join(CreditEntry, CreditEntry.transaction_id == CreditTransaction.id)
        .join(CreditAccount, CreditAccount.id == CreditEntry.account_id)
        .join(CreditGrant, CreditGrant.id == CreditAccount.grant_id)
        .where(CreditTransaction.key == _draw_key(reference))
        .order_by(CreditEntry.position)
    )
    return [_draw(grant, -amount, transaction_id) for transaction_id, amount, grant in rows]


def _apply_terms(
    session: Session, wallet: CreditWallet, grant: CreditGrant, reversal_id: str, *, now: datetime
) -> None:
    if grant.voided_at is not None:
        take_rest(session, wallet, grant, f"void:{grant.id}:{reversal_id}", now=now)
    elif grant.next_act_at is None:
        grant.next_act_at = next_act(grant, after=now)
        bring_up_to_date(session, wallet, grant, now=now)


def _share(grants: list[CreditGrant], amount_minor: int) -> list[tuple[CreditGrant, int]]:
    parts = draw_credit([max(amount_minor, 0)], [grant.remaining_minor for grant in grants])
    return [(grant, part[0]) for grant, part in zip(grants, parts, strict=True) if part[0]]


def _draw(grant: CreditGrant, amount_minor: int, transaction_id: str | None) -> Draw:
    return Draw(grant.id, grant.name, grant.kind, amount_minor, transaction_id)


def _draw_key(reference: str) -> str:
    return f"draw:{reference}"


def _reversal_key(reference: str) -> str:
    return f"reversal:{reference}"
