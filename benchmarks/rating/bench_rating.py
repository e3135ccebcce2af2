"""What rating costs: microseconds per rate card by model, and how the cost grows with the number of tiers.

    make bench-rating

Times are CPU time, the best of several runs, on a card that is read already; reading a card from its stored
JSON is measured beside.
"""

import time
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from tollkeeper.rating.rate import rate
from tollkeeper.rating.terms import RatingTerms
from tollkeeper.rating.types import RatingOptions

REPEATS = 5
BUDGET_SECONDS = 0.05  # of each run


def tiers(count: int) -> list[dict[str, Any]]:
    bounds = [str(1000 * (place + 1)) for place in range(count - 1)]
    return [{"up_to": bound, "unit_price": "0.0123", "flat_price": "0.50"} for bound in [*bounds, None]]


CARDS: dict[str, dict[str, Any]] = {
    "flat": {"price": {"type": "flat", "amount": "20.00"}},
    "unit": {"price": {"type": "unit", "amount": "0.0025"}},
    "graduated, 3 tiers": {"price": {"type": "graduated", "tiers": tiers(3)}},
    "volume, 3 tiers": {"price": {"type": "volume", "tiers": tiers(3)}},
    "package": {"price": {"type": "package", "amount": "5.00", "package_size": "1000"}},
    "dynamic": {"price": {"type": "dynamic", "multiplier": "1.2"}},
    "percentage": {"price": {"type": "percentage", "rate": "1.5", "fixed_amount": "0.10", "free_events": "10"}},
    "unit, with everything": {
        "price": {"type": "unit", "amount": "0.25"},
        "unit_conversion": {"divide_by": "1000", "rounding": "ceiling"},
        "discounts": {"usage": "100", "percentage": "10"},
        "commitments": {"minimum_amount": "50.00", "maximum_amount": "500.00"},
    },
}


def microseconds(act: Callable[[], object]) -> float:
    start = time.process_time()
    act()
    calls = max(1, int(BUDGET_SECONDS / (time.process_time() - start)))
    best = float("inf")
    for _ in range(REPEATS):
        start = time.process_time()
        for _ in range(calls):
            act()
        best = min(best, time.process_time() - start)
    return best / calls * 1e6


def report(name: str, document: dict[str, Any], quantity: Decimal) -> None:
    card = RatingTerms.model_validate(document)
    stored = card.model_dump(mode="json")
    progressive = RatingOptions(event_count=20, already_billed_quantity=quantity / 2)
    whole = microseconds(lambda: rate(card, "USD", quantity, options=RatingOptions(event_count=20)))
    split = microseconds(lambda: rate(card, "USD", quantity, options=progressive))
    read = microseconds(lambda: RatingTerms.model_validate(stored))
    print(f"{name:24} {whole:10.1f} {split:14.1f} {read:12.1f}")


def main() -> None:
    print(f"{'rate card':24} {'rate, us':>10} {'progressive':>14} {'read, us':>12}")
    for name, document in CARDS.items():
        report(name, document, Decimal("2500000.5"))
    print()
    for count in (1, 10, 100, 1000):
        for model in ("graduated", "volume"):
            document = {"price": {"type": model, "tiers": tiers(count)}}
            report(f"{model}, {count} tiers", document, Decimal(1000 * count + 1))


if __name__ == "__main__":
    main()
