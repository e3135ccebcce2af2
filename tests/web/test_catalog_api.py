"""Features and plans over the API."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
from flask.testing import FlaskClient

from tests.catalog.conftest import PRO

KeyFor = Callable[..., dict[str, str]]
Api = Callable[..., Any]
FLIGHTS = {"key": "flights_ok", "meter": "requests", "filter": {"status": {"gte": "200", "lt": "300"}}}


@pytest.fixture
def api(client: FlaskClient, key_for: KeyFor) -> Api:
    """api("POST", "/plans", 201, body) -> the answer's JSON, after checking the status."""
    headers = key_for("read", "write")

    def call(method: str, path: str, status: int = 200, body: Any = None) -> Any:
        answer = client.open(f"/api/v1{path}", method=method, json=body, headers=headers)
        assert answer.status_code == status, answer.get_data(as_text=True)
        return answer.get_json() if answer.get_data() else None

    return call


@pytest.fixture
def sold(api: Api) -> Api:
    """The API of a backend that sells the plan pro."""
    api("POST", "/features", 201, {"key": "calls", "meter": "requests"})
    api("PUT", "/plans/pro/draft", 200, PRO)
    api("POST", "/plans/pro/publish")
    return api


def test_a_feature_is_created_shown_renamed_and_archived(api: Api) -> None:
    created = api("POST", "/features", 201, FLIGHTS)
    assert {name: created[name] for name in FLIGHTS} == FLIGHTS
    assert created["name"] == "flights_ok"
    assert api("GET", "/features/flights_ok") == created
    assert api("PATCH", "/features/flights_ok", 200, {"name": "Flights"})["name"] == "Flights"
    assert api("POST", "/features/flights_ok/archive")["archived_at"] is not None
    assert [feature["key"] for feature in api("GET", "/features")["items"]] == ["flights_ok"]


def test_a_feature_is_not_changed_by_creating_it_again(api: Api) -> None:
    created = api("POST", "/features", 201, FLIGHTS)
    assert api("POST", "/features", 201, FLIGHTS)["id"] == created["id"]
    assert api("POST", "/features", 409, {**FLIGHTS, "filter": {}})["code"] == "conflict"
    api("PATCH", "/features/flights_ok", 422, {"name": "x", "filter": {}})


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"meter": "no_such"}, "/meter"),
        ({"key": "Flights OK"}, "/key"),
        ({"filter": {"status": {"above": "1"}}}, "/filter/status/above"),
        ({"unit": "x"}, "/unit"),
    ],
)
def test_a_wrong_feature_is_refused_with_the_path(api: Api, change: dict[str, Any], path: str) -> None:
    problem = api("POST", "/features", 422, {**FLIGHTS, **change})
    assert [error["path"] for error in problem["errors"]] == [path]


def test_a_plan_goes_from_draft_to_published(api: Api) -> None:
    api("POST", "/features", 201, {"key": "calls", "meter": "requests"})
    draft = api("PUT", "/plans/pro/draft", 200, PRO)
    assert (draft["version"], draft["status"], draft["spec"]["name"]) == (1, "draft", "Pro")
    assert api("GET", "/plans/pro")["draft_version"] == 1
    published = api("POST", "/plans/pro/publish")
    assert (published["status"], published["published_at"]) == ("published", "2026-03-10T12:00:00Z")
    shown = api("GET", "/plans/pro")
    assert (shown["published_version"], shown["draft_version"], shown["currency"]) == (1, None, "USD")
    assert api("GET", "/plans/pro/versions/1") == published


def test_a_published_version_is_not_edited_in_place(sold: Api) -> None:
    assert sold("PUT", "/plans/pro/versions/1", 409, PRO)["code"] == "plan_version_is_final"
    sold("DELETE", "/plans/pro/versions/1", 409)
    sold("POST", "/plans/pro/publish", 409)


def test_versions_are_listed_and_compared(sold: Api) -> None:
    changed = copy.deepcopy(PRO)
    changed["phases"][1]["rate_cards"][0]["price"]["amount"] = "30.00"
    sold("PUT", "/plans/pro/draft", 200, changed)
    sold("POST", "/plans/pro/publish")
    first_page = sold("GET", "/plans/pro/versions?limit=1")
    assert [version["version"] for version in first_page["items"]] == [2]
    second_page = sold("GET", f"/plans/pro/versions?limit=1&cursor={first_page['next_cursor']}")
    assert [(v["version"], v["status"]) for v in second_page["items"]] == [(1, "archived")]
    assert sold("GET", "/plans/pro/diff?before=1&after=2") == {
        "changes": [{"path": "/phases/standard/rate_cards/base/price/amount", "before": "20.00", "after": "30.00"}]
    }


