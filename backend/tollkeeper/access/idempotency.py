"""Requests repeated under one Idempotency-Key: done once, answered each time.

The claim, the work and the answer are one transaction. A concurrent repeat waits for it: on SQLite
for the write lock, on PostgreSQL for the unique key; then it finds the answer. A request that failed
left nothing, so its repeat is done anew.
"""

import json
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from tollkeeper.access.tables import AnsweredRequest
from tollkeeper.errors import Conflict, InvalidInput
from tollkeeper.storage.upsert import insert_into

ANSWERS_ARE_KEPT = timedelta(days=7)
MOST_KEY_CHARACTERS = 255


@dataclass(frozen=True, slots=True)
class Answer:
    """What was answered; `body` is None when it held a secret or somebody who was forgotten, and was not kept."""

    status: int
    body: str | None


def claim_request(session: Session, caller: str, key: str, digest: str, *, now: datetime) -> Answer | None:
    """Return the answer that was given under this key, or None: then do the work and call `keep_answer`.

    Raises InvalidInput if the key belongs to another request, Conflict if its answer was not kept.
    """
    if not key.isascii() or not key.isprintable() or not 0 < len(key) <= MOST_KEY_CHARACTERS:
        raise InvalidInput.of("/Idempotency-Key", f"needs 1 to {MOST_KEY_CHARACTERS} printable ASCII characters")
    claim = (
        insert_into(session, AnsweredRequest)
        .values(caller=caller, key=key, request_digest=digest, answered_at=now)
        .on_conflict_do_nothing()
        .returning(AnsweredRequest.key)
    )
    if session.execute(claim).first() is not None:
        return None
    earlier = session.execute(
        select(AnsweredRequest).where(AnsweredRequest.caller == caller, AnsweredRequest.key == key)
    ).scalar_one()
    if earlier.request_digest != digest:
        raise InvalidInput(
            "this Idempotency-Key was used for another request; take a new key for a new request",
            code="idempotency_key_reused",
        )
    assert earlier.status is not None
    if earlier.body is None:
        raise Conflict(
            "this request was done; its answer held a secret, or a person who was forgotten since, and was not kept: "
            "look what is there, or undo it and ask again with a new key",
            code="answer_not_kept",
        )
    return Answer(earlier.status, earlier.body)


def keep_answer(session: Session, caller: str, key: str, answer: Answer) -> None:
    """Store the answer of a claimed request in the transaction that did the work."""
    session.execute(
        update(AnsweredRequest)
        .where(AnsweredRequest.caller == caller, AnsweredRequest.key == key)
        .values(status=answer.status, body=answer.body)
    )


def forget_old_answers(session: Session, *, now: datetime) -> None:
    """Remove answers that are older than a repeat may be (docs/api.md says seven days)."""
    session.execute(delete(AnsweredRequest).where(AnsweredRequest.answered_at < now - ANSWERS_ARE_KEPT))


def forget_answers_about(session: Session, words: Collection[str]) -> int:
    """Take away the answers in which one of the words is a text, as if they had held a secret; return how many."""
    kept = select(AnsweredRequest.caller, AnsweredRequest.key, AnsweredRequest.body)
    found = [
        (caller, key)
        for caller, key, body in session.execute(kept.where(AnsweredRequest.body != ""))
        if body and not set(words).isdisjoint(_texts(json.loads(body)))
    ]
    for caller, key in found:
        session.execute(
            update(AnsweredRequest)
            .where(AnsweredRequest.caller == caller, AnsweredRequest.key == key)
            .values(body=None)
        )
    return len(found)


def _texts(answer: Any) -> Iterator[str]:
    if isinstance(answer, str):
        yield answer
    elif isinstance(answer, dict | list):
        for one in answer.values() if isinstance(answer, dict) else answer:
            yield from _texts(one)
