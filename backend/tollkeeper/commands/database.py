"""Open the database that the settings name, for one command."""

from collections.abc import Iterator
from contextlib import contextmanager

from tollkeeper.app import create_schema
from tollkeeper.config import load_settings
from tollkeeper.storage.engine import open_engine
from tollkeeper.storage.session import Database


@contextmanager
def open_database() -> Iterator[Database]:
    """Yield the database at the newest schema, closed at the end."""
    database = Database(open_engine(load_settings().database_url))
    try:
        create_schema(database)
        yield database
    finally:
        database.dispose()
