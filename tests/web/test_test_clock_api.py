"""The test clock through the door."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient

from tollkeeper.app import create_app
from tollkeeper.config import Settings
from tollkeeper.storage.session import Database
from tollkeeper.storage.test_clock import open_test_clock

Headers = Callable[..., dict[str, str]]
ADVANCE = "/api/v1/test-clock/advance"


@pytest.fixture
def with_test_clock(database: Database, tmp_path: Path) -> Flask:
    with database.transaction() as session:
        open_test_clock(session)
    return create_app(Settings(data_dir=tmp_path, test_clock=True), database=database)


def test_without_the_setting_it_is_refused(client: FlaskClient, key_for: Headers) -> None:
    answer = client.post(ADVANCE, headers=key_for("admin"), json={"to": "2099-01-01T00:00:00Z"})
    assert (answer.status_code, answer.get_json()["code"]) == (403, "not_allowed")


def test_it_needs_the_scope_admin(client: FlaskClient, key_for: Headers) -> None:
    assert client.post(ADVANCE, headers=key_for("write"), json={"to": "2099-01-01T00:00:00Z"}).status_code == 403


def test_time_is_moved_and_shown(with_test_clock: Flask, key_for: Headers) -> None:
    client, headers = with_test_clock.test_client(), {**key_for("admin"), "Idempotency-Key": "once"}
    to = datetime.now(UTC) + timedelta(days=3)
    moved = client.post(ADVANCE, headers=headers, json={"to": to.isoformat()})
    assert moved.status_code == 200
    shown = client.get("/api/v1/test-clock", headers=headers).get_json()["now"]
    assert datetime.fromisoformat(shown) >= to
    back = client.post(ADVANCE, headers=headers, json={"to": to.isoformat()})
    assert (back.status_code, back.get_json()["errors"][0]["path"]) == (422, "/to")


def test_an_instant_without_a_zone_is_refused(with_test_clock: Flask, key_for: Headers) -> None:
    answer = with_test_clock.test_client().post(ADVANCE, headers=key_for("admin"), json={"to": "2099-01-01T00:00:00"})
    assert (answer.status_code, answer.get_json()["errors"][0]["path"]) == (422, "/to")
