"""OpenMeter's clients and Kong's own metering events work unchanged, by what they were recorded to send."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from tollkeeper.customers.customers import CustomerDraft, create_customer
from tollkeeper.storage.session import Database

RECORDED = json.loads((Path(__file__).parents[1] / "recordings/openmeter/python-client.json").read_text())
CONTRACT = Path(__file__).parents[1] / "contract"
DAY = {"from": "2026-03-10T00:00:00Z", "to": "2026-03-11T00:00:00Z"}
TOKENS = {
    "key": "tokens_total",
    "event_type": "prompt",
    "aggregation": "sum",
    "value": "tokens",
    "group_by": {"model": "model", "type": "type"},
}
Key = Callable[..., dict[str, str]]


@pytest.fixture
def headers(key_for: Key) -> dict[str, str]:
    return key_for("ingest", "read", "write")


@pytest.fixture
def prompts(client: FlaskClient, headers: dict[str, str]) -> FlaskClient:
    """Tokens of two models by two subjects on two days."""
    client.post("/api/v1/meters", json=TOKENS, headers=headers)
    cases = [
        ("a", 10, "gpt-4o", "9T22:00"),
        ("a", 20, "gpt-4o", "9T23:30"),
        ("b", 5, "o3", "9T23:59"),
        ("b", 0.5, "o3", "10T01:00"),
    ]
    batch = [
        {
            "specversion": "1.0",
            "id": f"p{number}",
            "source": "my-app",
            "type": "prompt",
            "subject": subject,
            "time": f"2026-03-{day.rjust(8, '0')}:00Z",
            "data": {"tokens": tokens, "model": model, "type": "input"},
        }
        for number, (subject, tokens, model, day) in enumerate(cases)
    ]
    answer = client.post("/api/v1/events", json=batch, headers=headers)
    assert answer.json == {"accepted": 4, "duplicates": 0, "rejected": []}
    return client


@pytest.mark.parametrize("request_", RECORDED["ingest"], ids=lambda one: str(one["content-type"]))
def test_openmeter_s_python_client_ingests_and_gets_the_204_that_it_wants(
    client: FlaskClient, headers: dict[str, str], request_: dict[str, str]
) -> None:
    send = {**RECORDED["headers"], **headers}
    for _ in range(2):
        answer = client.post(
            "/api/v1/events", data=request_["body"], content_type=request_["content-type"], headers=send
        )
        assert (answer.status_code, answer.data) == (204, b"")
    stored = client.get("/api/v1/events", headers=headers).json
    assert stored
    assert [(one["type"], one["subject"], one["data"]["tokens"]) for one in stored["items"]] == [
        ("prompt", "customer-1", 100)
    ]


def test_a_client_that_asks_for_nothing_back_hears_of_refused_events_all_the_same(
    client: FlaskClient, headers: dict[str, str]
) -> None:
    good = {"id": "1", "source": "s", "type": "t"}
    wanted = {**headers, "Prefer": "return=minimal"}
    assert client.post("/api/v1/events", json=[good], headers=wanted).status_code == 204
    answer = client.post("/api/v1/events", json=[good, {"id": "2"}], headers=wanted)
    assert answer.status_code == 400
    assert answer.json
    assert "event 1: " in answer.json["detail"]


def test_everybody_else_gets_200_with_what_became_of_the_events(client: FlaskClient, headers: dict[str, str]) -> None:
    body = RECORDED["ingest"][0]
    answer = client.post("/api/v1/events", data=body["body"], content_type=body["content-type"], headers=headers)
    assert (answer.status_code, answer.json) == (200, {"accepted": 1, "duplicates": 0, "rejected": []})


def test_the_recorded_query_is_answered_in_openmeter_s_shape(client: FlaskClient, headers: dict[str, str]) -> None:
    client.post("/api/v1/meters", json=TOKENS, headers=headers)
    body = RECORDED["ingest"][0]
    client.post("/api/v1/events", data=body["body"], content_type=body["content-type"], headers=headers)
    answer = client.get(RECORDED["queries"]["windows"], headers={**RECORDED["headers"], **headers})
    assert answer.status_code == 200
    assert answer.json == {
        "from": "2026-03-10T00:00:00.000Z",
        "to": "2026-03-11T00:00:00.000Z",
        "windowSize": "DAY",
        "data": [
            {
                "value": 100,
                # the day of Berlin, cut to what was asked for
                "windowStart": "2026-03-10T00:00:00Z",
                "windowEnd": "2026-03-10T23:00:00Z",
                "subject": "customer-1",
                "groupBy": {"model": "gpt-4o"},
            }
        ],
    }
    advanced = client.get(RECORDED["queries"]["advanced"], headers=headers).json
    assert advanced
    assert [row["value"] for row in advanced["data"]] == [100]
    broken = client.get(RECORDED["queries"]["broken_filter"], headers=headers)
    assert broken.status_code == 422


def values(client: FlaskClient, headers: dict[str, str], query: dict[str, Any]) -> list[tuple[Any, ...]]:
    answer = client.get("/api/v1/meters/tokens_total/query", query_string=query, headers=headers)
    assert answer.status_code == 200, answer.json
    assert answer.json
    return [(row["windowStart"], row["subject"], *row["groupBy"].values(), row["value"]) for row in answer.json["data"]]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"windowTimeZone": "UTC"}, [("2026-03-09T22:00:00Z", None, 35.5)]),
        (
            {"windowSize": "DAY", "from": "2026-03-09T00:00:00Z", "to": "2026-03-11T00:00:00Z"},
            [("2026-03-09T00:00:00Z", None, 35), ("2026-03-10T00:00:00Z", None, 0.5)],
        ),
        (
            {
                "windowSize": "DAY",
                "windowTimeZone": "Europe/Berlin",
                "from": "2026-03-08T23:00:00Z",
                "to": "2026-03-10T23:00:00Z",
            },
            [("2026-03-08T23:00:00Z", None, 10), ("2026-03-09T23:00:00Z", None, 25.5)],
        ),
        ({"subject": ["b"]}, [("2026-03-09T22:00:00Z", "b", 5.5)]),
        (
            {"groupBy": ["subject", "model"]},
            [("2026-03-09T22:00:00Z", "a", "gpt-4o", 30), ("2026-03-09T22:00:00Z", "b", "o3", 5.5)],
        ),
        ({"filterGroupBy[model]": "o3"}, [("2026-03-09T22:00:00Z", None, 5.5)]),
        ({"advancedMeterGroupByFilters": '{"model": {"$ne": "o3"}}'}, [("2026-03-09T22:00:00Z", None, 30)]),
        ({"windowSize": "MONTH", "from": "2026-03-01T00:00:00Z"}, [("2026-03-01T00:00:00Z", None, 35.5)]),
        ({"windowSize": "DAY", "from": "2026-03-01T00:00:00Z", "to": "2026-03-02T00:00:00Z"}, []),
    ],
)
def test_openmeter_s_parameters_mean_what_they_mean_there(
    prompts: FlaskClient, headers: dict[str, str], query: dict[str, Any], expected: list[Any]
) -> None:
    assert values(prompts, headers, query) == expected


def test_customers_are_asked_for_one_by_one(prompts: FlaskClient, headers: dict[str, str], database: Database) -> None:
    with database.transaction() as session:
        customer = create_customer(
            session, CustomerDraft(key="acme", name="Acme"), now=datetime(2026, 3, 1, tzinfo=UTC)
        ).id
    mapped = prompts.post(
        f"/api/v1/customers/{customer}/consumers",
        json={"match": "subject", "value": "a", "since": "2026-01-01T00:00:00Z"},
        headers=headers,
    )
    assert mapped.status_code == 201, mapped.json
    answer = prompts.get(
        "/api/v1/meters/tokens_total/query", query_string={"filterCustomerId": customer}, headers=headers
    ).json
    assert answer
    assert [(row["customerId"], row["value"]) for row in answer["data"]] == [(customer, 30)]


def test_csv_is_openmeter_s_in_openmeter_s_form(prompts: FlaskClient, headers: dict[str, str]) -> None:
    query = {**DAY, "groupBy": "model", "subject": "b"}
    answer = prompts.get(
        "/api/v1/meters/tokens_total/query", query_string=query, headers={**headers, "Accept": "text/csv"}
    )
    assert answer.text.splitlines() == [
        "window_start,window_end,subject,model,value",
        "2026-03-10T00:00:00Z,2026-03-11T00:00:00Z,b,o3,0.5",
    ]


@pytest.mark.parametrize(
    ("query", "path"),
    [
        ({"windowSize": "WEEK"}, "/windowSize"),
        ({"windowTimeZone": "Mars"}, "/windowTimeZone"),
        ({"groupBy": "weather"}, "/groupBy"),
        ({"groupBy": "customer_id"}, "/groupBy"),
        ({"filterGroupBy[weather]": "fair"}, "/filterGroupBy"),
        ({"advancedMeterGroupByFilters": "{"}, "/advancedMeterGroupByFilters"),
        ({"advancedMeterGroupByFilters": '{"model": {"$like": "g%"}}'}, "/advancedMeterGroupByFilters/model"),
        ({"windowSize": "DAY", "window": "day"}, "/window"),
    ],
)
def test_what_openmeter_s_form_does_not_have_is_refused_by_name(
    prompts: FlaskClient, headers: dict[str, str], query: dict[str, str], path: str
) -> None:
    answer = prompts.get("/api/v1/meters/tokens_total/query", query_string=query, headers=headers)
    assert answer.status_code == 422
    assert answer.json
    assert [error["path"] for error in answer.json["errors"]] == [path]


def test_kong_s_own_events_are_metered_by_the_meters_of_the_documentation(
    client: FlaskClient, headers: dict[str, str]
) -> None:
    for meter in json.loads((CONTRACT / "kong-metering-meters.json").read_text()):
        assert client.post("/api/v1/meters", json=meter, headers=headers).status_code == 201
    events = (CONTRACT / "kong-metering-events.json").read_text()
    answer = client.post(
        "/api/v1/events", data=events, content_type="application/cloudevents-batch+json", headers=headers
    )
    assert answer.json == {"accepted": 4, "duplicates": 0, "rejected": []}

    def ask(key: str, group_by: str) -> list[tuple[Any, ...]]:
        query = {**DAY, "group_by": group_by}
        found = client.get(f"/api/v1/meters/{key}/query", query_string=query, headers=headers).json
        assert found
        return [(row["group"][group_by], row["value"]) for row in found["rows"]]

    assert ask("kong_api_requests", "status") == [("200", "1"), ("404", "1")]
    assert ask("kong_api_response_bytes", "service") == [("flights", "700")]
    assert ask("kong_llm_tokens", "type") == [("request", "101"), ("response", "37")]
    assert ask("kong_llm_tokens", "subject") == [("b32379d9-3d28-5683-a79c-72139be6e34f", "138")]


def test_the_meters_for_kong_s_events_are_those_of_the_documentation() -> None:
    page = (Path(__file__).parents[2] / "docs/metering.md").read_text()
    assert (CONTRACT / "kong-metering-meters.json").read_text().strip() in page
