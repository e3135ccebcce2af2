"""What a request needs of the application: the database, the clock, its transaction."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from flask import current_app, g
from sqlalchemy.orm import Session

from tollkeeper.clock import Clock
from tollkeeper.storage.session import Database
from tollkeeper.web.acts import record_this_request
from tollkeeper.web.group_commit import GroupCommit
from tollkeeper.web.intake import Intake


@dataclass(frozen=True, slots=True)
class WebContext:
    """Made once by app.py, kept in `app.extensions["tollkeeper"]`; `shown_settings` hold no secret."""

    database: Database
    clock: Clock
    shown_settings: tuple[Mapping[str, str], ...] = ()
    intake: Intake = field(default_factory=Intake)
    groups: GroupCommit = field(init=False)

    def __post_init__(self) -> None:
        """Let the small requests of this process find each other."""
        object.__setattr__(self, "groups", GroupCommit(self.database))


def web_context() -> WebContext:
    """Return the context of the application that serves this request."""
    context = current_app.extensions["tollkeeper"]
    assert isinstance(context, WebContext)
    return context


@contextmanager
def transaction(*, is_act: bool = True) -> Iterator[Session]:
    """Yield this request's writing session; one request is one transaction.

    Who made the change is written to the audit log in it, unless it `is_act` of nobody: bookkeeping of our own.

    Inside another `transaction()` of the same request it is the same session, committed once at the outer
    end: so the answer under an Idempotency-Key is stored with the work (web/api/conventions.py).
    """
    if "session" in g:
        yield g.session
        return
    with web_context().database.transaction() as session:
        g.session = session
        try:
            yield session
            if is_act:
                record_this_request(session, now=web_context().clock.now())
        finally:
            g.pop("session", None)


@contextmanager
def snapshot() -> Iterator[Session]:
    """Yield this request's reading session; inside a transaction it is that one, which sees its own writes."""
    if "session" in g:
        yield g.session
        return
    with web_context().database.snapshot() as session:
        yield session
