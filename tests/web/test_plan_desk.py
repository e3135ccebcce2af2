"""A plan's desk: draft, check, publish, try prices, see what changed and whom it concerns, migrate."""

import json

from tests.web.visitor import Visitor, text_of

SPEC = {
    "name": "Club",
    "currency": "USD",
    "phases": [{"key": "main", "rate_cards": [{"key": "fee", "price": {"type": "flat", "amount": "20.00"}}]}],
    "other_currencies": {"EUR": {"main": {"fee": {"price": {"type": "flat", "amount": "18.00"}}}}},
}
NEW = "/admin/plans/new"


def dearer(amount: str) -> str:
    card = {"key": "fee", "price": {"type": "flat", "amount": amount}}
    return json.dumps({"name": "Club", "currency": "USD", "phases": [{"key": "main", "rate_cards": [card]}]})


def test_a_plan_is_checked_saved_and_published_on_its_page(ada: Visitor) -> None:
    write = "/admin/plans/draft"
    checked = ada.submit(write, on=NEW, key="club", spec=json.dumps(SPEC), act="check", **{"from": ""})
    assert "Nothing is wrong; nothing is saved." in text_of(checked)
    assert ada.get("/admin/plans/club").status_code == 404
    ada.submit(write, on=NEW, key="club", spec=json.dumps(SPEC), act="save", **{"from": ""})
    assert "version 1 draft" in ada.text("/admin/plans/club")
    ada.submit(write, on=NEW, key="club", spec=json.dumps(SPEC), act="publish", **{"from": ""})
    text = ada.text("/admin/plans/club/versions/1?currency=EUR")
    assert "€18.00, in advance" in text
    assert "None holds this version." in text


def test_every_wrong_field_is_named_and_nothing_is_saved(ada: Visitor) -> None:
    wrong = SPEC | {"currency": "XXZ", "phases": []}
    answer = ada.submit(
        "/admin/plans/draft", on=NEW, key="wrong", spec=json.dumps(wrong), act="publish", **{"from": ""}
    )
    assert answer.status_code == 422
    text = text_of(answer)
    assert "/currency" in text
    assert "/phases" in text
    assert ada.get("/admin/plans/wrong").status_code == 404
    broken = ada.submit("/admin/plans/draft", on=NEW, key="wrong", spec="{", act="save", **{"from": ""})
    assert "is no JSON" in text_of(broken)


def test_a_plan_s_page_prices_usage(ada: Visitor) -> None:
    # 500 free, 500 at 0.01, 500 at 0.0075: 5.00 + 3.75, and the fee of 20.00
    assert "Total $28.75" in ada.text("/admin/plans/start-up/versions/1?use.flights_ok=1500")
    assert "is no decimal number" in ada.text("/admin/plans/start-up/versions/1?use.flights_ok=many")


def test_the_next_version_says_what_changed_whom_it_concerns_and_what_a_move_means(ada: Visitor) -> None:
    write = "/admin/plans/draft"
    ada.submit(write, on=NEW, key="club", spec=dearer("20.00"), act="publish", **{"from": ""})
    tess = "/admin/customers/tess"
    ada.submit(f"{tess}/subscriptions", on=tess, plan="club", start="2026-03-01T00:00")
    ada.submit(write, on=NEW, key="club", spec=dearer("31.00"), act="publish", **{"from": "club"})
    page = ada.text("/admin/plans/club/versions/2")
    assert 'rate_cards/fee/price/amount "20.00" "31.00"' in page
    assert "version 1: 1" in page
    assert "Tess" in ada.text("/admin/plans/club/versions/1")
    # March and April by version 1: 40.00; April by version 2: 51.00
    moved = ada.text("/admin/plans/club/migration")
    assert "$40.00 $51.00 $20.00 $31.00" in moved
    ada.submit("/admin/plans/club/migration", on="/admin/plans/club/migration", at="period_end")
    assert "1 moved, 0 were there already." in ada.text("/admin/plans/club")
    ada.submit("/admin/plans/club/migration", on="/admin/plans/club/migration", at="period_end")
    assert "0 moved, 1 were there already." in ada.text("/admin/plans/club")


def test_a_draft_is_discarded(ada: Visitor) -> None:
    ada.submit("/admin/plans/draft", on=NEW, key="gone", spec=dearer("1.00"), act="save", **{"from": ""})
    ada.submit("/admin/plans/gone/draft/discard", on="/admin/plans/gone")
    assert "The draft is gone." in ada.text("/admin/plans")
