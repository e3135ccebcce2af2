"""Applying a plan's document, again and again, beside people who edit drafts."""

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any

import pytest
from sqlalchemy.orm import Session

from tollkeeper.catalog.apply import apply_plan
from tollkeeper.catalog.draft import create_plan_draft
from tollkeeper.catalog.features import FeatureDraft, create_feature
from tollkeeper.catalog.spec import PlanSpec
from tollkeeper.catalog.versions import get_version, list_versions, spec_of
from tollkeeper.errors import Conflict
from tollkeeper.storage.session import Database

Doc = dict[str, Any]


def named(document: Doc, name: str) -> PlanSpec:
    return PlanSpec.model_validate({**document, "name": name})


def test_a_plan_is_published_once_however_often_it_is_applied(
    session: Session, pro: Doc, calls: None, now: datetime
) -> None:
    first = apply_plan(session, "pro", named(pro, "Pro"), now=now)
    assert (first.is_changed, first.before, first.version.version) == (True, None, 1)
    second = apply_plan(session, "pro", named(pro, "Pro"), now=now)
    assert (second.is_changed, second.changes) == (False, [])
    assert len(list_versions(session, "pro")) == 1


def test_a_change_says_what_it_changed(session: Session, pro: Doc, calls: None, now: datetime) -> None:
    apply_plan(session, "pro", named(pro, "Pro"), now=now)
    applied = apply_plan(session, "pro", named(pro, "Professional"), now=now)
    assert [(c.path, c.before, c.after) for c in applied.changes] == [("/name", "Pro", "Professional")]


def test_the_draft_of_somebody_else_is_not_overwritten(session: Session, pro: Doc, calls: None, now: datetime) -> None:
    create_plan_draft(session, "pro", named(pro, "Draft of a colleague"), now=now)
    with pytest.raises(Conflict, match="has a draft"):
        apply_plan(session, "pro", named(pro, "Pro"), now=now)
    assert spec_of(get_version(session, "pro", 1)).name == "Draft of a colleague"
    assert apply_plan(session, "pro", named(pro, "Pro"), now=now, replace_draft=True).version.version == 1


def test_an_equal_draft_is_published(session: Session, pro: Doc, calls: None, now: datetime) -> None:
    draft = create_plan_draft(session, "pro", named(pro, "Pro"), now=now)
    assert apply_plan(session, "pro", named(pro, "Pro"), now=now).version.id == draft.id


def test_eight_who_apply_a_new_plan_at_once_publish_one_version(database: Database, pro: Doc, now: datetime) -> None:
    with database.transaction() as session:
        create_feature(session, FeatureDraft(key="calls", name="Calls", meter_key="requests"), now=now)

    def apply(_: int) -> int:
        with database.transaction() as session:
            return apply_plan(session, "pro", named(pro, "Pro"), now=now).version.version

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(apply, range(8))) == {1}
    with database.snapshot() as session:
        assert [version.status for version in list_versions(session, "pro")] == ["published"]
