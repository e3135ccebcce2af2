"""The ledger of credit checks itself: every invariant is a query that finds nothing."""

from collections.abc import Callable, Iterator

from sqlalchemy import func, or_, select
from sqlalchemy.orm import Session

from tollkeeper.credits.tables import ActKind, CreditAccount, CreditEntry, CreditGrant, CreditTransaction, CreditWallet


def _transactions_sum_to_zero(session: Session) -> Iterator[str]:
    total = func.coalesce(func.sum(CreditEntry.amount_minor), 0)
    count = func.count(CreditEntry.position)
    rows = session.execute(
        select(CreditTransaction.id, total, count)
        .outerjoin(CreditEntry, CreditEntry.transaction_id == CreditTransaction.id)
        .group_by(CreditTransaction.id)
        .having(or_(total != 0, count < 2))
    )
    for transaction_id, added, entries in rows:
        yield f"credit transaction {transaction_id}: its {entries} entries sum to {added}"


def _grants_are_their_accounts(session: Session) -> Iterator[str]:
    posted = func.coalesce(func.sum(CreditEntry.amount_minor), 0)
    rows = session.execute(
        select(CreditGrant.id, CreditGrant.remaining_minor, posted)
        .outerjoin(CreditAccount, CreditAccount.grant_id == CreditGrant.id)
        .outerjoin(CreditEntry, CreditEntry.account_id == CreditAccount.id)
        .group_by(CreditGrant.id, CreditGrant.remaining_minor)
        .having(or_(posted != CreditGrant.remaining_minor, CreditGrant.remaining_minor < 0))
    )
    for grant_id, remaining, added in rows:
        yield f"credit grant {grant_id}: {remaining} is left, its entries sum to {added}"


def _grants_were_granted_once(session: Session) -> Iterator[str]:
    granted = func.coalesce(func.sum(CreditEntry.amount_minor), 0)
    rows = session.execute(
        select(CreditGrant.id, CreditGrant.amount_minor, granted)
        .outerjoin(CreditAccount, CreditAccount.grant_id == CreditGrant.id)
        .outerjoin(
            CreditEntry,
            (CreditEntry.account_id == CreditAccount.id)
            & CreditEntry.transaction_id.in_(
                select(CreditTransaction.id).where(CreditTransaction.kind == ActKind.GRANT)
            ),
        )
        .group_by(CreditGrant.id, CreditGrant.amount_minor)
        .having(granted != CreditGrant.amount_minor)
    )
    for grant_id, amount, posted in rows:
        yield f"credit grant {grant_id}: {amount} is its amount, {posted} was granted"


def _accounts_keep_their_currency_and_customer(session: Session) -> Iterator[str]:
    rows = session.execute(
        select(CreditTransaction.id, CreditAccount.id)
        .join(CreditEntry, CreditEntry.transaction_id == CreditTransaction.id)
        .join(CreditAccount, CreditAccount.id == CreditEntry.account_id)
        .outerjoin(CreditGrant, CreditGrant.id == CreditAccount.grant_id)
        .where(
            or_(
                CreditAccount.currency != CreditTransaction.currency,
                CreditGrant.customer_id != CreditTransaction.customer_id,
                CreditGrant.currency != CreditTransaction.currency,
            )
        )
    )
    for transaction_id, account in rows:
        yield f"credit transaction {transaction_id}: account {account} is another customer's or of another currency"


def _sequences_have_no_gap(session: Session) -> Iterator[str]:
    highest = func.coalesce(func.max(CreditTransaction.sequence), 0)
    count = func.count(CreditTransaction.id)
    rows = session.execute(
        select(CreditWallet.customer_id, CreditWallet.currency, CreditWallet.last_sequence, count, highest)
        .outerjoin(
            CreditTransaction,
            (CreditTransaction.customer_id == CreditWallet.customer_id)
            & (CreditTransaction.currency == CreditWallet.currency),
        )
        .group_by(CreditWallet.customer_id, CreditWallet.currency, CreditWallet.last_sequence)
        .having(or_(count != CreditWallet.last_sequence, highest != CreditWallet.last_sequence))
    )
    for customer_id, currency, last, posted, most in rows:
        yield f"credit of {customer_id} in {currency}: {last} transactions were made, {posted} are there, up to {most}"


CREDIT_CHECKS: tuple[Callable[[Session], Iterator[str]], ...] = (
    _transactions_sum_to_zero,
    _grants_are_their_accounts,
    _grants_were_granted_once,
    _accounts_keep_their_currency_and_customer,
    _sequences_have_no_gap,
)
