"""Usage that is nobody's comes with an estimate of what it is worth on a plan that is sold."""

from collections.abc import Callable

import pytest
from flask.testing import FlaskClient

from tests.shop import T0, add_customer, add_feature, add_plan, at, flat, per_unit, use
from tollkeeper.customers.map_consumer import map_consumer
from tollkeeper.storage.session import Database
from tollkeeper.subscriptions.subscribe import subscribe


@pytest.fixture
def shop(database: Database) -> None:
    """
    acme is on cheap: a fee of 20.00 USD, and 0.01 a call; nobody is on dear: 0.10 EUR a call
    stray made 7 calls on 5 January and 3 on 20 January, acme's from 10 January on; lost made 2
    """
    with database.transaction() as session:
        add_feature(session, "calls")
        add_plan(session, "dear", per_unit("calls", "calls", "0.10"), currency="EUR")
        add_plan(session, "cheap", flat(amount="20.00"), per_unit("calls", "calls", "0.01"))
        add_customer(session, "acme")
        subscribe(session, "acme", "cheap", start=T0, now=T0)
        for consumer, day, count in [("stray", "05", 7), ("stray", "20", 3), ("lost", "07", 2)]:
            use(session, consumer, at(f"2026-01-{day}"), count)
        map_consumer(session, "acme", "subject", "consumer:stray", since=at("2026-01-10"), now=at("2026-01-21"))


@pytest.mark.usefixtures("shop")
@pytest.mark.parametrize(
    ("query", "plan", "currency", "estimates"),
    [
        ({}, "cheap", "USD", {"consumer:stray": "0.07", "consumer:lost": "0.02"}),
        ({"plan": "dear"}, "dear", "EUR", {"consumer:stray": "0.70", "consumer:lost": "0.20"}),
    ],
)
def test_unmapped_usage_is_estimated_on_the_plan_that_most_have_or_on_another(
    client: FlaskClient,
    key_for: Callable[..., dict[str, str]],
    query: dict[str, str],
    plan: str,
    currency: str,
    estimates: dict[str, str],
) -> None:
    answer = client.get("/api/v1/usage/unmapped", query_string=query, headers=key_for("read")).json
    assert answer is not None
    assert (answer["estimated_on"], answer["currency"]) == (plan, currency)
    assert {one["subject"]: one["estimate"] for one in answer["items"]} == estimates


@pytest.mark.usefixtures("shop")
def test_an_estimate_on_a_plan_that_is_not_sold_is_refused(
    client: FlaskClient, key_for: Callable[..., dict[str, str]]
) -> None:
    answer = client.get("/api/v1/usage/unmapped?plan=gold", headers=key_for("read"))
    assert answer.status_code == 422
    assert answer.json is not None
    assert answer.json["errors"][0]["path"] == "/plan"
