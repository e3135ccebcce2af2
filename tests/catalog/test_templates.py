"""Entitlement templates: copied when a draft is saved, and never again."""

import pytest
from sqlalchemy.orm import Session

from tests.shop import T0, add_feature, add_plan, at
from tollkeeper.catalog.apply import apply_plan
from tollkeeper.catalog.spec import BooleanEntitlement, MeteredEntitlement, PlanSpec, TemplateEntitlement
from tollkeeper.catalog.templates import content_of, delete_template, get_template, list_templates, put_template
from tollkeeper.errors import InvalidInput, NotFound

CARD = {"key": "calls", "feature": "calls", "entitlement": {"type": "template", "template": "standard"}}


def metered(limit: str) -> MeteredEntitlement:
    return MeteredEntitlement.model_validate({"type": "metered", "limit": limit})


def test_a_plan_gets_the_template_s_content_and_keeps_it(session: Session) -> None:
    add_feature(session, "calls")
    put_template(session, "standard", "Standard", metered("1000"), now=T0)
    version = add_plan(session, "pro", CARD)
    put_template(session, "standard", "Standard", metered("5000"), now=T0)
    assert version.spec["phases"][0]["rate_cards"][0]["entitlement"]["limit"] == "1000"
    again = add_plan(session, "pro", CARD)
    assert (again.version, again.spec["phases"][0]["rate_cards"][0]["entitlement"]["limit"]) == (2, "5000")


def test_applying_a_file_with_a_template_again_changes_nothing(session: Session) -> None:
    add_feature(session, "calls")
    put_template(session, "standard", "Standard", metered("1000"), now=T0)
    spec = PlanSpec.model_validate(
        {"name": "Pro", "currency": "USD", "phases": [{"key": "main", "rate_cards": [CARD]}]}
    )
    assert apply_plan(session, "pro", spec, now=at("2026-01-01")).is_changed
    assert not apply_plan(session, "pro", spec, now=at("2026-01-02")).is_changed


def test_an_unknown_template_is_named_at_its_place(session: Session) -> None:
    add_feature(session, "calls")
    with pytest.raises(InvalidInput) as refused:
        add_plan(session, "pro", CARD)
    assert [one.path for one in refused.value.fields] == ["/phases/0/rate_cards/0/entitlement/template"]


def test_templates_are_put_listed_and_forgotten_and_hold_no_template(session: Session) -> None:
    put_template(session, "standard", "Standard", metered("1000"), now=T0)
    put_template(session, "standard", "On", BooleanEntitlement(type="boolean"), now=T0)
    assert [(one.key, one.name) for one in list_templates(session)] == [("standard", "On")]
    assert content_of(get_template(session, "standard")) == BooleanEntitlement(type="boolean")
    with pytest.raises(InvalidInput, match="not another template"):
        put_template(session, "loop", "Loop", TemplateEntitlement(type="template", template="loop"), now=T0)
    delete_template(session, "standard")
    with pytest.raises(NotFound):
        delete_template(session, "standard")
