"""One subscription's page: every act by its form, and what is refused is said."""

import re

import pytest

from tests.shop import add_add_on, flat
from tests.web.visitor import Visitor
from tollkeeper.storage.session import Database

ON = "/admin/customers/tess"


@pytest.fixture
def page(ada: Visitor, books_database: Database) -> str:
    """The page of a subscription to Start-up from 18 March, 14:30."""
    with books_database.transaction() as session:
        add_add_on(session, "care", flat(amount="9.00"), instances="multiple", currency="USD")
    ada.submit(f"{ON}/subscriptions", on=ON, plan="start-up", start="")
    paths = re.findall(rf'href="({ON}/subscriptions/[^"]+)"', ada.get(ON).get_data(as_text=True))
    return str(paths[-1])


def test_the_page_tells_plan_prices_and_what_is_to_come(ada: Visitor, page: str) -> None:
    text = ada.text(page)
    assert "Start-up, version 1" in text
    assert "Nothing is planned." in text
    ada.submit(f"{page}/end", on=page, when="period_end", at="", credit="no")
    assert "cancel: without credit, 18 Apr 2026, 14:30 UTC" in ada.text(page)


def test_an_add_on_is_attached_counted_and_detached(ada: Visitor, page: str) -> None:
    ada.submit(f"{page}/add-on", on=page, add_on="care", quantity="2", when="now", at="", until="")
    text = ada.text(page)
    assert "care care , version 1 2 18 Mar 2026, 14:30 UTC open" in text
    assert "care/fee $9.00, in advance each month" in text
    ada.submit(f"{page}/add-on-quantity", on=page, add_on="care", quantity="0", when="period_end", at="")
    assert "add on: 0 care, 18 Apr 2026, 14:30 UTC" in ada.text(page)
    refused = ada.submit(f"{page}/add-on", on=page, add_on="care", quantity="1", when="now", at="", until="")
    assert refused.status_code == 422
    assert "is attached from" in refused.get_data(as_text=True)


def test_a_price_is_agreed_and_shown_as_its_own(ada: Visitor, page: str) -> None:
    terms = '{"price": {"type": "flat", "amount": "15.00"}}'
    ada.submit(f"{page}/own-price", on=page, act="add", rate_card="hosting", terms=terms, when="now", at="")
    text = ada.text(page)
    assert "hosting own price $15.00, in advance each month" in text
    refused = ada.submit(f"{page}/own-price", on=page, act="set", rate_card="hosting", terms="{", when="now", at="")
    assert refused.status_code == 422
    assert "is no JSON" in refused.get_data(as_text=True)


def test_plan_and_pause_are_planned_for_a_date(ada: Visitor, page: str) -> None:
    ada.submit(f"{page}/hold", on=page, when="now", at="2026-04-01T00:00", until="2026-04-02T00:00")
    text = ada.text(page)
    assert "pause, 1 Apr 2026, 00:00 UTC" in text
    assert "resume, 2 Apr 2026, 00:00 UTC" in text


def test_another_customer_s_subscription_is_not_there(ada: Visitor, page: str) -> None:
    other = page.replace("/tess/", "/kong-air/")
    assert ada.get(other).status_code == 404
    assert ada.submit(f"{other}/end", on=page, when="now", at="", credit="yes").status_code in {404, 422}
    assert "active" in ada.text(page)
