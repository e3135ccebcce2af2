"""Every route of the API is behind a key with a scope, and described."""

import json
import re
from collections.abc import Callable, Iterator

import pytest
import schemathesis
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.routing import Rule

from tollkeeper.clock import FixedClock
from tollkeeper.web.api.openapi import build_description

Headers = Callable[..., dict[str, str]]

# Stripe signs its webhook; the description is public.
OPEN_ROUTES = {"/api/v1/openapi.json", "/api/v1/stripe/webhook"}


def guarded_routes(app: Flask) -> Iterator[tuple[Rule, str, str]]:
    for rule in app.url_map.iter_rules():
        if rule.rule.startswith("/api/v1/") and rule.rule not in OPEN_ROUTES:
            url = rule.build(dict.fromkeys(rule.arguments, 1))  # fits texts and numbers
            assert url is not None
            for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}:
                yield rule, url[1], method


def test_every_route_asks_for_a_key(app: Flask, client: FlaskClient) -> None:
    answers = {url: client.open(url, method=method) for _, url, method in guarded_routes(app)}
    assert answers
    for url, answer in answers.items():
        assert (url, answer.status_code, answer.mimetype) == (url, 401, "application/problem+json")
        assert answer.headers["WWW-Authenticate"].startswith("Bearer"), url


def test_every_route_asks_for_its_scope(app: Flask, client: FlaskClient, key_for: Headers) -> None:
    scopes = {"ingest", "gateway", "read", "write"}
    headers: dict[tuple[str, ...], dict[str, str]] = {}
    for rule, url, method in guarded_routes(app):
        required = app.view_functions[rule.endpoint].required_scopes  # type: ignore[attr-defined]
        if required not in headers:
            headers[required] = key_for(*(scopes - set(required)))
        answer = client.open(url, method=method, headers=headers[required])
        assert (url, answer.status_code, answer.json["code"]) == (url, 403, "scope_missing")


def test_every_route_is_described(app: Flask) -> None:
    described = build_description(app)["paths"]
    for rule, _, method in guarded_routes(app):
        path = rule.rule.replace("<", "{").replace(">", "}").replace("path:", "").replace("int:", "")
        assert method.lower() in described.get(path, {}), f"{method} {path} needs @describe or @endpoint"


def test_the_description_refers_to_nothing_that_is_not_there(app: Flask) -> None:
    document = build_description(app)
    named = set(re.findall(r"#/components/schemas/([^\"]+)", json.dumps(document)))
    assert named - document["components"]["schemas"].keys() == set()


def test_the_description_is_openapi_3_1(client: FlaskClient) -> None:
    document = client.get("/api/v1/openapi.json").json
    assert document["openapi"] == "3.1.0"
    schemathesis.openapi.from_dict(document).validate()
    operations = [operation["operationId"] for path in document["paths"].values() for operation in path.values()]
    assert len(operations) == len(set(operations))


def test_an_unknown_path_and_a_wrong_method_are_problems(client: FlaskClient) -> None:
    missing, wrong = client.get("/api/v1/nothing"), client.delete("/api/v1/api-keys")
    assert (missing.status_code, missing.mimetype) == (404, "application/problem+json")
    assert (wrong.status_code, wrong.mimetype) == (405, "application/problem+json")
    assert "GET" in wrong.headers["Allow"]


NOBODYS_KEY = "Bearer tk_" + "0" * 26 + "_" + "0" * 64


@pytest.mark.parametrize("header", ["", "Basic YTpi", "Bearer", "Bearer tk_x_y", NOBODYS_KEY])
def test_a_wrong_credential_is_a_401(client: FlaskClient, header: str) -> None:
    assert client.get("/api/v1/api-keys", headers={"Authorization": header}).status_code == 401


def test_a_revoked_key_opens_nothing(client: FlaskClient, key_for: Headers) -> None:
    headers, other = key_for("admin"), key_for("admin")
    mine = client.get("/api/v1/api-keys", headers=headers).json["items"][0]["id"]
    client.post(f"/api/v1/api-keys/{mine}/revoke", headers=other)
    assert client.get("/api/v1/api-keys", headers=headers).status_code == 401


def test_many_wrong_keys_from_one_address_have_to_wait(client: FlaskClient, key_for: Headers) -> None:
    wrong = {"Authorization": NOBODYS_KEY}
    statuses = [client.get("/api/v1/api-keys", headers=wrong).status_code for _ in range(61)]
    assert statuses == [401] * 60 + [429]


def test_the_time_of_last_use_is_kept_to_ten_minutes(client: FlaskClient, key_for: Headers, clock: FixedClock) -> None:
    headers = key_for("admin")
    assert client.get("/api/v1/api-keys", headers=headers).json["items"][0]["last_used_at"] == "2026-03-10T12:00:00Z"
    clock.instant = clock.instant.replace(minute=9)
    assert client.get("/api/v1/api-keys", headers=headers).json["items"][0]["last_used_at"] == "2026-03-10T12:00:00Z"
    clock.instant = clock.instant.replace(minute=10)
    assert client.get("/api/v1/api-keys", headers=headers).json["items"][0]["last_used_at"] == "2026-03-10T12:10:00Z"


def test_liveness_needs_nothing_and_readiness_the_database(client: FlaskClient, app: Flask) -> None:
    assert client.get("/healthz").json == {"status": "alive"}
    assert client.get("/readyz").json == {"status": "ready"}
