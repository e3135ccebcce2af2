"""docs/plans.md: its examples are read, and cost what the page says."""

import json
import re
import textwrap
from decimal import Decimal
from pathlib import Path

import pytest

from tollkeeper.catalog.preview import preview_plan
from tollkeeper.catalog.spec import PreviewCard, RateCard
from tollkeeper.commands.documents import read_file
from tollkeeper.commands.plan import PlanFile, plan
from tollkeeper.money import format_minor
from tollkeeper.rating.rate import rate
from tollkeeper.rating.reading import read_document
from tollkeeper.rating.types import RatingOptions

PAGE = (Path(__file__).parents[2] / "docs/plans.md").read_text()
BLOCKS = [textwrap.dedent(block) for block in re.findall(r"(?:^ {4}.*\n)+", PAGE, re.MULTILINE)]
CARDS = [json.loads(block) for block in BLOCKS if block.startswith('{"price"')]
EXAMPLES = {
    "flat": {"0": "37.50"},
    "unit": {"1500": "3.75", "2": "0.01", "1": "0.00"},
    "graduated": {"7000": "53.00", "5000": "40.00"},
    "volume": {"100": "11.00", "101": "7.05"},
    "package": {"0": "0.00", "1": "5.00", "1000": "5.00", "1000.5": "10.00"},
    "dynamic": {"10.37": "12.44"},
    "percentage": {"200": "3.20"},
    "everything": {"2500000": "500.00", "0": "50.00"},
}


@pytest.mark.parametrize(("place", "name"), list(enumerate(EXAMPLES)))
def test_each_price_model_costs_what_the_page_says(place: int, name: str) -> None:
    card = read_document(PreviewCard, CARDS[place], what="rate card")
    options = RatingOptions(event_count=12)
    for quantity, total in EXAMPLES[name].items():
        assert format_minor(rate(card, "USD", Decimal(quantity), options=options).total_minor, "USD") == total
        assert total in PAGE


def test_the_whole_plan_of_the_page_costs_what_it_says(tmp_path: Path) -> None:
    file = tmp_path / "pro.yaml"
    file.write_text(next(block for block in BLOCKS if block.startswith("key: pro")))
    document = read_document(PlanFile, read_file(str(file)), what="plan")
    cards = preview_plan(document.spec(), {"calls": Decimal(1500)})
    assert sum(card.rated.total_minor for card in cards) == 2500


def test_the_entitlements_of_the_page_are_read() -> None:
    block = next(block for block in BLOCKS if block.startswith('{"type": "metered"'))
    for line in block.splitlines():
        document = {"key": "k", "feature": "f", "entitlement": json.loads(line)}
        read_document(RateCard, document, what="rate card")


def test_every_field_and_command_is_on_the_page() -> None:
    fields = [f"`{name}`" for name in RateCard.model_fields]
    assert [field for field in fields if field not in PAGE] == []
    assert [name for name in plan.commands if name not in PAGE] == []
