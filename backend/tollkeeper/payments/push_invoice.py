"""Bring one issued invoice to Stripe: customer, draft, lines, compare, finalize (docs/stripe.md)."""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import stripe
from sqlalchemy import update

from tollkeeper.invoices.tables import Invoice
from tollkeeper.payments.answers import read_refusal
from tollkeeper.payments.client import StripeAccount
from tollkeeper.payments.find import find_invoice, read_invoice, read_lines
from tollkeeper.payments.outbox import Operation, StripeRefused, forget_answers, perform
from tollkeeper.payments.push_customer import CustomerPush, ensure_customer, forget_customer
from tollkeeper.payments.statement import Statement
from tollkeeper.payments.take_over import disagreement, take_over
from tollkeeper.storage.session import Database

# These name the customer's id; what else is missing is the invoice.
ABOUT_THE_CUSTOMER = frozenset({"create_invoice", "look for create_invoice", "update_customer"})


class Mismatch(Exception):
    """Stripe's invoice is not ours, and a person has to look; if it was a draft, it was deleted."""


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


def push_invoice(push: Push) -> str | None:
    """Do what is missing of the way; return what a person has to put right afterwards, mostly nothing.

    Every step finds out whether it was done before, so this may be cut off anywhere and called again. Raises
    StripeRefused or Mismatch.
    """
    try:
        return _push(push)
    except StripeRefused as refused:
        if not refused.refusal.is_missing:
            raise
        raise _forget_what_is_gone(push, refused) from None


def _push(push: Push) -> str | None:
    statement = push.statement
    customer = ensure_customer(
        CustomerPush(push.database, push.account, statement.customer_id, statement.customer, push.now)
    )
    draft = _ensure_draft(push, customer)
    _note_on_invoice(push, {"stripe_id": draft})
    for part, chunk in enumerate(statement.chunks):
        _ensure_lines(push, draft, part, [line.as_parameters() for line in chunk])
    found = read_invoice(push.account, draft)
    if found.status == "draft":
        _compare_draft(push, found)
        _ensure_finalized(push, draft)
        found = read_invoice(push.account, draft)
    return _take_over(push, found)


def _ensure_draft(push: Push, customer: str) -> str:
    statement = push.statement
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
        find=lambda: find_invoice(push.account, customer, statement.invoice_id),
    )
    return perform(push.database, operation, now=push.now)


def _collection(statement: Statement) -> dict[str, Any]:
    """Ask for payment by invoice; Stripe refuses that for a customer without an e-mail address."""
    if "email" in statement.customer:
        return {"collection_method": "send_invoice", "days_until_due": statement.days_until_due}
    return {"collection_method": "charge_automatically"}


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


def _compare_draft(push: Push, found: Any) -> None:
    """Check that the draft is our invoice to the smallest unit, else delete it: nothing wrong is ever finalized."""
    differs = _differences(push, found)
    if differs:
        _delete_draft(push, found.id)
        raise Mismatch(f"{differs}; Stripe's draft was deleted")


def _differences(push: Push, found: Any) -> str:
    ours = push.statement
    differs = [
        f"{name} is {theirs} at Stripe, {expected} here"
        for name, theirs, expected in (
            ("total", found.total, ours.total),
            ("currency", found.currency, ours.currency.lower()),
            ("number of lines", _count_lines(push, found), len(ours.lines)),
            ("starting balance", getattr(found, "starting_balance", 0) or 0, 0),
        )
        if theirs != expected
    ]
    return "; ".join(differs)


def _count_lines(push: Push, found: Any) -> int:
    shown = getattr(found, "lines", None)
    if shown is not None and not shown.has_more:
        return len(shown.data)
    try:
        return len(read_lines(push.account, found.id))
    except stripe.StripeError as error:
        raise StripeRefused("list_lines", read_refusal(error)) from None


def _delete_draft(push: Push, draft: str) -> None:
    try:
        push.invoices.delete(draft)
    except stripe.StripeError as error:
        refusal = read_refusal(error)
        if not refusal.is_missing:  # else a try whose answer was lost has deleted it
            raise StripeRefused("delete_draft", refusal) from None
    _forget_draft(push, "the draft was deleted")


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


def _take_over(push: Push, found: Any) -> str | None:
    """Note the final invoice here; raises Mismatch if somebody changed it at Stripe before it was final."""
    with push.database.transaction() as session:
        take_over(session, push.statement.invoice_id, found, None, now=push.now)
        problem = disagreement(session.get_one(Invoice, push.statement.invoice_id), found)
    differs = _differences(push, found) if found.status != "void" else ""
    if differs:
        raise Mismatch(f"{differs}; it is {found.status} at Stripe: void it there, then void it here")
    return problem


def _forget_what_is_gone(push: Push, refused: StripeRefused) -> StripeRefused:
    """Let a retry make anew what Stripe does not know: deleted there, or the key is of another account."""
    is_customer = refused.operation in ABOUT_THE_CUSTOMER
    what = "customer" if is_customer else "invoice"
    reason = f"{refused.refusal.reason}; Stripe has no such {what}: if the key is right, a retry makes it anew"
    if is_customer:
        with push.database.transaction() as session:
            forget_customer(session, push.account, push.statement.customer_id, reason)
    else:
        _forget_draft(push, reason)
    return StripeRefused(refused.operation, replace(refused.refusal, reason=reason))


def _forget_draft(push: Push, reason: str) -> None:
    with push.database.transaction() as session:
        forget_answers(session, push.account.name, push.statement.invoice_id, reason)
    _note_on_invoice(push, {"stripe_id": None, "stripe_status": None, "hosted_invoice_url": None})


def _note_on_invoice(push: Push, columns: dict[str, Any]) -> None:
    with push.database.transaction() as session:
        session.execute(
            update(Invoice)
            .where(Invoice.id == push.statement.invoice_id)
            .values(**columns, stripe_is_stand_in=push.account.is_stand_in)
        )
