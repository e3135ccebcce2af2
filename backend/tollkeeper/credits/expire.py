"""The job of the credits room: expire and reset the grants that are due."""

from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from tollkeeper.credits.tables import CreditGrant
from tollkeeper.credits.wallets import close_act, lock_wallet

MOST_A_TRANSACTION = 100


def expire_due_grants(session: Session, *, now: datetime, limit: int = MOST_A_TRANSACTION) -> int:
    """Expire and reset what is due in at most `limit` wallets; return in how many. Call it until it returns 0.

    Each act happens once: a run that was cut off is done by the next, and two at once take turns at a wallet.
    A draw does the same for its own wallet first, so it never waits for this job.
    """
    due = session.execute(
        select(CreditGrant.customer_id, CreditGrant.currency)
        .where(CreditGrant.next_act_at <= now)
        .distinct()
        .order_by(CreditGrant.customer_id, CreditGrant.currency)  # one order, so that two runs cannot deadlock
        .limit(limit)
    ).all()
    for customer_id, currency in due:
        wallet = lock_wallet(session, customer_id, currency, now=now)
        assert wallet is not None
        close_act(session, wallet, now=now)
    return len(due)
