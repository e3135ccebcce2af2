"""What a request needs of the application: the database and the clock."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from flask import current_app
from sqlalchemy.orm import Session

from tollkeeper.clock import Clock
from tollkeeper.storage.session import Database


@dataclass(frozen=True, slots=True)
class WebContext:
    """Made once by app.py, kept in `app.extensions["tollkeeper"]`."""

    database: Database
    clock: Clock


def web_context() -> WebContext:
    """Return the context of the application that serves this request."""
    context = current_app.extensions["tollkeeper"]
    assert isinstance(context, WebContext)
    return context


@contextmanager
def transaction() -> Iterator[Session]:
    """Yield this request's writing session; one request is one transaction."""
    with web_context().database.transaction() as session:
        yield session


@contextmanager
def snapshot() -> Iterator[Session]:
    """Yield this request's reading session."""
    with web_context().database.snapshot() as session:
        yield session
