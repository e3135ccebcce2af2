"""What holds for every rate card and every quantity; the promises of docs/money.md under 2,000 examples each."""

import ast
import math
from decimal import Decimal, localcontext
from fractions import Fraction
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

import tollkeeper.rating
from tollkeeper.money import currency_exponent
from tollkeeper.rating.rate import rate
from tollkeeper.rating.statement import statement_of
from tollkeeper.rating.terms import RatingTerms
from tollkeeper.rating.types import LineKind, Rated, RatingOptions

thoroughly = settings(max_examples=2000, deadline=None, database=None)
briefly = settings(thoroughly, max_examples=300)

CURRENCIES = st.sampled_from(["USD", "JPY", "KWD"])
FRACTIONS = st.fractions(min_value=0, max_value=1, max_denominator=2678400)


def decimals(most: int = 10**7, places: int = 6) -> st.SearchStrategy[Decimal]:
    return st.builds(lambda digits, shift: Decimal(digits).scaleb(-shift), st.integers(0, most), st.integers(0, places))


QUANTITIES = st.one_of(decimals(), st.integers(0, 5000).map(Decimal), st.integers(0, 10**24).map(Decimal))
PRICES = decimals(most=10**4, places=5)
POSITIVE = decimals(most=10**4, places=3).filter(bool)


@st.composite
def tiers(draw: st.DrawFn) -> list[dict[str, Any]]:
    bounds = sorted(draw(st.sets(POSITIVE, max_size=5)))
    return [
        {"up_to": bound, "unit_price": draw(PRICES), "flat_price": draw(st.one_of(st.just(Decimal(0)), PRICES))}
        for bound in [*bounds, None]
    ]


GRADUATED = st.builds(lambda tiers: {"type": "graduated", "tiers": tiers}, tiers())
USAGE_PRICES = st.one_of(
    GRADUATED,
    st.builds(lambda tiers: {"type": "volume", "tiers": tiers}, tiers()),
    st.builds(lambda amount: {"type": "unit", "amount": amount}, PRICES),
    st.builds(lambda amount, size: {"type": "package", "amount": amount, "package_size": size}, PRICES, POSITIVE),
    st.builds(lambda factor: {"type": "dynamic", "multiplier": factor}, PRICES),
    st.builds(
        lambda rate, fixed, free: {"type": "percentage", "rate": rate, "fixed_amount": fixed, "free_events": free},
        PRICES,
        PRICES,
        st.integers(0, 20),
    ),
)
FLAT_PRICES = st.builds(
    lambda amount, term, seats: {"type": "flat", "amount": amount, "payment_term": term, "quantity": seats},
    PRICES,
    st.sampled_from(["in_advance", "in_arrears"]),
    st.integers(0, 50),
)
CONVERSIONS = st.builds(
    lambda factor, name, rounding: {name: factor, "rounding": rounding},
    POSITIVE,
    st.sampled_from(["divide_by", "multiply_by"]),
    st.sampled_from(["ceiling", "floor", "half_up", "none"]),
)
PERCENTAGES = st.one_of(st.just(Decimal(0)), st.just(Decimal(100)), decimals(most=10**4, places=2)).filter(
    lambda p: p <= 100
)
COMMITMENTS = st.builds(
    lambda low, high: {"minimum_amount": min(low, high), "maximum_amount": max(low, high)}, PRICES, PRICES
)


@st.composite
def usage_cards(draw: st.DrawFn) -> RatingTerms:
    return RatingTerms.model_validate(
        {
            "price": draw(USAGE_PRICES),
            "unit_conversion": draw(st.none() | CONVERSIONS),
            "discounts": {"percentage": draw(PERCENTAGES), "usage": draw(st.just(Decimal(0)) | POSITIVE)},
            "commitments": draw(st.none() | COMMITMENTS),
        }
    )


@st.composite
def flat_cards(draw: st.DrawFn) -> RatingTerms:
    return RatingTerms.model_validate(
        {"price": draw(FLAT_PRICES), "discounts": draw(st.none() | st.just({"percentage": "12.5"}))}
    )


CARDS = usage_cards() | flat_cards()
OPTIONS = st.builds(
    RatingOptions,
    event_count=st.integers(0, 100),
    already_billed_quantity=st.none() | QUANTITIES,
    complete=st.booleans(),
    period_fraction=st.just(1) | FRACTIONS,
)


@thoroughly
@given(GRADUATED, PERCENTAGES, st.tuples(QUANTITIES, QUANTITIES), CURRENCIES)
def test_a_graduated_price_never_falls_when_usage_grows(
    price: dict[str, Any], percentage: Decimal, quantities: tuple[Decimal, Decimal], currency: str
) -> None:
    card = RatingTerms.model_validate({"price": price, "discounts": {"percentage": percentage}})
    less, more = (rate(card, currency, quantity).total_minor for quantity in sorted(quantities))
    assert less <= more


