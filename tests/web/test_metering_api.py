"""Customers, consumers, meters and usage over the API: one story, and the errors beside it."""

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from flask.testing import FlaskClient

from tollkeeper.catalog.features import FeatureDraft, create_feature
from tollkeeper.metering.csv_cells import csv_row
from tollkeeper.storage.session import Database

MARCH = {"from": "2026-03-01T00:00:00Z", "to": "2026-04-01T00:00:00Z"}
KONG_YML = """
_format_version: "3.0"
services:
- name: flights
  url: http://127.0.0.1:9001
  routes: [{name: flights, paths: [/flights]}]
consumers:
- {username: alice, custom_id: alice-42}
"""
# What Kong makes of `consumers` and `alice`; seen on a running Kong 3.9.1 (tests/recordings/kong).
ALICE = "b32379d9-3d28-5683-a79c-72139be6e34f"


def request_of(number: int, day: int, **data: Any) -> dict[str, Any]:
    return {
        "id": f"{number:032x}",
        "source": "kong/node-7",
        "type": "kong.request",
        "subject": f"consumer:{ALICE}",
        "time": f"2026-03-{day:02}T10:15:00Z",
        "data": {"route": "flights", "status": 200, "consumer": {"id": ALICE, "username": "alice"}, **data},
    }


class Api:
    """A client with every scope."""

    def __init__(self, client: FlaskClient, headers: dict[str, str]) -> None:
        self._client = client
        self._headers = headers

    def get(self, path: str, **query: Any) -> Any:
        return self._client.get(f"/api/v1{path}", query_string=query, headers=self._headers)

    def post(self, path: str, body: Any = None, **further: Any) -> Any:
        sent = further or {"json": body}
        return self._client.post(f"/api/v1{path}", headers=self._headers, **sent)

    def patch(self, path: str, body: Any) -> Any:
        return self._client.patch(f"/api/v1{path}", json=body, headers=self._headers)


@pytest.fixture
def api(client: FlaskClient, key_for: Callable[..., dict[str, str]]) -> Api:
    return Api(client, key_for("admin"))


@pytest.fixture
def acme(api: Api) -> Api:
    """A customer whose consumer alice made two requests on 3 March and one, refused by a 500, on 4 March."""
    api.post("/customers", {"key": "acme", "name": "Acme"})
    api.post("/customers/acme/consumers", {"match": "username", "value": "alice", "since": "2026-03-01T00:00:00Z"})
    events = [request_of(1, 3), request_of(2, 3), request_of(3, 4, status=500)]
    assert api.post("/events", events).json["accepted"] == 3
    return api


def test_a_meter_answers_per_day_and_status(acme: Api) -> None:
    answer = acme.get("/meters/requests/query", **MARCH, window="day", group_by="status", customer="acme").json
    assert [(row["from"], row["group"], row["value"]) for row in answer["rows"]] == [
        ("2026-03-03T00:00:00Z", {"status": "200"}, "2"),
        ("2026-03-04T00:00:00Z", {"status": "500"}, "1"),
    ]


def test_a_meter_answers_as_csv(acme: Api) -> None:
    answer = acme.get("/meters/requests/query", **MARCH, group_by="status", format="csv")
    assert answer.mimetype == "text/csv"
    assert answer.text.split("\r\n") == [
        "from,to,status,value,event_count",
        "2026-03-01T00:00:00Z,2026-04-01T00:00:00Z,200,2,2",
        "2026-03-01T00:00:00Z,2026-04-01T00:00:00Z,500,1,1",
        "",
    ]


def test_a_client_s_text_is_no_formula_in_any_csv() -> None:
    row = csv_row(["=1+1", "+1", "-1", "@A1", "\tx", "\uff1dx", "a=b", None, Decimal("-1.50"), 3])
    assert row == "'=1+1,'+1,'-1,'@A1,'\tx,'\uff1dx,a=b,,-1.50,3\r\n"


def test_a_meter_s_csv_keeps_a_consumer_s_formula_from_a_spreadsheet(acme: Api) -> None:
    assert acme.post("/events", [request_of(9, 3, route="=HYPERLINK(1)")]).json["accepted"] == 1
    answer = acme.get("/meters/requests/query", **MARCH, group_by="route", format="csv")
    assert ",'=HYPERLINK(1)," in answer.text


def test_a_filter_narrows_a_query(acme: Api) -> None:
    answer = acme.get("/meters/requests/query", **MARCH, filter='{"status": {"gte": "200", "lt": "300"}}').json
    assert answer["rows"][0]["value"] == "2"


