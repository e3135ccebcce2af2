"""The composition root: puts settings, database, clock and doors together."""

from flask import Flask

from tollkeeper.clock import Clock, SystemClock
from tollkeeper.config import Settings
from tollkeeper.storage.base import Base
from tollkeeper.storage.engine import open_engine
from tollkeeper.storage.session import Database
from tollkeeper.web.context import WebContext
from tollkeeper.web.errors import register_error_handlers


def create_app(settings: Settings, *, database: Database | None = None, clock: Clock | None = None) -> Flask:
    """Return the Flask application; `database` and `clock` replace what the settings would open."""
    app = Flask("tollkeeper.web")
    context = WebContext(
        database=database or Database(open_engine(settings.database_url)), clock=clock or SystemClock()
    )
    app.extensions["tollkeeper"] = context
    register_error_handlers(app)
    return app


def create_schema(database: Database) -> None:
    """Bring the database to the newest schema."""
    Base.metadata.create_all(database.engine)
