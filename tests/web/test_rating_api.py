"""POST /api/v1/rating/preview."""

from collections.abc import Callable
from typing import Any

import pytest
from flask.testing import FlaskClient

KeyFor = Callable[..., dict[str, str]]
URL = "/api/v1/rating/preview"
GRADUATED = {
    "type": "graduated",
    "tiers": [{"up_to": "1000", "unit_price": "0"}, {"up_to": None, "unit_price": "0.01"}],
}


@pytest.fixture
def database_url(sqlite_template: Any, tmp_path: Any) -> str:
    """A price preview reads no table beside the keys, so one engine says it all."""
    path = tmp_path / "tollkeeper.db"
    path.write_bytes(sqlite_template.read_bytes())
    return f"sqlite:///{path}"


def test_the_answer_is_lines_and_their_total(client: FlaskClient, key_for: KeyFor) -> None:
    body = {"currency": "USD", "rate_card": {"price": GRADUATED}, "quantity": "1500"}
    answer = client.post(URL, json=body, headers=key_for("read"))
    assert answer.status_code == 200
    assert answer.get_json() == {
        "lines": [
            {
                "kind": "usage",
                "description": "Tier 1: up to 1000",
                "quantity": "1000",
                "unit_price": "0",
                "amount": "0.00",
            },
            {
                "kind": "usage",
                "description": "Tier 2: above 1000",
                "quantity": "500",
                "unit_price": "0.01",
                "amount": "5.00",
            },
        ],
        "total": "5.00",
    }


def test_a_whole_rate_card_is_taken(client: FlaskClient, key_for: KeyFor) -> None:
    card = {
        "key": "calls",
        "feature": "no_such_feature",
        "price": GRADUATED,
        "billing_cadence": "P1M",
        "unit_conversion": {"divide_by": "1", "rounding": "ceiling"},
        "discounts": {"percentage": "10", "usage": "100"},
        "commitments": {"minimum_amount": "50.00", "maximum_amount": "500.00"},
        "entitlement": {"type": "metered", "limit": "1000"},
        "tax_code": "saas",
    }
    body = {"currency": "USD", "rate_card": card, "quantity": "1500"}
    # 1400 units: 4.00, less 0.40, filled up to 50.00
    answer = client.post(URL, json=body, headers=key_for("read")).get_json()
    assert [(line["kind"], line["amount"]) for line in answer["lines"]] == [
        ("usage", "0.00"),
        ("usage", "4.00"),
        ("discount", "-0.40"),
        ("minimum_commitment", "46.40"),
    ]
    assert answer["total"] == "50.00"


@pytest.mark.parametrize(
    ("options", "total"),
    [
        ({"already_billed_quantity": "1200"}, "3.00"),
        ({"already_billed_quantity": None}, "5.00"),
        ({"already_billed_quantity": "1600"}, "-1.00"),
        ({"complete": False}, "5.00"),
    ],
)
def test_progressive_billing_is_asked_for_by_options(
    client: FlaskClient, key_for: KeyFor, options: dict[str, Any], total: str
) -> None:
    body = {"currency": "USD", "rate_card": {"price": GRADUATED}, "quantity": "1500", **options}
    assert client.post(URL, json=body, headers=key_for("read")).get_json()["total"] == total


def test_events_are_counted_for_a_percentage_price(client: FlaskClient, key_for: KeyFor) -> None:
    price = {"type": "percentage", "rate": "1.5", "fixed_amount": "0.10", "free_events": "10"}
    body = {"currency": "USD", "rate_card": {"price": price}, "quantity": "200", "event_count": 12}
    assert client.post(URL, json=body, headers=key_for("read")).get_json()["total"] == "3.20"


@pytest.mark.parametrize(("currency", "total"), [("JPY", "4"), ("KWD", "3.750")])
def test_amounts_have_the_decimals_of_the_currency(
    client: FlaskClient, key_for: KeyFor, currency: str, total: str
) -> None:
    body = {"currency": currency, "rate_card": {"price": {"type": "unit", "amount": "0.0025"}}, "quantity": "1500"}
    assert client.post(URL, json=body, headers=key_for("read")).get_json()["total"] == total


def test_a_flat_price_needs_no_quantity(client: FlaskClient, key_for: KeyFor) -> None:
    body = {"currency": "EUR", "rate_card": {"price": {"type": "flat", "amount": "20"}}}
    assert client.post(URL, json=body, headers=key_for("read")).get_json()["total"] == "20.00"


@pytest.mark.parametrize(
    ("price", "paths"),
    [
        (
            {"type": "package", "amount": "1", "package": "9"},
            ["/rate_card/price/package_size", "/rate_card/price/package"],
        ),
        ({"type": "monthly", "amount": "1"}, ["/rate_card/price/type"]),
        ({"amount": "1"}, ["/rate_card/price/type"]),
    ],
)
def test_a_wrong_price_is_named_where_it_is_wrong(
    client: FlaskClient, key_for: KeyFor, price: dict[str, str], paths: list[str]
) -> None:
    body = {"currency": "USD", "rate_card": {"price": price}, "quantity": "1"}
    answer = client.post(URL, json=body, headers=key_for("read"))
    assert answer.status_code == 422
    assert [error["path"] for error in answer.get_json()["errors"]] == paths


def test_every_wrong_field_is_named(client: FlaskClient, key_for: KeyFor) -> None:
    tiers = [{"up_to": "9", "unit_price": 0.5}, {"up_to": "8", "unit_price": "1"}, {"unit_price": "1", "x": 1}]
    card = {
        "price": {"type": "volume", "tiers": tiers},
        "commitments": {"minimum_amount": "2", "maximum_amount": "1"},
        "entitlement": {"type": "metered"},
    }
    body = {"currency": "usd", "rate_card": card, "complete": "no", "event_count": -1}
    answer = client.post(URL, json=body, headers=key_for("read"))
    assert (answer.status_code, answer.mimetype) == (422, "application/problem+json")
    assert sorted(error["path"] for error in answer.get_json()["errors"]) == [
        "/complete",
        "/currency",
        "/event_count",
        "/quantity",
        "/rate_card/commitments/minimum_amount",
        "/rate_card/entitlement/limit",
        "/rate_card/price/tiers/0/unit_price",
        "/rate_card/price/tiers/1/up_to",
        "/rate_card/price/tiers/2/x",
    ]


@pytest.mark.parametrize("quantity", [1.5, "NaN", "1e400", "", None, True, {}])
def test_a_quantity_that_is_no_decimal_is_refused(client: FlaskClient, key_for: KeyFor, quantity: Any) -> None:
    body = {"currency": "USD", "rate_card": {"price": GRADUATED}, "quantity": quantity}
    answer = client.post(URL, json=body, headers=key_for("read"))
    assert answer.status_code == 422
    assert [error["path"] for error in answer.get_json()["errors"]] == ["/quantity"]


@pytest.mark.parametrize("body", [[], "card", 7])
def test_a_body_that_is_no_object_is_refused(client: FlaskClient, key_for: KeyFor, body: Any) -> None:
    assert client.post(URL, json=body, headers=key_for("read")).status_code == 422


def test_a_preview_needs_a_key_that_may_read(client: FlaskClient, key_for: KeyFor) -> None:
    body = {"currency": "USD", "rate_card": {"price": GRADUATED}, "quantity": "1"}
    assert client.post(URL, json=body).status_code == 401
    assert client.post(URL, json=body, headers=key_for("ingest")).status_code == 403
