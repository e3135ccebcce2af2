"""Keep what was read of Kong; list it."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from tollkeeper.kong.entities import KongConfig
from tollkeeper.kong.tables import KongConsumer, KongRoute, KongService
from tollkeeper.storage.changes import note_change
from tollkeeper.storage.upsert import insert_into

CHUNK = 1_000


def keep_config(session: Session, config: KongConfig, *, now: datetime) -> None:
    """Insert or update each entity by its id; a repeat changes nothing but `seen_at`.

    What is not in the config stays: it may be of another Kong, and events still name it.
    """
    _keep(session, KongConsumer, [asdict(one) for one in config.consumers], now)
    _keep(session, KongService, [asdict(one) for one in config.services], now)
    _keep(session, KongRoute, [asdict(one) for one in config.routes], now)
    note_change(session, "kong")


def list_consumers(session: Session, *, after: str | None = None, limit: int = 100) -> Sequence[KongConsumer]:
    """List consumers by id."""
    query = select(KongConsumer).order_by(KongConsumer.id).limit(limit)
    return session.scalars(query if after is None else query.where(KongConsumer.id > after)).all()


def list_routes(session: Session, *, after: str | None = None, limit: int = 100) -> Sequence[KongRoute]:
    """List routes by id."""
    query = select(KongRoute).order_by(KongRoute.id).limit(limit)
    return session.scalars(query if after is None else query.where(KongRoute.id > after)).all()


def list_services(session: Session, *, after: str | None = None, limit: int = 100) -> Sequence[KongService]:
    """List services by id."""
    query = select(KongService).order_by(KongService.id).limit(limit)
    return session.scalars(query if after is None else query.where(KongService.id > after)).all()


def _keep(session: Session, table: type[Any], rows: list[dict[str, Any]], now: datetime) -> None:
    # The same id twice in one INSERT would be an error; the last one wins, as in Kong.
    by_id = {row["id"]: {**_listed(row), "seen_at": now} for row in rows}
    ordered = [by_id[key] for key in sorted(by_id)]
    for start in range(0, len(ordered), CHUNK):
        statement = insert_into(session, table).values(ordered[start : start + CHUNK])
        changed = {name: statement.excluded[name] for name in ordered[0] if name != "id"}
        session.execute(statement.on_conflict_do_update(index_elements=["id"], set_=changed))


def _listed(row: dict[str, Any]) -> dict[str, Any]:
    return {name: list(value) if isinstance(value, tuple) else value for name, value in row.items()}
