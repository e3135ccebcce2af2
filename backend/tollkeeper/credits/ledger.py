"""The ledger: post one act as a transaction whose entries sum to zero, and read what was posted.

An entry adds to an account. The account of a grant holds what the customer may still use of it, so its balance
is never below zero. What a grant gets comes from `source:<kind>:<currency>`, whose balance is below zero by as
much as was ever granted; what leaves it goes to `invoices:`, `expired:` or `voided:<currency>`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from tollkeeper.credits.tables import (
    ActKind,
    CreditAccount,
    CreditEntry,
    CreditGrant,
    CreditTransaction,
    CreditWallet,
)
from tollkeeper.storage.ids import new_id
from tollkeeper.storage.upsert import insert_ignoring


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """Why money moves; `key` is the act's own name, under which it happens once."""

    kind: ActKind
    key: str
    happened_at: datetime
    reference: str | None = None
    asked_minor: int | None = None


@dataclass(frozen=True, slots=True)
class Move:
    """What an act adds to a grant; less than nothing takes away."""

    grant: CreditGrant
    amount_minor: int


@dataclass(frozen=True, slots=True)
class Posted:
    """A transaction of the ledger with its entries in order."""

    transaction: CreditTransaction
    entries: Sequence[CreditEntry]


def post(session: Session, wallet: CreditWallet, act: Act, moves: Sequence[Move], other: str) -> CreditTransaction:
    """Write one act: money moves between grants of a locked wallet and another account.

    The other account is named without its currency. Its entry is what makes the sum zero. Raises ValueError
    for a move of nothing and for one that takes more than there is: that is our mistake, never the caller's.
    """
    if not moves or any(move.amount_minor == 0 for move in moves):
        raise ValueError("an act moves something")
    owner = (wallet.customer_id, wallet.currency)
    if any((move.grant.customer_id, move.grant.currency) != owner for move in moves):
        raise ValueError("an act is about one wallet")
    amounts = [(account_of(move.grant), move.amount_minor) for move in moves]
    amounts.append((f"{other}:{wallet.currency}", -sum(move.amount_minor for move in moves)))
    for move in moves:
        move.grant.remaining_minor += move.amount_minor
        if move.grant.remaining_minor < 0:
            raise ValueError(f"grant {move.grant.id} would be below zero")
    _ensure_accounts(session, moves, amounts[-1][0])
    wallet.last_sequence += 1
    transaction = CreditTransaction(
        id=new_id("crt"),
        key=act.key,
        kind=act.kind,
        customer_id=wallet.customer_id,
        currency=wallet.currency,
        sequence=wallet.last_sequence,
        reference=act.reference,
        asked_minor=act.asked_minor,
        happened_at=act.happened_at,
    )
    session.add(transaction)
    session.flush()
    session.add_all(
        CreditEntry(transaction_id=transaction.id, position=position, account_id=account, amount_minor=amount)
        for position, (account, amount) in enumerate(amounts, start=1)
    )
    session.flush()
    return transaction


def account_of(grant: CreditGrant) -> str:
    """Return the name of a grant's account."""
    return f"grant:{grant.id}"


def _ensure_accounts(session: Session, moves: Sequence[Move], other: str) -> None:
    session.flush()
    rows: list[dict[str, str | None]] = [
        {"id": account_of(move.grant), "currency": move.grant.currency, "grant_id": move.grant.id} for move in moves
    ]
    rows.append({"id": other, "currency": moves[0].grant.currency, "grant_id": None})
    known = set(session.scalars(select(CreditAccount.id).where(CreditAccount.id.in_([row["id"] for row in rows]))))
    insert_ignoring(session, CreditAccount, [row for row in rows if row["id"] not in known])


def find_posted(session: Session, key: str) -> CreditTransaction | None:
    """Return the transaction of an act, or None if it did not happen."""
    return session.scalars(select(CreditTransaction).where(CreditTransaction.key == key)).first()


def list_ledger(
    session: Session,
    customer_id: str,
    currency: str,
    *,
    before: int | None = None,
    limit: int = 100,
) -> list[Posted]:
    """Return a wallet's transactions, newest first; `before` is the sequence number of a page's last one."""
    query = (
        select(CreditTransaction)
        .where(CreditTransaction.customer_id == customer_id, CreditTransaction.currency == currency)
        .order_by(CreditTransaction.sequence.desc())
        .limit(limit)
    )
    if before is not None:
        query = query.where(CreditTransaction.sequence < before)
    return _with_entries(session, session.scalars(query).all())


def read_ledger_of(session: Session, reference: str) -> list[Posted]:
    """Return what was drawn for a reference and given back, in order."""
    query = select(CreditTransaction).where(CreditTransaction.reference == reference)
    return _with_entries(session, session.scalars(query.order_by(CreditTransaction.sequence)).all())


def read_grant(session: Session, grant: CreditGrant) -> list[Posted]:
    """Return the transaction by which a grant was made."""
    return _with_entries(
        session, session.scalars(select(CreditTransaction).where(CreditTransaction.key == f"grant:{grant.id}")).all()
    )


def _with_entries(session: Session, transactions: Sequence[CreditTransaction]) -> list[Posted]:
    entries: dict[str, list[CreditEntry]] = {one.id: [] for one in transactions}
    for entry in session.scalars(
        select(CreditEntry)
        .where(CreditEntry.transaction_id.in_(entries))
        .order_by(CreditEntry.transaction_id, CreditEntry.position)
    ):
        entries[entry.transaction_id].append(entry)
    return [Posted(one, entries[one.id]) for one in transactions]
