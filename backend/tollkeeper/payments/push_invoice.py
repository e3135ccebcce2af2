"""Bring one issued invoice to Stripe: customer, draft, lines, compare, finalize (docs/stripe.md)."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import stripe
from sqlalchemy import update

from tollkeeper.invoices.tables import Invoice
from tollkeeper.payments.answers import read_refusal
from tollkeeper.payments.client import StripeAccount
from tollkeeper.payments.outbox import Operation, StripeRefused, forget_answers, perform
from tollkeeper.payments.statement import Statement
from tollkeeper.payments.tables import StripeCustomer
from tollkeeper.storage.session import Database
from tollkeeper.storage.upsert import insert_ignoring

PAGE = 100


class Mismatch(Exception):
    """Stripe's draft is not our invoice; it was deleted, and a person has to look."""


@dataclass(frozen=True, slots=True)
class Push:
    """The way of one invoice: what it is about, and with what it is made."""

    database: Database
    account: StripeAccount
    statement: Statement
    now: datetime

    @property
    def invoices(self) -> Any:
        """Return the SDK's service; its parameters are checked by the tests' schema, not by its types."""
        return self.account.client.v1.invoices


def push_invoice(push: Push) -> None:
    """Do what is missing of the way; raises StripeRefused or Mismatch.

    Every step finds out whether it was done before, so this may be cut off anywhere and called again.
    """
    customer = _ensure_customer(push)
    draft = _ensure_draft(push, customer)
    _note_on_invoice(push, {"stripe_id": draft})
    for part, chunk in enumerate(push.statement.chunks):
        _ensure_lines(push, draft, part, [line.as_parameters() for line in chunk])
    found = read_invoice(push.account, draft)
    if found.status == "draft":
        _compare(push, found)
        _ensure_finalized(push, draft)
        found = read_invoice(push.account, draft)
    note = {"stripe_status": found.status, "hosted_invoice_url": getattr(found, "hosted_invoice_url", None)}
    _note_on_invoice(push, {**note, "stripe_problem": None})


def read_invoice(account: StripeAccount, stripe_id: str) -> Any:
    """Return the invoice as Stripe has it now; raises StripeRefused."""
    if not stripe_id:
        raise ValueError("an empty id would ask for the list")
    try:
        return account.client.v1.invoices.retrieve(stripe_id)
    except stripe.StripeError as error:
        raise StripeRefused("retrieve_invoice", read_refusal(error)) from None


def _ensure_customer(push: Push) -> str:
    statement = push.statement
    with push.database.snapshot() as session:
        known = session.get(StripeCustomer, (statement.customer_id, push.account.name))
    if known is not None:
        return known.stripe_id
    customers: Any = push.account.client.v1.customers

    def find() -> str | None:
        wanted = {"limit": PAGE} | ({"email": statement.customer["email"]} if "email" in statement.customer else {})
        found = customers.list(wanted).auto_paging_iter()
        return _first_with(found, "tollkeeper_customer_id", statement.customer_id)

    operation = Operation(
        account=push.account.name,
        name="create_customer",
        subject_id=statement.customer_id,
        parameters=statement.customer,
        send=lambda parameters, options: str(customers.create(parameters, options).id),
        find=find,
    )
    stripe_id = perform(push.database, operation, now=push.now)
    with push.database.transaction() as session:
        row = {"customer_id": statement.customer_id, "account": push.account.name, "stripe_id": stripe_id}
        insert_ignoring(session, StripeCustomer, [row | {"created_at": push.now}])
    return stripe_id


def _ensure_draft(push: Push, customer: str) -> str:
    statement = push.statement

    def find() -> str | None:
        found = push.invoices.list({"customer": customer, "limit": PAGE}).auto_paging_iter()
        return _first_with(found, "tollkeeper_invoice_id", statement.invoice_id)

    operation = Operation(
        account=push.account.name,
        name="create_invoice",
        subject_id=statement.invoice_id,
        parameters={
            "customer": customer,
            "currency": statement.currency.lower(),
            "auto_advance": False,
            **_collection(statement),
            "pending_invoice_items_behavior": "exclude",
            "description": f"Invoice {statement.number}",
            "metadata": {
                "tollkeeper_invoice_id": statement.invoice_id,
                "tollkeeper_invoice_number": statement.number,
            },
        },
        send=lambda parameters, options: str(push.invoices.create(parameters, options).id),
        find=find,
    )
    return perform(push.database, operation, now=push.now)


