"""A plan's document: what is read, what is refused and where."""

from typing import Any

import pytest

from tollkeeper.catalog.spec import PlanSpec, PreviewCard
from tollkeeper.errors import InvalidInput
from tollkeeper.rating.reading import read_document

Doc = dict[str, Any]


def read(document: Any) -> PlanSpec:
    return read_document(PlanSpec, document, what="plan")


def refused(document: Any) -> dict[str, str]:
    with pytest.raises(InvalidInput) as caught:
        read(document)
    return {field.path: field.message for field in caught.value.fields}


def test_a_plan_is_read_and_written_the_same(pro: Doc) -> None:
    spec = read(pro)
    assert read(spec.model_dump(mode="json")) == spec


def test_a_stored_plan_spells_its_defaults_out(pro: Doc) -> None:
    calls = read(pro).model_dump(mode="json")["phases"][1]["rate_cards"][1]
    assert calls["billing_cadence"] == "P1M"
    assert calls["entitlement"] == {
        "type": "metered",
        "limit": "5000",
        "usage_period": "P1M",
        "is_soft_limit": False,
        "thresholds": ["80", "100"],
        "status": 429,
    }
    assert calls["price"]["tiers"][1] == {"up_to": None, "unit_price": "0.01", "flat_price": "0"}


def test_a_discounted_flat_price_can_be_read_back(pro: Doc) -> None:
    pro["phases"][1]["rate_cards"][0]["discounts"] = {"percentage": "5"}
    assert read(read(pro).model_dump(mode="json")) == read(pro)


def test_tiers_out_of_order_are_named_by_their_path_in_the_plan(pro: Doc) -> None:
    pro["phases"][1]["rate_cards"][1]["price"]["tiers"].insert(1, {"up_to": "1000", "unit_price": "1"})
    assert list(refused(pro)) == ["/phases/1/rate_cards/1/price/tiers/1/up_to"]


def test_keys_are_unique_where_they_name_something(pro: Doc) -> None:
    pro["phases"][1]["key"] = "trial"
    pro["phases"][1]["rate_cards"][1]["key"] = "base"
    assert refused(pro) == {
        "/phases/1/key": "'trial' is there already; give each one a key of its own",
        "/phases/1/rate_cards/1/key": "'base' is there already; give each one a key of its own",
    }


def test_only_the_last_phase_is_open(pro: Doc) -> None:
    pro["phases"][0]["duration"], pro["phases"][1]["duration"] = None, "P1Y"
    assert list(refused(pro)) == ["/phases/0/duration", "/phases/1/duration"]


def test_a_price_of_usage_needs_its_feature(pro: Doc) -> None:
    del pro["phases"][1]["rate_cards"][1]["feature"]
    assert refused(pro) == {
        "/phases/1/rate_cards/1/feature": "is missing; a price of usage needs the feature that is used"
    }


def test_an_entitlement_needs_its_feature(pro: Doc) -> None:
    pro["phases"][1]["rate_cards"][1] = {"key": "sso", "entitlement": {"type": "boolean"}}
    assert list(refused(pro)) == ["/phases/1/rate_cards/1/feature"]


def test_a_rate_card_says_something(pro: Doc) -> None:
    pro["phases"][1]["rate_cards"][1] = {"key": "nothing"}
    assert refused(pro) == {"/phases/1/rate_cards/1": "needs a price, an entitlement or both"}


@pytest.mark.parametrize(
    ("path", "value", "at"),
    [
        (["currency"], "usd", "/currency"),
        (["currency"], "XAU", "/currency"),
        (["phases"], [], "/phases"),
        (["name"], " ", "/name"),
        (["phases", 0, "key"], "Trial phase", "/phases/0/key"),
        (["phases", 0, "duration"], "1 month", "/phases/0/duration"),
        (["phases", 0, "duration"], "P0M", "/phases/0/duration"),
        (["phases", 1, "rate_cards", 0, "billing_cadence"], "monthly", "/phases/1/rate_cards/0/billing_cadence"),
        (["phases", 1, "rate_cards", 0, "price"], {"type": "free"}, "/phases/1/rate_cards/0/price/type"),
        (["phases", 1, "rate_cards", 1, "entitlement", "limit"], 0.5, "/phases/1/rate_cards/1/entitlement/limit"),
        (["phases", 1, "rate_cards", 1, "entitlement", "limit"], "-1", "/phases/1/rate_cards/1/entitlement/limit"),
        (["phases", 1, "rate_cards", 1, "entitlement", "status"], 500, "/phases/1/rate_cards/1/entitlement/status"),
        (
            ["phases", 1, "rate_cards", 1, "entitlement", "thresholds"],
            ["80", "50"],
            "/phases/1/rate_cards/1/entitlement/thresholds/1",
        ),
        (["phases", 1, "rate_cards", 1, "entitlement", "type"], "quota", "/phases/1/rate_cards/1/entitlement/type"),
    ],
)
def test_the_wrong_field_is_named(pro: Doc, path: list[str | int], value: Any, at: str) -> None:
    here: Any = pro
    for part in path[:-1]:
        here = here[part]
    here[path[-1]] = value
    assert list(refused(pro)) == [at]


def test_every_wrong_field_of_a_plan_is_named_at_once(pro: Doc) -> None:
    pro["currency"] = "EURO"
    pro["phases"][0]["rate_cards"][0]["price"]["amount"] = 0.0
    pro["phases"][1]["rate_cards"][1]["colour"] = "red"
    assert sorted(refused(pro)) == [
        "/currency",
        "/phases/0/rate_cards/0/price/amount",
        "/phases/1/rate_cards/1/colour",
    ]


def test_a_preview_needs_the_price_alone() -> None:
    card = read_document(PreviewCard, {"price": {"type": "unit", "amount": "1"}}, what="rate card")
    assert card.feature is None
    with pytest.raises(InvalidInput) as caught:
        read_document(PreviewCard, {"key": "calls"}, what="rate card")
    assert caught.value.fields[0].path == "/price"
