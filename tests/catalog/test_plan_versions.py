"""The life of a plan: drafts, versions that never change, archives."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import delete, select, update
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from tollkeeper.catalog.draft import create_plan_draft, discard_draft, edit_version
from tollkeeper.catalog.features import FeatureDraft, archive_feature, create_feature
from tollkeeper.catalog.plans import archive_plan, get_plan, get_published_version, list_plans
from tollkeeper.catalog.publish import publish_plan
from tollkeeper.catalog.spec import PlanSpec
from tollkeeper.catalog.tables import PlanVersion
from tollkeeper.catalog.versions import get_version, list_versions, spec_of
from tollkeeper.errors import Conflict, InvalidInput, NotFound

Doc = dict[str, Any]


def plan(document: Doc) -> PlanSpec:
    return PlanSpec.model_validate(document)


def published(session: Session, document: Doc, now: datetime) -> PlanVersion:
    create_plan_draft(session, "pro", plan(document), now=now)
    return publish_plan(session, "pro", now=now)


def test_a_published_draft_is_what_is_sold(session: Session, pro: Doc, calls: None, now: datetime) -> None:
    version = published(session, pro, now)
    assert (version.version, version.status, version.published_at) == (1, "published", now)
    assert get_published_version(session, "pro").id == version.id
    assert spec_of(version) == plan(pro)
    assert get_plan(session, "pro").currency == "USD"


def test_a_draft_is_replaced_by_the_next_one(session: Session, pro: Doc, now: datetime) -> None:
    first = create_plan_draft(session, "pro", plan(pro), now=now)
    pro["name"] = "Professional"
    second = create_plan_draft(session, "pro", plan(pro), now=now)
    assert (first.id, second.version) == (second.id, 1)
    assert spec_of(second).name == "Professional"


def test_a_new_version_archives_the_one_before(session: Session, pro: Doc, calls: None, now: datetime) -> None:
    first = published(session, pro, now)
    pro["name"] = "Pro 2"
    later = now + timedelta(days=1)
    second = published(session, pro, later)
    assert [(v.version, v.status) for v in list_versions(session, "pro")] == [(2, "published"), (1, "archived")]
    assert first.archived_at == later
    assert get_published_version(session, "pro").id == second.id
    assert get_plan(session, "pro").name == "Pro 2"


def test_a_draft_of_the_next_version_leaves_the_sold_one_alone(
    session: Session, pro: Doc, calls: None, now: datetime
) -> None:
    first = published(session, pro, now)
    pro["phases"][1]["rate_cards"][0]["price"]["amount"] = "30.00"
    assert create_plan_draft(session, "pro", plan(pro), now=now).version == 2
    assert get_published_version(session, "pro").id == first.id


def test_a_published_version_is_not_edited_in_place(session: Session, pro: Doc, calls: None, now: datetime) -> None:
    published(session, pro, now)
    with pytest.raises(Conflict, match="never changes"):
        edit_version(session, "pro", 1, plan(pro), now=now)
    with pytest.raises(Conflict, match="never changes"):
        discard_draft(session, "pro", 1)


@pytest.mark.parametrize("values", [{"spec": {}}, {"version": 9}, {"status": "draft"}])
def test_the_database_refuses_to_change_a_published_version(
    session: Session, pro: Doc, calls: None, now: datetime, values: Doc
) -> None:
    version = published(session, pro, now)
    with pytest.raises(DBAPIError, match="never changes"), session.begin_nested():
        session.execute(update(PlanVersion).where(PlanVersion.id == version.id).values(values))


def test_the_database_refuses_to_delete_a_published_version(
    session: Session, pro: Doc, calls: None, now: datetime
) -> None:
    version = published(session, pro, now)
    with pytest.raises(DBAPIError, match="never changes"), session.begin_nested():
        session.execute(delete(PlanVersion).where(PlanVersion.id == version.id))


def test_the_database_takes_one_draft_of_a_plan(session: Session, pro: Doc, now: datetime) -> None:
    draft = create_plan_draft(session, "pro", plan(pro), now=now)
    other = PlanVersion(id="pv_2", plan_id=draft.plan_id, version=2, status="draft", spec={}, created_at=now)
    with pytest.raises(DBAPIError), session.begin_nested():
        session.add(other)


def test_a_draft_can_be_edited_and_discarded(session: Session, pro: Doc, now: datetime) -> None:
    create_plan_draft(session, "pro", plan(pro), now=now)
    pro["name"] = "Other"
    assert spec_of(edit_version(session, "pro", 1, plan(pro), now=now)).name == "Other"
    discard_draft(session, "pro", 1)
    assert list_versions(session, "pro") == []
    assert create_plan_draft(session, "pro", plan(pro), now=now).version == 1


def test_a_plan_with_an_unknown_feature_is_not_published(session: Session, pro: Doc, now: datetime) -> None:
    create_plan_draft(session, "pro", plan(pro), now=now)
    with pytest.raises(InvalidInput) as caught:
        publish_plan(session, "pro", now=now)
    assert [(field.path, field.message) for field in caught.value.fields] == [
        ("/phases/1/rate_cards/1/feature", "there is no feature 'calls'; create it first")
    ]
    assert get_version(session, "pro", 1).status == "draft"


def test_a_plan_with_an_archived_feature_is_not_published(
    session: Session, pro: Doc, calls: None, now: datetime
) -> None:
    create_plan_draft(session, "pro", plan(pro), now=now)
    archive_feature(session, "calls", now=now)
    with pytest.raises(InvalidInput, match="is archived"):
        publish_plan(session, "pro", now=now)


def test_a_feature_without_a_meter_has_no_usage_to_price(session: Session, pro: Doc, now: datetime) -> None:
    create_feature(session, FeatureDraft(key="calls", name="Calls"), now=now)
    create_plan_draft(session, "pro", plan(pro), now=now)
    with pytest.raises(InvalidInput, match="/phases/1/rate_cards/1/feature: the feature 'calls' has no meter"):
        publish_plan(session, "pro", now=now)


def test_a_feature_without_a_meter_can_be_switched_on(session: Session, pro: Doc, now: datetime) -> None:
    create_feature(session, FeatureDraft(key="calls", name="Calls"), now=now)
    pro["phases"][1]["rate_cards"][1] = {"key": "calls", "feature": "calls", "entitlement": {"type": "boolean"}}
    assert published(session, pro, now).status == "published"


def test_nothing_is_published_twice(session: Session, pro: Doc, calls: None, now: datetime) -> None:
    published(session, pro, now)
    with pytest.raises(Conflict, match="no draft"):
        publish_plan(session, "pro", now=now)


def test_the_currency_of_a_sold_plan_stays(session: Session, pro: Doc, calls: None, now: datetime) -> None:
    published(session, pro, now)
    pro["currency"] = "EUR"
    with pytest.raises(InvalidInput, match="/currency"):
        create_plan_draft(session, "pro", plan(pro), now=now)


def test_the_currency_of_a_mere_draft_may_change(session: Session, pro: Doc, calls: None, now: datetime) -> None:
    create_plan_draft(session, "pro", plan(pro), now=now)
    pro["currency"] = "EUR"
    published(session, pro, now)
    assert get_plan(session, "pro").currency == "EUR"


def test_an_archived_plan_is_sold_no_more(session: Session, pro: Doc, calls: None, now: datetime) -> None:
    version = published(session, pro, now)
    archive_plan(session, "pro", now=now)
    assert archive_plan(session, "pro", now=now + timedelta(days=1)).archived_at == now
    with pytest.raises(Conflict, match="archived"):
        get_published_version(session, "pro")
    with pytest.raises(Conflict, match="archived"):
        create_plan_draft(session, "pro", plan(pro), now=now)
    assert spec_of(version) == plan(pro)


def test_a_plan_without_a_published_version_is_not_sold(session: Session, pro: Doc, now: datetime) -> None:
    create_plan_draft(session, "pro", plan(pro), now=now)
    with pytest.raises(Conflict, match="no published version"):
        get_published_version(session, "pro")


def test_what_is_not_there_is_not_found(session: Session, pro: Doc, now: datetime) -> None:
    for act in (get_plan, get_published_version, list_versions):
        with pytest.raises(NotFound, match="'gone'"):
            act(session, "gone")
    create_plan_draft(session, "pro", plan(pro), now=now)
    with pytest.raises(NotFound, match="version 7"):
        get_version(session, "pro", 7)


def test_lists_are_pages(session: Session, pro: Doc, now: datetime) -> None:
    for key in ("a", "b", "c"):
        create_plan_draft(session, key, plan(pro), now=now)
    first = list_plans(session, limit=2)
    rest = list_plans(session, after=first[-1].id, limit=2)
    assert sorted(p.key for p in [*first, *rest]) == ["a", "b", "c"]
    assert len(session.scalars(select(PlanVersion)).all()) == 3
