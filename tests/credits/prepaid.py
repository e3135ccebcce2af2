"""A wallet for tests: grants, draws and balances from a line each, in minor units of EUR."""

from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from tests.shop import add_customer, at
from tollkeeper.credits.balance import balance_of
from tollkeeper.credits.books import CREDIT_CHECKS
from tollkeeper.credits.draw import Stage, Wanted, draw_credit_for, reverse_draws
from tollkeeper.credits.grants import GrantDraft, grant_credit
from tollkeeper.credits.ledger import list_ledger
from tollkeeper.credits.tables import CreditGrant, GrantKind
from tollkeeper.customers.customers import get_customer

NOW = at("2026-01-10")


def add_acme(session: Session) -> None:
    """The customer acme, in EUR."""
    add_customer(session, "acme", currency="EUR")


def grant(session: Session, name: str, amount: int, *, now: datetime = NOW, **more: Any) -> CreditGrant:
    """Grant acme a promotional credit."""
    draft = GrantDraft(**{"kind": GrantKind.PROMOTIONAL, "amount_minor": amount, "name": name, **more})
    return grant_credit(session, "acme", draft, now=now)


def draw(
    session: Session,
    amount: int,
    reference: str = "inv_1",
    *,
    kinds: frozenset[str] | None = None,
    now: datetime = NOW,
) -> dict[str, int]:
    """Draw for acme, of some kinds before tax; return what each grant pays, by name, in order."""
    wanted = Wanted(acme(session), "EUR", amount)
    if kinds is not None:
        wanted = Wanted(acme(session), "EUR", amount, Stage.BEFORE_TAX, kinds)
    draws = draw_credit_for(session, wanted, reference=reference, now=now)
    return {one.grant_name: one.amount_minor for one in draws}


def give_back(session: Session, reference: str = "inv_1", *, now: datetime = NOW) -> dict[str, int]:
    """Reverse the draws for a reference."""
    return {one.grant_name: one.amount_minor for one in reverse_draws(session, reference, now=now)}


def balance(session: Session, when: datetime = NOW) -> int:
    """What acme may use."""
    return balance_of(session, acme(session), "EUR", at=when)


def acme(session: Session) -> str:
    """Return acme's id."""
    return get_customer(session, "acme").id


def acts(session: Session) -> list[str]:
    """Return acme's ledger, oldest first: kind and what its entries add to accounts."""
    told = []
    for posted in reversed(list_ledger(session, acme(session), "EUR")):
        moved = ", ".join(f"{_name(session, entry.account_id)} {entry.amount_minor:+}" for entry in posted.entries)
        told.append(f"{posted.transaction.kind}: {moved}")
    return told


def problems(session: Session) -> list[str]:
    """Return what is wrong with the ledger."""
    return [problem for check in CREDIT_CHECKS for problem in check(session)]


def _name(session: Session, account: str) -> str:
    kind, _, grant_id = account.partition(":")
    return session.get_one(CreditGrant, grant_id).name if kind == "grant" else account
