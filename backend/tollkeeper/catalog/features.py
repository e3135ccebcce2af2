"""Create, rename, archive and find features.

A feature's meter and filter never change: they decide what was used in periods that are billed already.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from tollkeeper.catalog.tables import Feature
from tollkeeper.errors import Conflict, InvalidInput, NotFound
from tollkeeper.storage.ids import new_id
from tollkeeper.storage.upsert import insert_into


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureDraft:
    """What a new feature is made of; the caller has checked the filter (metering/filters.py)."""

    key: str
    name: str
    meter_key: str | None = None
    filter: Mapping[str, Any] = field(default_factory=dict)


def create_feature(session: Session, draft: FeatureDraft, *, now: datetime, at: str = "") -> Feature:
    """Create a feature; to create the same one again returns it.

    Raises Conflict if the key names another feature, InvalidInput if there is no such meter; `at` is where
    the feature stands in the caller's document.
    """
    row = {
        "id": new_id("feat"),
        "key": draft.key,
        "name": draft.name,
        "meter_key": draft.meter_key,
        "filter": dict(draft.filter),
        "created_at": now,
    }
    try:
        with session.begin_nested():
            session.execute(insert_into(session, Feature).values(row).on_conflict_do_nothing(index_elements=["key"]))
    except IntegrityError:
        # The unique key does nothing, so what is left is the foreign key.
        raise InvalidInput.of(f"{at}/meter", f"there is no meter {draft.meter_key!r}") from None
    feature = get_feature(session, draft.key)
    if (feature.meter_key, feature.filter) != (draft.meter_key, dict(draft.filter)):
        raise Conflict(f"a feature with the key {draft.key!r} is there already, with another meter or filter")
    return feature


def find_feature(session: Session, key: str) -> Feature | None:
    """Find a feature by its key, an archived one too."""
    return session.scalar(select(Feature).where(Feature.key == key))


def get_feature(session: Session, key: str) -> Feature:
    """Return a feature by its key, an archived one too; raises NotFound."""
    feature = find_feature(session, key)
    if feature is None:
        raise NotFound(f"there is no feature {key!r}")
    return feature


def list_features(session: Session, *, after: str | None = None, limit: int = 100) -> Sequence[Feature]:
    """Return features by age, after the id of the last one seen."""
    query = select(Feature).order_by(Feature.id).limit(limit)
    return session.scalars(query if after is None else query.where(Feature.id > after)).all()


def rename_feature(session: Session, key: str, name: str) -> Feature:
    """Change the name that people see."""
    feature = get_feature(session, key)
    feature.name = name
    return feature


def archive_feature(session: Session, key: str, *, now: datetime) -> Feature:
    """Take a feature out of what new plan versions may use; what is sold already goes on."""
    feature = get_feature(session, key)
    feature.archived_at = feature.archived_at or now
    return feature
