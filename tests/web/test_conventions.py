"""The API's manners, shown on API keys: problems, paging, repeats."""

import threading
from collections.abc import Callable

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import func, select

from tollkeeper.access.tables import ApiKey
from tollkeeper.storage.session import Database

Headers = Callable[..., dict[str, str]]


def test_each_wrong_field_is_named_by_its_path(client: FlaskClient, key_for: Headers) -> None:
    answer = client.post("/api/v1/api-keys", json={"scopes": ["read", "fly"], "x/y": 1}, headers=key_for("admin"))
    assert answer.status_code == 422
    assert answer.mimetype == "application/problem+json"
    assert {error["path"]: error["message"] for error in answer.json["errors"]} == {
        "/label": "is missing",
        "/scopes/1": "input should be 'ingest', 'gateway', 'read', 'write' or 'admin'",
        "/x~1y": "is no field here; remove it or mend its name",
    }


def test_malformed_json_is_a_400_that_says_where(client: FlaskClient, key_for: Headers) -> None:
    answer = client.post(
        "/api/v1/api-keys", data='{"label": }', content_type="application/json", headers=key_for("admin")
    )
    assert answer.status_code == 400
    assert "line 1 column 11" in answer.json["detail"]


def test_another_content_type_is_a_415(client: FlaskClient, key_for: Headers) -> None:
    answer = client.post("/api/v1/api-keys", data="label=a", content_type="text/plain", headers=key_for("admin"))
    assert (answer.status_code, answer.mimetype) == (415, "application/problem+json")


def test_a_body_beyond_a_mebibyte_is_a_413(client: FlaskClient, key_for: Headers) -> None:
    answer = client.post("/api/v1/api-keys", json={"label": "a" * (1 << 20)}, headers=key_for("admin"))
    assert (answer.status_code, answer.mimetype) == (413, "application/problem+json")


def test_pages_follow_the_cursor_to_the_end_without_gaps(client: FlaskClient, key_for: Headers) -> None:
    headers = key_for("admin")
    for _ in range(4):
        key_for("read")
    seen: list[str] = []
    url: str | None = "/api/v1/api-keys?limit=2"
    sizes = []
    while url:
        page = client.get(url, headers=headers).json
        seen += [item["id"] for item in page["items"]]
        sizes.append(len(page["items"]))
        url = page["next_cursor"] and f"/api/v1/api-keys?limit=2&cursor={page['next_cursor']}"
    assert sizes == [2, 2, 1]
    assert len(set(seen)) == 5


@pytest.mark.parametrize(
    ("query", "path"),
    [("cursor=nonsense", "/cursor"), ("cursor=W10", "/cursor"), ("limit=1001", "/limit"), ("limt=2", "/limt")],
)
def test_a_wrong_query_is_a_422_with_its_place(client: FlaskClient, key_for: Headers, query: str, path: str) -> None:
    answer = client.get(f"/api/v1/api-keys?{query}", headers=key_for("admin"))
    assert answer.status_code == 422
    assert [error["path"] for error in answer.json["errors"]] == [path]


def test_a_repeat_under_an_idempotency_key_is_done_once_and_answered_the_same(
    client: FlaskClient, key_for: Headers, database: Database
) -> None:
    created = client.post("/api/v1/api-keys", json={"label": "n", "scopes": ["read"]}, headers=key_for("admin")).json
    headers = {**key_for("admin"), "Idempotency-Key": "once"}
    first = client.post(f"/api/v1/api-keys/{created['id']}/revoke", headers=headers)
    second = client.post(f"/api/v1/api-keys/{created['id']}/revoke", headers=headers)
    assert (first.status_code, first.data) == (second.status_code, second.data)
    assert "Idempotency-Replayed" not in first.headers
    assert second.headers["Idempotency-Replayed"] == "true"


def test_another_body_under_the_same_key_is_refused(client: FlaskClient, key_for: Headers) -> None:
    headers = {**key_for("admin"), "Idempotency-Key": "once"}
    client.post("/api/v1/api-keys", json={"label": "a", "scopes": ["read"]}, headers=headers)
    answer = client.post("/api/v1/api-keys", json={"label": "b", "scopes": ["read"]}, headers=headers)
    assert (answer.status_code, answer.json["code"]) == (422, "idempotency_key_reused")


def test_an_answer_with_a_secret_is_not_kept_for_a_repeat(
    client: FlaskClient, key_for: Headers, database: Database
) -> None:
    headers = {**key_for("admin"), "Idempotency-Key": "once"}
    body = {"label": "a", "scopes": ["read"]}
    assert client.post("/api/v1/api-keys", json=body, headers=headers).status_code == 201
    answer = client.post("/api/v1/api-keys", json=body, headers=headers)
    assert (answer.status_code, answer.json["code"]) == (409, "answer_not_kept")
    with database.snapshot() as session:
        assert session.scalar(select(func.count()).select_from(ApiKey)) == 2


def test_a_failed_request_leaves_its_idempotency_key_free(client: FlaskClient, key_for: Headers) -> None:
    headers = {**key_for("admin"), "Idempotency-Key": "once"}
    assert client.post("/api/v1/api-keys", json={"label": "a"}, headers=headers).status_code == 422
    body = {"label": "a", "scopes": ["read"]}
    assert client.post("/api/v1/api-keys", json=body, headers=headers).status_code == 201


def test_two_at_once_under_one_key_make_one_thing(app: Flask, key_for: Headers, database: Database) -> None:
    headers = {**key_for("admin"), "Idempotency-Key": "once"}
    statuses: list[int] = []

    def post() -> None:
        body = {"label": "a", "scopes": ["read"]}
        statuses.append(app.test_client().post("/api/v1/api-keys", json=body, headers=headers).status_code)

    threads = [threading.Thread(target=post) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(statuses) == [201, 409, 409, 409]
    with database.snapshot() as session:
        assert session.scalar(select(func.count()).select_from(ApiKey).where(ApiKey.label == "a")) == 1


def test_a_wrong_key_that_is_tried_again_and_again_waits_and_locks_nobody_else_out(
    client: FlaskClient, key_for: Headers
) -> None:
    wrong = {"Authorization": f"Bearer tk_{'0' * 26}_{'0' * 64}"}
    answers = [client.get("/api/v1/customers", headers=wrong) for _ in range(61)]
    assert [answer.status_code for answer in answers] == [401] * 60 + [429]
    assert int(answers[-1].headers["Retry-After"]) > 0
    assert client.get("/api/v1/customers", headers=key_for("read")).status_code == 200
