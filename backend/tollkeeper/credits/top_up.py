"""Automatic top-up: below a threshold the customer is charged once, by an invoice (invoices/top_up.py) or outside."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.orm import Session

from tollkeeper.credits.grants import MOST_MINOR
from tollkeeper.credits.tables import CreditWallet
from tollkeeper.credits.wallets import close_act, lock_wallet, open_wallet
from tollkeeper.errors import InvalidInput
from tollkeeper.subscriptions.periods import MICROSECOND


@dataclass(frozen=True, slots=True)
class TopUpTerms:
    """Below which balance how much is topped up, and whether an invoice charges it."""

    threshold_minor: int
    amount_minor: int
    is_charged: bool = False


def set_top_up(session: Session, customer_id: str, currency: str, terms: TopUpTerms, *, now: datetime) -> CreditWallet:
    """Ask for `amount` whenever the balance is below `threshold`: the notification `credit.top_up_due`.

    It is sent once each time that the balance falls below; a balance that is below already counts as falling.
    The amount is one that can be granted: else an invoice for it could never be paid.
    """
    for name, minor in (("/threshold", terms.threshold_minor), ("/amount", terms.amount_minor)):
        if not 0 < minor <= MOST_MINOR:
            raise InvalidInput.of(name, "has to be more than zero and at most 10^15 of the smallest unit")
    wallet = open_wallet(session, customer_id, currency, now=now)
    wallet.top_up_threshold_minor = terms.threshold_minor
    wallet.top_up_amount_minor = terms.amount_minor
    wallet.top_up_is_charged = terms.is_charged
    close_act(session, wallet, now=now)
    return wallet


def end_fall(session: Session, customer_id: str, currency: str, since: datetime, *, now: datetime) -> None:
    """End the fall whose top-up was paid: if the balance is below still, that is another one, told and charged anew.

    It never begins at the instant of the one before, which is the key of its invoice.
    """
    wallet = lock_wallet(session, customer_id, currency, now=now)
    if wallet is not None and wallet.top_up_due_since == since:
        wallet.top_up_due_since = None
        close_act(session, wallet, now=max(now, since + MICROSECOND))


def stop_top_up(session: Session, customer_id: str, currency: str, *, now: datetime) -> CreditWallet:
    """Ask no more; a repeat changes nothing."""
    wallet = open_wallet(session, customer_id, currency, now=now)
    wallet.top_up_threshold_minor = None
    wallet.top_up_amount_minor = None
    wallet.top_up_is_charged = False
    wallet.top_up_due_since = None
    session.flush()
    return wallet
