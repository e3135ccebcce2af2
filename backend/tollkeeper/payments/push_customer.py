"""Bring one of our customers to Stripe, once, and tell Stripe when its name or addresses changed."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from tollkeeper.payments.client import StripeAccount
from tollkeeper.payments.find import PAGE, first_with
from tollkeeper.payments.outbox import Operation, forget_answers, perform
from tollkeeper.payments.tables import StripeCustomer, StripeRequest
from tollkeeper.storage.session import Database
from tollkeeper.storage.upsert import insert_ignoring

CREATE, UPDATE = "create_customer", "update_customer"


@dataclass(frozen=True, slots=True)
class CustomerPush:
    """What Stripe shall know of a customer."""

    database: Database
    account: StripeAccount
    customer_id: str
    told: Mapping[str, Any]
    now: datetime


def ensure_customer(push: CustomerPush) -> str:
    """Return the id at Stripe of a customer that is there and up to date; raises StripeRefused."""
    with push.database.snapshot() as session:
        known = session.get(StripeCustomer, (push.customer_id, push.account.name))
    stripe_id = known.stripe_id if known is not None else _create(push)
    _update(push, stripe_id)
    return stripe_id


def forget_customer(session: Session, account: StripeAccount, customer_id: str, reason: str) -> None:
    """Make the next run look for the customer and make it anew: Stripe does not know it any more."""
    session.execute(
        delete(StripeCustomer).where(StripeCustomer.customer_id == customer_id, StripeCustomer.account == account.name)
    )
    forget_answers(session, account.name, customer_id, reason)


def _create(push: CustomerPush) -> str:
    customers: Any = push.account.client.v1.customers

    def find() -> str | None:
        # Not by e-mail address: it may have changed since. The newest come first.
        found = customers.list({"limit": PAGE}).auto_paging_iter()
        return first_with(found, "tollkeeper_customer_id", push.customer_id)

    operation = Operation(
        account=push.account.name,
        name=CREATE,
        subject_id=push.customer_id,
        parameters=push.told,
        send=lambda parameters, options: str(customers.create(parameters, options).id),
        find=find,
    )
    stripe_id = perform(push.database, operation, now=push.now)
    with push.database.transaction() as session:
        row = {"customer_id": push.customer_id, "account": push.account.name, "stripe_id": stripe_id}
        insert_ignoring(session, StripeCustomer, [row | {"created_at": push.now}])
    return stripe_id


def _update(push: CustomerPush, stripe_id: str) -> None:
    """Tell what changed. An update that was cut off is repeated as it was; then what changed since is told."""
    customers: Any = push.account.client.v1.customers
    for _ in range(2):
        with push.database.snapshot() as session:
            last, part = _last_told(session, push)
        if last == push.told:
            return
        operation = Operation(
            account=push.account.name,
            name=UPDATE,
            subject_id=push.customer_id,
            part=part,
            # an empty value takes away what Stripe was told before
            parameters={**dict.fromkeys(last.keys() - push.told.keys(), ""), **push.told},
            send=lambda parameters, options: str(customers.update(stripe_id, parameters, options).id),
            find=lambda: None,  # doing it twice does no harm
        )
        perform(push.database, operation, now=push.now)


def _last_told(session: Session, push: CustomerPush) -> tuple[dict[str, Any], int]:
    """Return what Stripe was told last, and the part of the request that tells the next."""
    requests = session.scalars(
        select(StripeRequest)
        .where(
            StripeRequest.account == push.account.name,
            StripeRequest.subject_id == push.customer_id,
            StripeRequest.operation.in_([CREATE, UPDATE]),
        )
        .order_by(StripeRequest.part.desc(), StripeRequest.attempt.desc())
    ).all()
    answered = [request for request in requests if request.answered_at is not None]
    if not answered:
        return {}, 1
    told = {name: value for name, value in answered[0].parameters.items() if value != ""}
    return told, answered[0].part + 1
