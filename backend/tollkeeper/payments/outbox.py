"""Send one POST to Stripe so that its work is done once, whatever is killed between two lines of this file."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import stripe
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from tollkeeper.payments.answers import Next, Refusal, read_refusal
from tollkeeper.payments.tables import StripeRequest
from tollkeeper.storage.session import Database
from tollkeeper.storage.upsert import insert_ignoring

# Stripe keeps the answer to a key for 24 hours; an hour is spared for clocks and slow requests.
KEY_LIFETIME = timedelta(hours=23)


class StripeRefused(Exception):
    """Stripe did not do it, or we cannot know; `refusal` says what comes next."""

    def __init__(self, operation: str, refusal: Refusal) -> None:
        super().__init__(f"{operation}: {refusal.reason}")
        self.operation = operation
        self.refusal = refusal


@dataclass(frozen=True, slots=True)
class Operation:
    """A POST that makes or changes one thing of ours at Stripe.

    `send` takes the stored parameters and the options with the key and returns the object's id. `find` looks,
    without changing anything, whether the work was done already, and returns that id or None.
    """

    account: str
    name: str
    subject_id: str
    parameters: Mapping[str, Any]
    send: Callable[[Any, stripe.RequestOptions], str]
    find: Callable[[], str | None]
    part: int = 0


def perform(database: Database, operation: Operation, *, now: datetime) -> str:
    """Return the id of the operation's object, doing the work unless it is done.

    Each attempt's key and parameters are committed before the request leaves. A repeat replays them exactly; a
    key that is too old or whose answer may be a saved 500 is replaced after a look. Raises StripeRefused.
    """
    with database.transaction() as session:
        request = _current_request(session, operation, now=now)
    if request.answered_at is not None and request.stripe_id is not None:
        return request.stripe_id
    if request.is_doubtful or now - request.decided_at > KEY_LIFETIME:
        found = _ask(operation, operation.find)
        with database.transaction() as session:
            if found is not None:
                _note_answer(session, request.idempotency_key, found, now=now)
                return found
            request = _insert_request(session, operation, request.attempt + 1, operation.parameters, now=now)
    return _send(database, operation, request, now=now)


def forget_answers(session: Session, account: str, subject_id: str, reason: str) -> None:
    """Make the next run look and start anew for this subject, under new keys: its objects at Stripe are gone."""
    session.execute(
        update(StripeRequest)
        .where(StripeRequest.account == account, StripeRequest.subject_id == subject_id)
        .values(error=reason, answered_at=None, is_doubtful=True)
    )


def _send(database: Database, operation: Operation, request: StripeRequest, *, now: datetime) -> str:
    key = request.idempotency_key
    try:
        stripe_id = operation.send(in_order(request.parameters), {"idempotency_key": key})
    except stripe.StripeError as error:
        refusal = read_refusal(error)
        with database.transaction() as session:
            _note_refusal(session, key, refusal, is_reused_key=isinstance(error, stripe.IdempotencyError))
        raise StripeRefused(operation.name, refusal) from None  # the error holds the body in its args
    if not stripe_id:
        raise StripeRefused(operation.name, Refusal(Next.LOOK, "no_id", "Stripe's answer has no id"))
    with database.transaction() as session:
        _note_answer(session, key, stripe_id, now=now)
    return stripe_id


def in_order(parameters: Any) -> Any:
    """Return the parameters with their names sorted: JSONB forgets the order, and a replay is the same to the byte."""
    if isinstance(parameters, Mapping):
        return {name: in_order(parameters[name]) for name in sorted(parameters)}
    if isinstance(parameters, list):
        return [in_order(entry) for entry in parameters]
    return parameters


def _ask(operation: Operation, find: Callable[[], str | None]) -> str | None:
    try:
        return find()
    except stripe.StripeError as error:
        raise StripeRefused(f"look for {operation.name}", read_refusal(error)) from None


def _current_request(session: Session, operation: Operation, *, now: datetime) -> StripeRequest:
    latest = session.scalars(
        select(StripeRequest)
        .where(
            StripeRequest.account == operation.account,
            StripeRequest.operation == operation.name,
            StripeRequest.subject_id == operation.subject_id,
            StripeRequest.part == operation.part,
        )
        .order_by(StripeRequest.attempt.desc())
        .limit(1)
        .with_for_update()
    ).first()
    if latest is None:
        return _insert_request(session, operation, 1, operation.parameters, now=now)
    if latest.error is not None and not latest.is_doubtful:
        # Stripe refused it for good and a person has changed something: a corrected request takes a new key.
        return _insert_request(session, operation, latest.attempt + 1, operation.parameters, now=now)
    return latest


def _insert_request(
    session: Session, operation: Operation, attempt: int, parameters: Mapping[str, Any], *, now: datetime
) -> StripeRequest:
    key = f"tk-{operation.account}-{operation.name}-{operation.subject_id}-{operation.part}-{attempt}"
    row = {
        "idempotency_key": key,
        "account": operation.account,
        "operation": operation.name,
        "subject_id": operation.subject_id,
        "part": operation.part,
        "attempt": attempt,
        "parameters": dict(parameters),
        "decided_at": now,
        "is_doubtful": False,
    }
    # another worker may be deciding the same (two invoices of one customer); who comes second sends what was decided
    insert_ignoring(session, StripeRequest, [row])
    return session.get_one(StripeRequest, key)


def _note_answer(session: Session, key: str, stripe_id: str, *, now: datetime) -> None:
    session.execute(
        update(StripeRequest)
        .where(StripeRequest.idempotency_key == key)
        .values(answered_at=now, stripe_id=stripe_id, error=None, is_doubtful=False)
    )


def _note_refusal(session: Session, key: str, refusal: Refusal, *, is_reused_key: bool) -> None:
    # a declined card (402) is an answer that the key keeps, as a 500 is
    doubtful = refusal.next in {Next.LOOK, Next.STAYS_OPEN} or is_reused_key
    final = refusal.next is Next.STOP
    session.execute(
        update(StripeRequest)
        .where(StripeRequest.idempotency_key == key)
        .values(is_doubtful=doubtful, error=refusal.reason if final or doubtful else None)
    )