@thoroughly
@given(CARDS, st.lists(st.tuples(QUANTITIES, st.integers(0, 100)), min_size=1, max_size=4), FRACTIONS, CURRENCIES)
def test_progressive_invoices_add_up_to_the_unsplit_total(
    card: RatingTerms, cuts: list[tuple[Decimal, int]], fraction: Any, currency: str
) -> None:
    billed: Decimal | None = None
    charged = 0
    for place, (quantity, events) in enumerate(cuts):
        is_last = place == len(cuts) - 1
        options = RatingOptions(events, billed, complete=is_last, period_fraction=fraction)
        charged += rate(card, currency, quantity, options=options).total_minor
        billed = quantity
    whole = rate(card, currency, cuts[-1][0], options=RatingOptions(event_count=cuts[-1][1], period_fraction=fraction))
    assert charged == whole.total_minor


@thoroughly
@given(CARDS, QUANTITIES, OPTIONS, CURRENCIES)
def test_lines_add_up_to_the_total_and_hold_no_float(
    card: RatingTerms, quantity: Decimal, options: RatingOptions, currency: str
) -> None:
    rated = rate(card, currency, quantity, options=options)
    for line in rated.lines:
        assert [type(line.quantity), type(line.unit_price), type(line.amount_minor)] == [Decimal, Decimal, int]
    statement = statement_of(rated, currency)
    assert sum(Fraction(line["amount"]) for line in statement["lines"]) == Fraction(statement["total"])
    exponent = currency_exponent(currency)
    for amount in [statement["total"], *(line["amount"] for line in statement["lines"])]:
        assert len(amount.partition(".")[2]) == exponent
        assert amount.lstrip("-").replace(".", "").isdecimal()


@briefly
@given(usage_cards(), QUANTITIES, FRACTIONS, CURRENCIES)
def test_a_whole_period_stays_between_minimum_and_maximum(
    card: RatingTerms, quantity: Decimal, fraction: Any, currency: str
) -> None:
    total = rate(card, currency, quantity, options=RatingOptions(period_fraction=fraction)).total_minor
    scale = 10 ** currency_exponent(currency)
    assert total >= 0
    if card.commitments is not None:
        assert card.commitments.minimum_amount is not None
        assert card.commitments.maximum_amount is not None
        assert total >= math.floor(card.commitments.minimum_amount * scale * fraction.numerator / fraction.denominator)
        assert total <= math.ceil(card.commitments.maximum_amount * scale)


@briefly
@given(CARDS, QUANTITIES, OPTIONS, CURRENCIES)
def test_the_callers_decimal_context_changes_nothing(
    card: RatingTerms, quantity: Decimal, options: RatingOptions, currency: str
) -> None:
    def rated() -> Rated:
        return rate(card, currency, quantity, options=options)

    expected = rated()
    with localcontext() as context:
        context.prec = 2
        assert rated() == expected


@briefly
@given(CARDS)
def test_a_stored_card_is_read_back_the_same(card: RatingTerms) -> None:
    assert RatingTerms.model_validate(card.model_dump(mode="json")) == card
    assert RatingTerms.model_validate_json(card.model_dump_json()) == card


@briefly
@given(st.lists(st.integers(1, 40), min_size=1, max_size=4, unique=True).map(sorted), st.data())
def test_graduated_is_the_sum_over_units_each_in_its_own_tier(bounds: list[int], data: st.DataObject) -> None:
    cents = data.draw(st.lists(st.integers(0, 500), min_size=len(bounds) + 1, max_size=len(bounds) + 1))
    quantity = data.draw(st.integers(0, 60))
    price = {
        "type": "graduated",
        "tiers": [
            {"up_to": bound, "unit_price": Decimal(cent).scaleb(-2)}
            for bound, cent in zip([*bounds, None], cents, strict=True)
        ],
    }
    by_unit = sum(cents[sum(bound < unit for bound in bounds)] for unit in range(1, quantity + 1))
    assert rate(RatingTerms.model_validate({"price": price}), "USD", Decimal(quantity)).total_minor == by_unit


@briefly
@given(usage_cards(), QUANTITIES, CURRENCIES)
def test_discounts_and_cuts_are_negative_and_all_else_is_not(
    card: RatingTerms, quantity: Decimal, currency: str
) -> None:
    for line in rate(card, currency, quantity).lines:
        is_cut = line.kind in {LineKind.DISCOUNT, LineKind.MAXIMUM_SPEND}
        assert line.amount_minor < 0 if is_cut else line.amount_minor >= 0


def test_the_source_of_rating_holds_no_float() -> None:
    folder = Path(tollkeeper.rating.__file__).parent
    guilty = []
    for path in sorted(folder.glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, float):
                guilty.append(f"{path.name}:{node.lineno} {node.value}")
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "float":
                guilty.append(f"{path.name}:{node.lineno} float()")
            if isinstance(node, ast.Attribute) and node.attr in {"total_seconds", "timestamp"}:
                guilty.append(f"{path.name}:{node.lineno} .{node.attr}")
    assert not guilty