@pytest.mark.parametrize(
    ("query", "path"),
    [
        ({"filter": "{"}, "/filter"),
        ({"filter": '{"status": {"like": "2"}}'}, "/filter/status/like"),
        ({"filter": '{"status": {"gte": 2.5}}'}, "/filter/status/gte"),
        ({"group_by": "weather"}, "/group_by"),
        ({"time_zone": "Mars/Olympus"}, "/time_zone"),
        ({"window": "minute"}, "/window"),
        ({"window": "year"}, "/window"),
        ({"from": "2026-05-01T00:00:00Z"}, "/to"),
        ({"from": "0001-01-01T00:00:00+14:00"}, "/from"),
        ({"from": "2026-03-01T00:00:00"}, "/from"),
    ],
)
def test_a_wrong_query_is_refused_by_its_path(acme: Api, query: dict[str, str], path: str) -> None:
    answer = acme.get("/meters/requests/query", **{**MARCH, **query})
    assert answer.status_code == 422, answer.text
    assert path in [error["path"] for error in answer.json["errors"]]


def test_a_custom_meter_counts_what_is_stored_already_and_lists_what_it_cannot_count(api: Api) -> None:
    jobs = [
        {"id": "1", "source": "batch", "type": "job.done", "time": "2026-03-02T00:00:00Z", "data": {"cost": 0.1}},
        {"id": "2", "source": "batch", "type": "job.done", "time": "2026-03-02T00:00:01Z", "data": {"cost": "0.2"}},
        {"id": "3", "source": "batch", "type": "job.done", "time": "2026-03-02T00:00:02Z", "data": {"cost": "dear"}},
        {"id": "4", "source": "batch", "type": "job.done", "time": "2026-03-02T00:00:03Z"},
    ]
    assert api.post("/events", jobs).json["accepted"] == 4
    meter = {"key": "job_cost", "event_type": "job.done", "aggregation": "sum", "value": "cost"}
    assert api.post("/meters", meter).status_code == 201
    assert api.get("/meters/job_cost/query", **MARCH).json["rows"][0]["value"] == "0.3"
    invalid = api.get("/meters/job_cost/invalid-events", **MARCH).json["items"]
    assert [(one["id"], one["reason"]) for one in invalid] == [("3", "cost is no number"), ("4", "cost is missing")]
    assert api.post("/meters", meter).status_code == 409


def test_a_meter_is_previewed_by_who_may_read_and_nothing_is_stored(
    api: Api, client: FlaskClient, key_for: Callable[..., dict[str, str]]
) -> None:
    jobs = [
        {"id": "1", "source": "batch", "type": "job.done", "time": "2026-03-02T00:00:00Z", "data": {"cost": 0.1}},
        {"id": "2", "source": "batch", "type": "job.done", "time": "2026-03-02T00:00:01Z", "data": {"cost": "0.2"}},
        {"id": "3", "source": "batch", "type": "job.done", "time": "2026-03-02T00:00:02Z", "data": {"cost": "dear"}},
    ]
    assert api.post("/events", jobs).json["accepted"] == 3
    meter = {"key": "job_cost", "event_type": "job.done", "aggregation": "sum", "value": "cost"}
    reader = Api(client, key_for("read"))
    assert reader.post("/meters/preview", meter).json == {
        "examined": 3,
        "matched": 2,
        "value": "0.3",
        "first": "2026-03-02T00:00:00Z",
        "last": "2026-03-02T00:00:02Z",
        "misfits": [
            {"field": "/value", "path": "cost", "reason": "is no number", "effect": "left_out", "events": 1},
        ],
    }
    assert api.get("/meters/job_cost").status_code == 404
    assert Api(client, key_for("ingest")).post("/meters/preview", meter).status_code == 403
    wrong = reader.post("/meters/preview", {**meter, "value": "a..b"})
    assert (wrong.status_code, wrong.json["errors"][0]["path"]) == (422, "/value")


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"key": "Bad Key"}, "/key"),
        ({"aggregation": "median"}, "/aggregation"),
        ({"value": None}, "/value"),
        ({"value": "a..b"}, "/value"),
        ({"group_by": {"model": " "}}, "/group_by/model"),
        ({"filter": {"status": {}}}, "/filter/status"),
    ],
)
def test_a_wrong_meter_is_refused_by_its_path(api: Api, change: dict[str, Any], path: str) -> None:
    meter = {"key": "m", "event_type": "t", "aggregation": "sum", "value": "v", **change}
    answer = api.post("/meters", meter)
    assert answer.status_code == 422
    assert [error["path"] for error in answer.json["errors"]] == [path]


def test_events_are_listed_as_they_came_page_by_page(acme: Api) -> None:
    first = acme.get("/events", limit=2, type="kong.request").json
    second = acme.get("/events", limit=2, type="kong.request", cursor=first["next_cursor"]).json
    assert [one["id"] for one in first["items"] + second["items"]] == [f"{number:032x}" for number in (1, 2, 3)]
    assert second["next_cursor"] is None
    assert second["items"][0]["data"] == request_of(3, 4, status=500)["data"]
    assert acme.get("/events", id=f"{2:032x}").json["items"][0]["time"] == "2026-03-03T10:15:00Z"
    assert acme.get("/events", subject="nobody").json["items"] == []
    assert (
        acme.get("/events", **{"from": "2026-03-04T00:00:00Z"}, source="kong/node-7").json["items"][0]["id"][-1] == "3"
    )