def _collection(statement: Statement) -> dict[str, Any]:
    """Ask for payment by invoice; Stripe refuses that for a customer without an e-mail address."""
    if "email" in statement.customer:
        return {"collection_method": "send_invoice", "days_until_due": statement.days_until_due}
    return {"collection_method": "charge_automatically"}


def _first_with(found: Iterator[Any], key: str, value: str) -> str | None:
    # Never by search, which lags behind; a list is consistent.
    for candidate in found:
        metadata = getattr(candidate, "metadata", None)
        if metadata is not None and getattr(metadata, key, None) == value:
            return str(candidate.id)
    return None


def _ensure_lines(push: Push, draft: str, part: int, lines: list[dict[str, Any]]) -> None:
    ours = lines[0]["metadata"]["tollkeeper_line"]

    def find() -> str | None:
        found = read_lines(push.account, draft)
        return draft if any(getattr(line.metadata, "tollkeeper_line", None) == ours for line in found) else None

    operation = Operation(
        account=push.account.name,
        name="add_lines",
        subject_id=push.statement.invoice_id,
        part=part,
        parameters={"lines": lines},
        send=lambda parameters, options: str(push.invoices.add_lines(draft, parameters, options).id),
        find=find,
    )
    perform(push.database, operation, now=push.now)


def read_lines(account: StripeAccount, stripe_id: str) -> list[Any]:
    """Return all lines of an invoice at Stripe."""
    services: Any = account.client.v1.invoices
    return list(services.line_items.list(stripe_id, {"limit": PAGE}).auto_paging_iter())


def _compare(push: Push, found: Any) -> None:
    """Check that the draft is our invoice to the smallest unit, else delete it: nothing wrong is ever finalized."""
    ours = push.statement
    shown = getattr(found, "lines", None)
    count = len(read_lines(push.account, found.id)) if shown is None or shown.has_more else len(shown.data)
    differs = [
        f"{name} is {theirs} at Stripe, {expected} here"
        for name, theirs, expected in (
            ("total", found.total, ours.total),
            ("currency", found.currency, ours.currency.lower()),
            ("number of lines", count, len(ours.lines)),
            ("starting balance", getattr(found, "starting_balance", 0) or 0, 0),
        )
        if theirs != expected
    ]
    if not differs:
        return
    _delete_draft(push, found.id)
    raise Mismatch("; ".join(differs) + "; Stripe's draft was deleted")


def _delete_draft(push: Push, draft: str) -> None:
    try:
        push.invoices.delete(draft)
    except stripe.StripeError as error:
        raise StripeRefused("delete_draft", read_refusal(error)) from None
    with push.database.transaction() as session:
        forget_answers(session, push.statement.invoice_id, "the draft was deleted")
        session.execute(
            update(Invoice).where(Invoice.id == push.statement.invoice_id).values(stripe_id=None, stripe_status=None)
        )


def _ensure_finalized(push: Push, draft: str) -> None:
    operation = Operation(
        account=push.account.name,
        name="finalize_invoice",
        subject_id=push.statement.invoice_id,
        parameters={"auto_advance": False},
        send=lambda parameters, options: str(push.invoices.finalize_invoice(draft, parameters, options).id),
        find=lambda: draft if read_invoice(push.account, draft).status != "draft" else None,
    )
    perform(push.database, operation, now=push.now)


def _note_on_invoice(push: Push, columns: dict[str, Any]) -> None:
    with push.database.transaction() as session:
        session.execute(
            update(Invoice)
            .where(Invoice.id == push.statement.invoice_id)
            .values(**columns, stripe_is_stand_in=push.account.is_stand_in)
        )
