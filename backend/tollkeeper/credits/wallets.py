"""Lock a wallet, bring its grants up to date, and note what an act leaves behind.

Every act on a customer's credit in one currency begins with `lock_wallet` and ends with `close_act`; in between
nobody else acts on it, so a look at the ledger says whether the act has happened.
"""

from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from tollkeeper.credits.ledger import Act, Move, account_of, post
from tollkeeper.credits.tables import ActKind, CreditEntry, CreditGrant, CreditTransaction, CreditWallet
from tollkeeper.money import format_minor
from tollkeeper.notifications.enqueue import enqueue
from tollkeeper.storage.upsert import insert_ignoring
from tollkeeper.subscriptions.periods import period_at

EXPIRED, SOURCE = "expired", "source"


def lock_wallet(session: Session, customer_id: str, currency: str, *, now: datetime) -> CreditWallet | None:
    """Hold the wallet until the transaction ends, with what was due on its grants done; None if there is none."""
    wallet = session.scalars(
        select(CreditWallet)
        .where(CreditWallet.customer_id == customer_id, CreditWallet.currency == currency)
        .with_for_update()
        .execution_options(populate_existing=True)
    ).first()
    if wallet is not None:
        for grant in _due_grants(session, wallet, now=now):
            bring_up_to_date(session, wallet, grant, now=now)
    return wallet


def open_wallet(session: Session, customer_id: str, currency: str, *, now: datetime) -> CreditWallet:
    """Hold the wallet, which is made if it is not there yet."""
    insert_ignoring(session, CreditWallet, [{"customer_id": customer_id, "currency": currency, "last_sequence": 0}])
    wallet = lock_wallet(session, customer_id, currency, now=now)
    assert wallet is not None
    return wallet


def _due_grants(session: Session, wallet: CreditWallet, *, now: datetime) -> list[CreditGrant]:
    return [
        grant
        for grant in grants_of(session, wallet.customer_id, wallet.currency)
        if grant.next_act_at is not None and grant.next_act_at <= now
    ]


def grants_of(session: Session, customer_id: str, currency: str) -> list[CreditGrant]:
    """Return the grants of a wallet as they are stored now, in the order of their making."""
    return list(
        session.scalars(
            select(CreditGrant)
            .where(CreditGrant.customer_id == customer_id, CreditGrant.currency == currency)
            .order_by(CreditGrant.id)
            .execution_options(populate_existing=True)
        )
    )


def usable_grants(session: Session, customer_id: str, currency: str, *, at: datetime) -> list[CreditGrant]:
    """Return the grants with something left that may be drawn from, in the order in which they burn."""
    usable = [
        grant for grant in grants_of(session, customer_id, currency) if grant.remaining_minor and is_in(grant, at)
    ]
    return sorted(usable, key=_burn_order)


def is_in(grant: CreditGrant, at: datetime) -> bool:
    """Tell whether the instant is in a grant's time; the expiry is not."""
    return grant.effective_at <= at and (grant.expires_at is None or at < grant.expires_at)


def _burn_order(grant: CreditGrant) -> tuple[int, bool, float, datetime, str]:
    """Lower priority number, then earlier expiry, then earlier creation (docs/money.md, Grants)."""
    expiry = 0.0 if grant.expires_at is None else grant.expires_at.timestamp()
    return (grant.priority, grant.expires_at is None, expiry, grant.created_at, grant.id)


def bring_up_to_date(session: Session, wallet: CreditWallet, grant: CreditGrant, *, now: datetime) -> None:
    """Do the resets and the expiry that fell due on a grant, each once, in order of time."""
    while grant.next_act_at is not None and grant.next_act_at <= now:
        if grant.next_act_at == grant.expires_at:
            _expire(session, wallet, grant, now=now)
        else:
            _reset(session, wallet, grant, at=grant.next_act_at)
    session.flush()


def _expire(session: Session, wallet: CreditWallet, grant: CreditGrant, *, now: datetime) -> None:
    """Take what is left. It may happen again: when a draw was given back after the expiry."""
    if grant.remaining_minor:
        earlier = session.scalar(
            select(func.count())
            .select_from(CreditEntry)
            .join(CreditTransaction, CreditTransaction.id == CreditEntry.transaction_id)
            .where(CreditEntry.account_id == account_of(grant), CreditTransaction.kind == ActKind.EXPIRY)
        )
        act = Act(kind=ActKind.EXPIRY, key=f"expiry:{grant.id}:{earlier}", happened_at=now)
        post(session, wallet, act, [Move(grant, -grant.remaining_minor)], EXPIRED)
    grant.next_act_at = None


def _reset(session: Session, wallet: CreditWallet, grant: CreditGrant, *, at: datetime) -> None:
    """Keep min(max_rollover, max(min_rollover, balance)): take away what is more, add what is less."""
    kept = min(grant.max_rollover_minor, max(grant.min_rollover_minor, grant.remaining_minor))
    moved = kept - grant.remaining_minor
    if moved:
        act = Act(kind=ActKind.RESET, key=f"reset:{grant.id}:{at.isoformat()}", happened_at=at)
        post(session, wallet, act, [Move(grant, moved)], f"{SOURCE}:{grant.kind}" if moved > 0 else EXPIRED)
    grant.next_act_at = next_act(grant, after=at)


def next_act(grant: CreditGrant, *, after: datetime) -> datetime | None:
    """Return when a grant is reset or expires next; the expiry comes first if both are at one instant."""
    if grant.reset_every is None:
        return grant.expires_at
    reset = period_at(grant.effective_at, grant.reset_every, grant.time_zone, max(after, grant.effective_at)).end
    return reset if grant.expires_at is None else min(reset, grant.expires_at)


def close_act(session: Session, wallet: CreditWallet, *, now: datetime) -> None:
    """Write the grants, and tell the outside once when the balance falls below the top-up threshold."""
    session.flush()
    if wallet.top_up_threshold_minor is None or wallet.top_up_amount_minor is None:
        return
    grants = usable_grants(session, wallet.customer_id, wallet.currency, at=now)
    balance = sum(grant.remaining_minor for grant in grants)
    if balance >= wallet.top_up_threshold_minor:
        wallet.top_up_due_since = None
    elif wallet.top_up_due_since is None:
        wallet.top_up_due_since = now
        told = {
            "customer_id": wallet.customer_id,
            "currency": wallet.currency,
            "balance": format_minor(balance, wallet.currency),
            "threshold": format_minor(wallet.top_up_threshold_minor, wallet.currency),
            "amount": format_minor(wallet.top_up_amount_minor, wallet.currency),
            "is_charged": wallet.top_up_is_charged,
        }
        key = f"credit.top_up_due:{wallet.customer_id}:{wallet.currency}:{now.isoformat()}"
        enqueue(session, "credit.top_up_due", told, key=key, now=now)
    session.flush()
