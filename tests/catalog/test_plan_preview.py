"""What would usage cost on a plan?"""

from decimal import Decimal
from typing import Any

import pytest

from tollkeeper.catalog.preview import preview_plan
from tollkeeper.catalog.spec import PlanSpec
from tollkeeper.errors import InvalidInput

Doc = dict[str, Any]


def cost(pro: Doc, quantity: str, **rest: Any) -> dict[str, int]:
    cards = preview_plan(PlanSpec.model_validate(pro), {"calls": Decimal(quantity)}, **rest)
    return {card.key: card.rated.total_minor for card in cards}


def test_the_cost_of_1500_calls_on_pro(pro: Doc) -> None:
    # 20.00 in advance; 500 calls above 1000 at 0.01 are 5.00, less 10 % 4.50
    assert cost(pro, "1500") == {"base": 2000, "calls": 450}


def test_usage_that_is_not_named_is_zero(pro: Doc) -> None:
    cards = preview_plan(PlanSpec.model_validate(pro), {})
    assert [card.rated.total_minor for card in cards] == [2000, 0]


def test_a_phase_can_be_chosen(pro: Doc) -> None:
    pro["phases"][0]["rate_cards"].append({"key": "c", "feature": "calls", "price": {"type": "unit", "amount": "1"}})
    assert cost(pro, "3", phase_key="trial") == {"base": 0, "c": 300}


def test_a_phase_or_a_feature_that_is_not_in_the_plan_is_refused(pro: Doc) -> None:
    with pytest.raises(InvalidInput, match="/phase: the plan has no phase 'summer'; it has trial, standard"):
        cost(pro, "3", phase_key="summer")
    with pytest.raises(InvalidInput, match="/quantities/calls"):
        cost(pro, "3", phase_key="trial")
    with pytest.raises(InvalidInput, match="/event_counts/flights"):
        cost(pro, "3", event_counts={"flights": 3})
