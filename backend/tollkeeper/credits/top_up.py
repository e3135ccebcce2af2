"""Automatic top-up: below a threshold the outside is asked, once, to charge the customer and grant paid credit."""

from datetime import datetime

from sqlalchemy.orm import Session

from tollkeeper.credits.tables import CreditWallet
from tollkeeper.credits.wallets import close_act, open_wallet
from tollkeeper.errors import InvalidInput


def set_top_up(
    session: Session, customer_id: str, currency: str, *, threshold_minor: int, amount_minor: int, now: datetime
) -> CreditWallet:
    """Ask for `amount` whenever the balance is below `threshold`: the notification `credit.top_up_due`.

    It is sent once each time that the balance falls below; a balance that is below already counts as falling.
    """
    if threshold_minor <= 0:
        raise InvalidInput.of("/threshold", "has to be more than zero")
    if amount_minor <= 0:
        raise InvalidInput.of("/amount", "has to be more than zero")
    wallet = open_wallet(session, customer_id, currency, now=now)
    wallet.top_up_threshold_minor = threshold_minor
    wallet.top_up_amount_minor = amount_minor
    close_act(session, wallet, now=now)
    return wallet


def stop_top_up(session: Session, customer_id: str, currency: str, *, now: datetime) -> CreditWallet:
    """Ask no more; a repeat changes nothing."""
    wallet = open_wallet(session, customer_id, currency, now=now)
    wallet.top_up_threshold_minor = None
    wallet.top_up_amount_minor = None
    wallet.top_up_due_since = None
    session.flush()
    return wallet
