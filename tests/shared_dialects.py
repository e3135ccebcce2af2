"""One dialect and one cache of compiled statements for all the engines that a test process opens.

Each test opens an engine on a database of its own, and SQLAlchemy keeps compiled statements per engine: without
this a quarter of the suite's time went into compiling the same statements anew. The databases of one kind are
clones of one template on one server, so what a dialect has learned of one of them holds for all.
"""

from typing import Any

import sqlalchemy
from sqlalchemy import Engine
from sqlalchemy.engine import URL

import tollkeeper.storage.engine

STATEMENTS_KEPT = 10_000

_first_engines: dict[str, Engine] = {}


def share_dialects() -> None:
    """Make `open_engine` give each engine the dialect and the cache of the first engine of its kind."""
    tollkeeper.storage.engine.create_engine = _create_engine


def _create_engine(url: URL, **options: Any) -> Engine:
    engine = sqlalchemy.create_engine(url, **options)
    first = _first_engines.get(engine.dialect.name)
    if first is None or first.dialect.server_version_info is None:  # what never connected has learned nothing
        engine._compiled_cache.capacity = STATEMENTS_KEPT
        _first_engines[engine.dialect.name] = engine
        return engine
    engine.dialect = engine.pool._dialect = first.dialect
    engine._compiled_cache = first._compiled_cache
    return engine
