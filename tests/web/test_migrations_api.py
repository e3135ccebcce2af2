"""Migrating all of a plan, with a preview of the money, through the door."""

from collections.abc import Callable

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select

from tests.shop import add_customer, add_feature, add_plan, at, flat, per_unit, use
from tollkeeper.customers.customers import update_customer
from tollkeeper.invoices.legal_entities import save_legal_entity
from tollkeeper.invoices.tables import DEFAULT_LEGAL_ENTITY
from tollkeeper.storage.session import Database
from tollkeeper.subscriptions.subscribe import subscribe
from tollkeeper.subscriptions.tables import SubscriptionTerm

Headers = Callable[..., dict[str, str]]


MARCH = at("2026-03-01")


@pytest.fixture
def shop(database: Database) -> list[str]:
    """Three customers on version 1: 20.00 and 0.01 a call; version 2 takes 30.00 and 0.02. acme used 100 calls."""
    with database.transaction() as session:
        add_feature(session, "calls")
        add_plan(session, "pro", flat(), per_unit("calls", "calls"))
        made = []
        for key in ("acme", "globex", "initech"):
            add_customer(session, key, f"{key}-app")
            made.append(subscribe(session, key, "pro", start=MARCH, now=MARCH).id)
        use(session, "acme-app", at("2026-03-05"), 100)
        add_plan(session, "pro", flat(amount="30.00"), per_unit("calls", "calls", "0.02"))
    return made


def terms(database: Database) -> int:
    with database.snapshot() as session:
        return len(session.scalars(select(SubscriptionTerm)).all())


def test_the_preview_says_what_each_customer_would_pay_and_changes_nothing(
    shop: list[str], database: Database, client: FlaskClient, key_for: Headers
) -> None:
    answer = client.get("/api/v1/plans/pro/migration?at=period_end&limit=2", headers=key_for("read"))
    page = answer.get_json()
    acme, globex = page["items"]
    # this month's fee and calls by version 1 (20.00 + 1.00), next month's fee: 20.00 or 30.00
    assert acme["before"] == {"next_invoice": "41.00", "whole_period": "21.00"}
    assert acme["after"] == {"next_invoice": "51.00", "whole_period": "32.00"}
    assert (globex["customer"], globex["before"]["next_invoice"], globex["after"]["next_invoice"]) == (
        "globex",
        "40.00",
        "50.00",
    )
    rest = client.get(f"/api/v1/plans/pro/migration?limit=2&cursor={page['next_cursor']}", headers=key_for("read"))
    assert [one["customer"] for one in rest.get_json()["items"]] == ["initech"]
    assert terms(database) == 3


def test_one_whose_tax_is_not_known_keeps_no_other_from_being_previewed(
    shop: list[str], database: Database, client: FlaskClient, key_for: Headers
) -> None:
    with database.transaction() as session:
        save_legal_entity(session, DEFAULT_LEGAL_ENTITY, {"address": {"country": "DE"}, "tax_mode": "own"})
        update_customer(session, "globex", {"tax_exemption": "exempt"})
        update_customer(session, "initech", {"tax_exemption": "exempt"})
    answer = client.get("/api/v1/plans/pro/migration?at=period_end", headers=key_for("read"))
    assert answer.status_code == 200
    acme, globex, initech = answer.get_json()["items"]
    assert acme["problem"] == "the tax of 'acme' is not known: its address has no country; set it"
    assert [one["after"]["next_invoice"] for one in (globex, initech)] == ["50.00", "50.00"]


def test_a_run_that_stopped_goes_on_and_a_repeat_moves_nobody_twice(
    shop: list[str], database: Database, client: FlaskClient, key_for: Headers
) -> None:
    headers = key_for("write", "read")
    first = client.post("/api/v1/plans/pro/migrate", headers=headers, json={"limit": 2}).get_json()
    assert (first["moved"], first["refused"]) == (shop[:2], [])
    # it died here and lost the cursor
    again = client.post("/api/v1/plans/pro/migrate", headers=headers, json={}).get_json()
    assert (again["moved"], again["already"], again["next_cursor"]) == (shop[2:], shop[:2], None)
    assert terms(database) == 6
    concerned = client.get("/api/v1/plans/pro/subscriptions?version=2", headers=headers).get_json()["items"]
    assert [one["id"] for one in concerned] == shop
    assert {one["plan_version"] for one in concerned} == {1}
    assert {one["planned"][0]["detail"] for one in concerned} == {"pro, version 2"}


def test_one_that_cannot_be_moved_is_told_of_and_the_others_are_moved(
    shop: list[str], database: Database, client: FlaskClient, key_for: Headers
) -> None:
    headers = key_for("write")
    client.post(f"/api/v1/subscriptions/{shop[1]}/cancel", headers=headers, json={})
    answer = client.post("/api/v1/plans/pro/migrate", headers=headers, json={}).get_json()
    assert answer["moved"] == [shop[0], shop[2]]
    assert answer["refused"] == [{"subscription": shop[1], "reason": "the subscription ends before that time"}]


def test_one_subscription_is_migrated_now(shop: list[str], client: FlaskClient, key_for: Headers) -> None:
    path = f"/api/v1/subscriptions/{shop[0]}/migrate"
    moved = client.post(path, headers=key_for("write"), json={"at": "now"}).get_json()
    assert (moved["plan_version"], moved["plan"]) == (2, "pro")