def test_a_draft_is_edited_and_discarded(api: Api) -> None:
    api("PUT", "/plans/pro/draft", 200, PRO)
    assert api("PUT", "/plans/pro/versions/1", 200, {**PRO, "name": "Other"})["spec"]["name"] == "Other"
    api("DELETE", "/plans/pro/versions/1", 204)
    api("GET", "/plans/pro/versions/1", 404)


def test_a_wrong_plan_is_refused_with_every_path(api: Api) -> None:
    wrong = copy.deepcopy(PRO)
    wrong["currency"] = "EURO"
    wrong["phases"][1]["rate_cards"][1]["price"]["tiers"].insert(0, {"up_to": "2000", "unit_price": 0.1})
    problem = api("PUT", "/plans/pro/draft", 422, wrong)
    assert sorted(error["path"] for error in problem["errors"]) == [
        "/currency",
        "/phases/1/rate_cards/1/price/tiers/0/unit_price",
        "/phases/1/rate_cards/1/price/tiers/1/up_to",
    ]
    api("GET", "/plans/pro", 404)


def test_a_plan_can_be_validated_without_storing_it(api: Api) -> None:
    problem = api("POST", "/plans/validate", 422, PRO)
    assert [error["path"] for error in problem["errors"]] == ["/phases/1/rate_cards/1/feature"]
    api("POST", "/features", 201, {"key": "calls", "meter": "requests"})
    assert api("POST", "/plans/validate", 200, PRO) == {"can_be_published": True}
    assert api("GET", "/plans")["items"] == []


def test_a_plan_s_key_is_checked(api: Api) -> None:
    assert api("PUT", "/plans/Pro%20plan/draft", 422, PRO)["errors"][0]["path"] == "/key"


def test_an_archived_plan_stays_readable(sold: Api) -> None:
    assert sold("POST", "/plans/pro/archive")["published_version"] is None
    assert sold("GET", "/plans/pro/versions/1")["status"] == "archived"
    sold("PUT", "/plans/pro/draft", 409, PRO)


def test_the_price_of_1500_calls_on_pro(sold: Api) -> None:
    answer = sold("POST", "/plans/pro/preview", 200, {"quantities": {"calls": "1500"}})
    assert answer["total"] == "24.50"
    assert [(card["key"], card["total"]) for card in answer["rate_cards"]] == [("base", "20.00"), ("calls", "4.50")]
    assert sold("POST", "/plans/pro/preview", 200, {"phase": "trial", "version": 1})["total"] == "0.00"


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({"quantities": {"calls": 1.5}}, "/quantities/calls"),
        ({"quantities": {"flights": "1"}}, "/quantities/flights"),
        ({"phase": "summer"}, "/phase"),
    ],
)
def test_a_wrong_plan_preview_is_refused(sold: Api, body: dict[str, Any], path: str) -> None:
    assert sold("POST", "/plans/pro/preview", 422, body)["errors"][0]["path"] == path


def test_a_forged_cursor_is_refused(sold: Api) -> None:
    cursor = "WyJ4Il0"  # ["x"]
    assert sold("GET", f"/plans/pro/versions?cursor={cursor}", 422)["errors"][0]["path"] == "/cursor"


def test_reading_does_not_allow_writing(client: FlaskClient, key_for: KeyFor) -> None:
    headers = key_for("read")
    assert client.put("/api/v1/plans/pro/draft", json=PRO, headers=headers).status_code == 403
    assert client.post("/api/v1/features", json=FLIGHTS, headers=headers).status_code == 403
    assert client.post("/api/v1/plans/pro/publish", headers=headers).status_code == 403


@pytest.mark.parametrize(
    ("method", "path", "body", "at"),
    [
        ("POST", "/features", {**FLIGHTS, "name": "a\x00b"}, "/name"),
        ("POST", "/features", {**FLIGHTS, "filter": {"route": {"in": ["a\x00b"]}}}, "/filter/route/in/0"),
        ("POST", "/plans/pro/preview", {"quantities": {"a\x00b": "1"}}, "/quantities"),
        ("GET", "/plans/a%00b", None, "/key"),
        ("GET", "/plans?cursor=WyJhXHUwMDAwYiJd", None, "/cursor"),  # ["a\u0000b"]
    ],
)
def test_a_text_with_a_nul_character_is_refused(api: Api, method: str, path: str, body: Any, at: str) -> None:
    assert api(method, path, 422, body)["errors"][0]["path"] == at


def test_a_version_number_beyond_any_is_not_found(sold: Api) -> None:
    sold("GET", "/plans/pro/versions/99999999999999999999", 404)
    sold("GET", "/plans/pro/diff?before=99999999999999999999&after=1", 422)
    sold("GET", "/plans/pro/versions?cursor=WyI5OTk5OTk5OTk5OTk5OTk5OTk5OTkiXQ", 422)
