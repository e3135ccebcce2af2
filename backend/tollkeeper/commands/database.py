"""Open the database that the settings name, for one command."""

import getpass
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

import click
from alembic.util import CommandError
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from tollkeeper.access.audit import Actor, ActorKind, record_act
from tollkeeper.app import create_schema, open_database_of
from tollkeeper.clock import SystemClock
from tollkeeper.config import load_settings
from tollkeeper.errors import Unavailable
from tollkeeper.metering.stores.archive import Archive, attach_archive
from tollkeeper.storage.engine import open_engine
from tollkeeper.storage.session import Database
from tollkeeper.storage.test_clock import read_offset


@contextmanager
def open_database() -> Iterator[Database]:
    """Yield the database at the newest schema, closed at the end.

    Raises Unavailable naming the database and what it said, if it cannot be opened or brought up to date.
    """
    with _ready(open_database_of(load_settings())) as database:
        yield database


@contextmanager
def database_at(url: str, archive: Archive | None = None) -> Iterator[Database]:
    """Yield the database at a URL with an archive behind it; that of the settings has the one that they name."""
    loaded = load_settings()
    if url == loaded.database_url and archive is None:
        database = open_database_of(loaded)
    else:
        password = loaded.database_password
        engine = open_engine(url, password.get_secret_value() if password else None)
        if archive is not None:
            attach_archive(engine, archive)
        database = Database(engine)
    with _ready(database):
        yield database


@contextmanager
def _ready(database: Database) -> Iterator[Database]:
    try:
        _bring_up_to_date(database)
        yield database
    finally:
        database.dispose()


@contextmanager
def acting(*, only_tries: bool = False) -> Iterator[Session]:
    """Yield the writing transaction of the command that runs; who ran it goes into the audit log with its work.

    The entry names the command and its arguments, not its options: these may hold secrets.
    A command that `only_tries` is undone at the end.
    """
    with open_database() as database, database.transaction() as session:
        yield session
        if only_tries:
            session.rollback()
        else:
            note_act(session)


def note_act(session: Session) -> None:
    """Write into the audit log who ran the command that runs, in the transaction of its work."""
    context = click.get_current_context()
    arguments = [parameter.name for parameter in context.command.params if isinstance(parameter, click.Argument)]
    target = " ".join(str(context.params.get(name or "")) for name in arguments)
    given = [name for name, value in context.params.items() if value not in (None, False, ())]
    actor = Actor(ActorKind.COMMAND, f"user:{_user()}", _user())
    fields = set(given) - set(arguments)
    record_act(session, actor, context.command_path, target=target, fields=fields, now=SystemClock().now())


def acting_user() -> str:
    """Return the name of who runs the command, for the record of an act."""
    return f"user {_user()}"


def now_of(session: Session) -> datetime:
    """Return the tenant's time: the system's, moved by what the test clock was advanced."""
    return SystemClock().now() + read_offset(session)


def _user() -> str:
    """Return the name of the system's user, or the number of one that has none, as in a container."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())


def _bring_up_to_date(database: Database) -> None:
    shown = database.engine.url.render_as_string(hide_password=True)
    try:
        create_schema(database)
    except CommandError as error:
        raise Unavailable(
            f"{shown}: {error}; a newer version of Tollkeeper made this database: run that version"
        ) from error
    except DBAPIError as error:
        said = str(error.orig).strip().partition("\n")[0]
        raise Unavailable(f"{shown}: {said}; is the database there, and is DATABASE_URL right?") from error
