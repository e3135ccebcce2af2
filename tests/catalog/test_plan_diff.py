"""Two versions of a plan, compared by phase and rate card."""

import copy
from typing import Any

from tollkeeper.catalog.diff import Change, diff_specs
from tollkeeper.catalog.spec import PlanSpec

Doc = dict[str, Any]


def diff(before: Doc, after: Doc) -> list[Change]:
    return diff_specs(PlanSpec.model_validate(before), PlanSpec.model_validate(after))


def test_equal_plans_do_not_differ(pro: Doc) -> None:
    assert diff(pro, copy.deepcopy(pro)) == []


def test_a_changed_amount_is_named_by_phase_and_rate_card(pro: Doc) -> None:
    after = copy.deepcopy(pro)
    after["phases"][1]["rate_cards"][0]["price"]["amount"] = "30.00"
    after["phases"][1]["rate_cards"][1]["price"]["tiers"][1]["unit_price"] = "0.02"
    assert diff(pro, after) == [
        Change("/phases/standard/rate_cards/base/price/amount", "20.00", "30.00"),
        Change("/phases/standard/rate_cards/calls/price/tiers/1/unit_price", "0.01", "0.02"),
    ]


def test_a_new_rate_card_in_front_does_not_change_the_others(pro: Doc) -> None:
    after = copy.deepcopy(pro)
    after["phases"][1]["rate_cards"].insert(0, {"key": "setup", "price": {"type": "flat", "amount": "5"}})
    (change,) = diff(pro, after)
    assert (change.path, change.before) == ("/phases/standard/rate_cards/setup", None)
    assert change.after["price"]["amount"] == "5"


def test_a_removed_phase_is_one_change(pro: Doc) -> None:
    after = copy.deepcopy(pro)
    del after["phases"][0]
    assert [(change.path, change.after) for change in diff(pro, after)] == [("/phases/trial", None)]


def test_the_order_of_phases_is_part_of_the_plan(pro: Doc) -> None:
    after = copy.deepcopy(pro)
    after["phases"].reverse()
    after["phases"][0]["duration"], after["phases"][1]["duration"] = "P1M", None
    assert Change("/phases", ["trial", "standard"], ["standard", "trial"]) in diff(pro, after)


def test_amounts_are_compared_as_they_are_written(pro: Doc) -> None:
    after = copy.deepcopy(pro)
    after["phases"][1]["rate_cards"][0]["price"]["amount"] = 20
    assert diff(pro, after) == [Change("/phases/standard/rate_cards/base/price/amount", "20.00", "20")]
