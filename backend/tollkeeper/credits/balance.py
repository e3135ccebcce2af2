"""What a customer may use of its credit at an instant, read from the ledger."""

from datetime import datetime

from sqlalchemy import func, or_, select
from sqlalchemy.orm import Session

from tollkeeper.credits.tables import CreditAccount, CreditEntry, CreditGrant, CreditTransaction


def balance_of(session: Session, customer_id: str, currency: str, *, at: datetime) -> int:
    """Return the usable credit in minor units: of grants that have begun and not expired, as posted until then."""
    return balances_of(session, customer_id, at=at).get(currency, 0)


def balances_of(session: Session, customer_id: str, *, at: datetime) -> dict[str, int]:
    """Return the usable credit by currency, also in those in which nothing is left."""
    rows = session.execute(
        select(CreditGrant.currency, func.sum(CreditEntry.amount_minor))
        .join(CreditAccount, CreditAccount.grant_id == CreditGrant.id)
        .join(CreditEntry, CreditEntry.account_id == CreditAccount.id)
        .join(CreditTransaction, CreditTransaction.id == CreditEntry.transaction_id)
        .where(
            CreditGrant.customer_id == customer_id,
            CreditGrant.effective_at <= at,
            or_(CreditGrant.expires_at.is_(None), CreditGrant.expires_at > at),
            CreditTransaction.happened_at <= at,
        )
        .group_by(CreditGrant.currency)
        .order_by(CreditGrant.currency)
    )
    return {currency: int(total) for currency, total in rows}