def test_a_wrong_cursor_is_refused(api: Api) -> None:
    assert api.get("/events", cursor="nonsense").status_code == 422


def test_usage_that_is_nobody_s_is_listed_and_mapped_with_one_call(api: Api) -> None:
    api.post("/events", [request_of(1, 3, llm={"input_tokens": 5, "output_tokens": 2}), request_of(2, 3)])
    [unmapped] = api.get("/usage/unmapped").json["items"]
    assert (unmapped["username"], unmapped["requests"], unmapped["tokens"]) == ("alice", 2, 7)
    api.post("/customers", {"key": "acme", "name": "Acme"})
    mapping = {"match": "subject", "value": unmapped["subject"], "since": unmapped["first_seen"]}
    assert api.post("/customers/acme/consumers", mapping).status_code == 201
    assert api.get("/usage/unmapped").json["items"] == []


def test_a_second_mapping_of_a_consumer_conflicts_unless_it_moves(acme: Api) -> None:
    acme.post("/customers", {"key": "globex", "name": "Globex"})
    mapping = {"match": "id", "value": ALICE, "since": "2026-03-04T00:00:00Z"}
    assert acme.post("/customers/globex/consumers", mapping).status_code == 409
    moved = {"match": "username", "value": "alice", "since": "2026-03-04T00:00:00Z", "move": True}
    assert acme.post("/customers/globex/consumers", moved).status_code == 201
    assert acme.get("/meters/requests/query", **MARCH, customer="acme").json["rows"][0]["value"] == "2"
    assert acme.get("/meters/requests/query", **MARCH, customer="globex").json["rows"][0]["value"] == "1"


def test_a_family_s_usage_has_each_member_and_the_sum(acme: Api, database: Database) -> None:
    with database.transaction() as session:
        now = datetime(2026, 3, 1, tzinfo=UTC)
        create_feature(session, FeatureDraft(key="calls", name="Calls", meter_key="requests"), now=now)
    acme.post("/customers", {"key": "holding", "name": "Holding"})
    assert acme.patch("/customers/acme", {"parent": "holding"}).status_code == 200
    usage = acme.get("/customers/holding/usage", feature="calls", **MARCH).json
    assert (usage["quantity"], [(one["customer_key"], one["quantity"]) for one in usage["members"]]) == (
        "3",
        [("holding", "0"), ("acme", "3")],
    )
    series = acme.get("/customers/holding/usage/series", feature="calls", **MARCH).json
    assert [point["quantity"] for point in series["points"][:5]] == ["0", "0", "2", "1", "0"]
    proof = acme.get("/customers/acme/usage/proof", feature="calls", **MARCH).json
    assert (proof["count"], proof["first_time"], len(proof["digest"])) == (3, "2026-03-03T10:15:00Z", 64)
    assert acme.patch("/customers/holding", {"parent": "acme"}).status_code == 409
    assert acme.get("/customers/acme/usage", feature="nothing", **MARCH).status_code == 404


def test_a_customer_s_own_number_may_stand_for_its_id(api: Api) -> None:
    created = api.post("/customers", {"key": "acme", "name": "Acme", "address": {"city": "Oslo", "country": "NO"}}).json
    assert created["address"] == {"city": "Oslo", "country": "NO"}
    assert api.get("/customers/acme").json == api.get(f"/customers/{created['id']}").json == created
    assert api.post("/customers", {"key": "acme", "name": "Other"}).status_code == 409
    assert api.post("/customers/acme/archive").json["archived_at"] is not None
    assert api.get("/customers").json["items"] == []
    assert [one["key"] for one in api.get("/customers", archived="true").json["items"]] == ["acme"]


@pytest.mark.parametrize(
    ("change", "path"),
    [({"currency": "XTS1"}, "/currency"), ({"currency": "QQQ"}, "/currency"), ({"time_zone": "Mars"}, "/time_zone")],
)
def test_a_wrong_customer_is_refused_by_its_path(api: Api, change: dict[str, Any], path: str) -> None:
    answer = api.post("/customers", {"key": "acme", "name": "Acme", **change})
    assert (answer.status_code, [error["path"] for error in answer.json["errors"]]) == (422, [path])


def test_a_kong_yml_is_taken_over_with_kong_s_own_ids(api: Api, client: FlaskClient) -> None:
    for _ in range(2):
        answer = api.post("/kong/import", data=KONG_YML, content_type="application/yaml")
        assert answer.json == {"consumers": 1, "services": 1, "routes": 1, "warnings": []}
    assert [one["id"] for one in api.get("/kong/consumers").json["items"]] == [ALICE]
    [route] = api.get("/kong/routes").json["items"]
    assert route["service_id"] == api.get("/kong/services").json["items"][0]["id"]
    broken = api.post("/kong/import", data="consumers: [", content_type="application/yaml")
    assert broken.status_code == 422
    assert broken.json["errors"][0]["path"] == "kong.yml:1"
