"""Read a plan from a line of a story: `plan pro: 20.00 EUR per month, 1000 requests included, then 0.01 EUR each`."""

import re
from typing import Any

CADENCES = {"day": "P1D", "week": "P1W", "month": "P1M", "quarter": "P3M", "year": "P1Y"}
NUMBER = r"([\d.]+)"
Cards = list[dict[str, Any]]


def read_plan(name: str, text: str) -> dict[str, Any]:
    """Return the plan's content as its JSON.

    Phases are separated by ` ; `, a trial is `P14D: free`; `interim invoices at 5.00 EUR` stands last.
    """
    phases = []
    currency = (re.search(r"\b([A-Z]{3})\b", text) or ["", "USD"])[1]
    text, _, threshold = text.partition(", interim invoices at ")
    for index, part in enumerate(text.split(" ; ")):
        duration, _, rest = part.rpartition(": ") if re.match(r"P\d+[DWMY]: ", part) else (None, "", part)
        phases.append({"key": f"phase{index}", "duration": duration, "rate_cards": read_cards(rest)})
    content = {"name": name.capitalize(), "currency": currency, "phases": phases}
    return content | ({"billing_thresholds": {currency: threshold.split()[0]}} if threshold else {})


def read_cards(text: str) -> Cards:
    """Return the rate cards of clauses like `5.00 EUR per 1000 calls`; some clauses change the card before them."""
    cards: Cards = []
    for clause in text.split(", "):
        for pattern, read in CLAUSES:
            match = re.fullmatch(pattern, clause)
            if match:
                read(cards, *match.groups())
                break
        else:
            raise AssertionError(f"no clause of a plan: {clause!r}")
    return cards


def read_agreement(text: str) -> tuple[str, str, dict[str, Any]]:
    """Return act, rate card and terms of a price of one customer's own: `the list price of fee`, `no fee`, a clause."""
    match = re.fullmatch(r"(the list price of|no) (\w+)", text)
    if match:
        return "reset" if match[1] != "no" else "drop", match[2], {}
    further = text.removeprefix("further ")
    (card,) = read_cards(further)
    key = card.pop("key")
    if further != text:
        return "add", key, card
    return "set", key, {name: card[name] for name in ("price", "discounts", "commitments") if name in card}


def _flat(cards: Cards, count: str | None, amount: str, cadence: str, name: str | None, term: str | None) -> None:
    price = {"type": "flat", "amount": amount, "payment_term": "in_arrears" if term else "in_advance"}
    if count:
        price["quantity"] = count
    cards.append({"key": name or "fee", "billing_cadence": CADENCES[cadence], "price": price})


def _usage(cards: Cards, unit: str, price: dict[str, Any]) -> None:
    cards.append({"key": unit, "feature": unit, "price": price})


def _included(cards: Cards, quantity: str, unit: str) -> None:
    _usage(cards, unit, {"type": "graduated", "tiers": [{"up_to": quantity, "unit_price": "0"}]})


def _then(cards: Cards, amount: str) -> None:
    cards[-1]["price"]["tiers"].append({"up_to": None, "unit_price": amount})


def _unit(cards: Cards, amount: str, unit: str) -> None:
    _usage(cards, unit, {"type": "unit", "amount": amount})


def _package(cards: Cards, amount: str, size: str, unit: str) -> None:
    _usage(cards, unit, {"type": "package", "amount": amount, "package_size": size})


def _percentage(cards: Cards, rate: str, unit: str, fixed: str | None, free: str | None) -> None:
    price = {"type": "percentage", "rate": rate}
    price |= {"fixed_amount": fixed} if fixed else {}
    price |= {"free_events": free} if free else {}
    _usage(cards, unit, price)


def _dynamic(cards: Cards, unit: str, multiplier: str) -> None:
    _usage(cards, unit, {"type": "dynamic", "multiplier": multiplier})


def _tiers(cards: Cards, unit: str, kind: str, text: str) -> None:
    tiers = []
    for tier in text.split(" | "):
        match = re.fullmatch(rf"(?:to {NUMBER}|above) at {NUMBER}(?: plus {NUMBER})?", tier)
        assert match, tier
        up_to, unit_price, flat_price = match.groups()
        tiers.append({"up_to": up_to, "unit_price": unit_price} | ({"flat_price": flat_price} if flat_price else {}))
    _usage(cards, unit, {"type": kind, "tiers": tiers})


def _add(cards: Cards, field: str, name: str, value: str) -> None:
    cards[-1].setdefault(field, {})[name] = value


def _tax_code(cards: Cards, code: str) -> None:
    cards[-1]["tax_code"] = code


CLAUSES: list[tuple[str, Any]] = [
    ("free", lambda cards: None),
    (rf"(?:{NUMBER} x )?{NUMBER} [A-Z]{{3}} per (day|week|month|quarter|year)(?: for (\w+))?( in arrears)?", _flat),
    (rf"{NUMBER} (\w+) included", _included),
    (rf"then {NUMBER} [A-Z]{{3}} each", _then),
    (rf"{NUMBER} [A-Z]{{3}} per {NUMBER} (\w+)", _package),
    (rf"{NUMBER} [A-Z]{{3}} each of (\w+)", _unit),
    (rf"{NUMBER} % of (\w+)(?: and {NUMBER} [A-Z]{{3}} each)?(?:; {NUMBER} free)?", _percentage),
    (rf"cost of (\w+) times {NUMBER}", _dynamic),
    (r"(\w+) (graduated|volume) (.+)", _tiers),
    (r"taxed as (\w+)", _tax_code),
    (rf"at least {NUMBER} [A-Z]{{3}}", lambda cards, value: _add(cards, "commitments", "minimum_amount", value)),
    (rf"at most {NUMBER} [A-Z]{{3}}", lambda cards, value: _add(cards, "commitments", "maximum_amount", value)),
    (rf"{NUMBER} % off", lambda cards, value: _add(cards, "discounts", "percentage", value)),
    (rf"{NUMBER} units free", lambda cards, value: _add(cards, "discounts", "usage", value)),
    (
        rf"billed by {NUMBER} rounded up",
        lambda cards, value: cards[-1].update(unit_conversion={"divide_by": value, "rounding": "ceiling"}),
    ),
    (
        r"billed every (day|week|month|quarter|year)",
        lambda cards, value: cards[-1].update(billing_cadence=CADENCES[value]),
    ),
]
