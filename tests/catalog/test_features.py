"""Features: a meter with a filter, fixed once created."""

from datetime import datetime, timedelta

import pytest
from sqlalchemy.orm import Session

from tollkeeper.catalog.features import (
    FeatureDraft,
    archive_feature,
    create_feature,
    get_feature,
    list_features,
    rename_feature,
)
from tollkeeper.errors import Conflict, InvalidInput, NotFound

FLIGHTS = FeatureDraft(
    key="flights_ok", name="Flights", meter_key="requests", filter={"status": {"gte": "200", "lt": "300"}}
)


def test_a_feature_is_a_meter_with_a_filter(session: Session, now: datetime) -> None:
    create_feature(session, FLIGHTS, now=now)
    feature = get_feature(session, "flights_ok")
    assert (feature.meter_key, feature.filter) == ("requests", {"status": {"gte": "200", "lt": "300"}})


def test_to_create_the_same_feature_again_returns_it(session: Session, now: datetime) -> None:
    first = create_feature(session, FLIGHTS, now=now)
    assert create_feature(session, FLIGHTS, now=now + timedelta(days=1)).id == first.id


def test_a_key_names_one_feature(session: Session, now: datetime) -> None:
    create_feature(session, FLIGHTS, now=now)
    with pytest.raises(Conflict, match="another meter or filter"):
        create_feature(session, FeatureDraft(key="flights_ok", name="Flights", meter_key="requests"), now=now)


def test_a_feature_needs_a_meter_that_is_there(session: Session, now: datetime) -> None:
    with pytest.raises(InvalidInput) as caught:
        create_feature(session, FeatureDraft(key="x", name="X", meter_key="no_such_meter"), now=now)
    assert caught.value.fields[0].path == "/meter"
    with pytest.raises(NotFound):
        get_feature(session, "x")


def test_a_feature_without_a_meter_is_a_switch(session: Session, now: datetime) -> None:
    assert create_feature(session, FeatureDraft(key="sso", name="Single sign-on"), now=now).meter_key is None


def test_a_feature_can_be_renamed_and_archived(session: Session, now: datetime) -> None:
    create_feature(session, FLIGHTS, now=now)
    assert rename_feature(session, "flights_ok", "Flights that went well").name == "Flights that went well"
    assert archive_feature(session, "flights_ok", now=now).archived_at == now
    assert archive_feature(session, "flights_ok", now=now + timedelta(days=1)).archived_at == now


def test_features_are_listed_in_pages(session: Session, now: datetime) -> None:
    for key in ("a", "b", "c"):
        create_feature(session, FeatureDraft(key=key, name=key), now=now)
    first = list_features(session, limit=2)
    assert sorted(f.key for f in [*first, *list_features(session, after=first[-1].id)]) == ["a", "b", "c"]
