"""Who changed what is written with the change, by whichever door it came."""

import json
from collections.abc import Callable

import pytest
from click.testing import CliRunner
from flask.testing import FlaskClient
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from tests.web.visitor import Visitor
from tollkeeper.access.audit import list_acts
from tollkeeper.cli import main
from tollkeeper.storage.session import Database

Headers = Callable[..., dict[str, str]]
ACME = {"key": "acme", "name": "Acme"}


def acts_of(client: FlaskClient, headers: dict[str, str], query: str = "") -> list[dict[str, object]]:
    items: list[dict[str, object]] = client.get(f"/api/v1/audit-log{query}", headers=headers).json["items"]
    return items


def test_a_change_by_a_key_is_written_with_who_and_what(client: FlaskClient, key_for: Headers) -> None:
    assert client.post("/api/v1/customers", json=ACME, headers=key_for("write")).status_code == 201
    (entry,) = acts_of(client, key_for("admin"))
    assert entry["at"] == "2026-03-10T12:00:00Z"
    assert entry["actor_kind"] == "api_key"
    assert entry["actor_name"] == "key for ('write',)"
    assert (entry["act"], entry["target"]) == ("POST /api/v1/customers", "/api/v1/customers")
    assert entry["fields"] == ["key", "name"]


def test_what_was_sent_is_not_kept(client: FlaskClient, key_for: Headers, database: Database) -> None:
    client.post("/api/v1/customers", json={**ACME, "email": "jo@acme.example"}, headers=key_for("write"))
    with database.snapshot() as session:
        (entry,) = list_acts(session)
        assert "jo@acme.example" not in str(vars(entry))


def test_a_refused_change_is_not_in_the_log(client: FlaskClient, key_for: Headers) -> None:
    assert (
        client.post("/api/v1/customers", json={"key": "a/b", "name": "x"}, headers=key_for("write")).status_code == 422
    )
    assert client.post("/api/v1/customers", json=ACME, headers=key_for("read")).status_code == 403
    assert acts_of(client, key_for("admin")) == []


def test_a_repeat_under_an_idempotency_key_is_one_act(client: FlaskClient, key_for: Headers) -> None:
    headers = {**key_for("write"), "Idempotency-Key": "once"}
    statuses = [client.post("/api/v1/customers", json=ACME, headers=headers).status_code for _ in range(3)]
    assert statuses == [201, 201, 201]
    assert len(acts_of(client, key_for("admin"))) == 1


def test_reading_and_traffic_are_no_acts(client: FlaskClient, key_for: Headers) -> None:
    event = {
        "specversion": "1.0", "id": "1", "source": "kong/n", "type": "kong.request", "subject": "consumer:c",
        "time": "2026-03-10T11:59:00Z", "data": {"route": "flights", "status": 200},
    }  # fmt: skip
    assert client.post("/api/v1/events", json=[event], headers=key_for("ingest")).status_code == 200
    assert client.get("/api/v1/customers", headers=key_for("read")).status_code == 200
    assert acts_of(client, key_for("admin")) == []


def test_only_an_administrator_s_key_reads_the_log(client: FlaskClient, key_for: Headers) -> None:
    assert client.get("/api/v1/audit-log", headers=key_for("read", "write")).status_code == 403


def test_the_log_is_read_by_actor_target_and_page(client: FlaskClient, key_for: Headers) -> None:
    writer, admin = key_for("write"), key_for("admin")
    for key in ("a", "b", "c"):
        client.post("/api/v1/customers", json={"key": key, "name": key}, headers=writer)
    client.patch("/api/v1/customers/b", json={"name": "B"}, headers=admin)
    assert [entry["act"] for entry in acts_of(client, admin, "?actor=key for ('admin',)")] == [
        "PATCH /api/v1/customers/<customer>"
    ]
    assert [entry["fields"] for entry in acts_of(client, admin, "?target=/api/v1/customers/b")] == [["name"]]
    page = client.get("/api/v1/audit-log?limit=3", headers=admin).json
    assert len(page["items"]) == 3
    rest = client.get(f"/api/v1/audit-log?cursor={page['next_cursor']}", headers=admin).json
    assert [len(rest["items"]), rest["next_cursor"]] == [1, None]


def test_an_administrator_s_act_is_written_and_shown(ada: Visitor) -> None:
    ada.submit("/admin/api-keys", label="node-9", scopes=["ingest"])
    page = ada.text("/admin/audit-log")
    assert "ada@example.com administrator POST /admin/api-keys label, scopes" in page
    assert "grace has changed nothing." in ada.text("/admin/audit-log?actor=grace")


def test_a_command_is_written_with_its_arguments_and_without_its_options(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", database.engine.url.render_as_string(hide_password=False))
    monkeypatch.setattr("getpass.getuser", lambda: "operator")
    runner = CliRunner()
    made = runner.invoke(main, ["admin", "create", "ada", "--password", "long enough for all"])
    assert made.exit_code == 0, made.output
    listed = runner.invoke(main, ["audit", "list", "--json", "--actor", "operator"])
    entry = json.loads(listed.output)
    assert (entry["actor_kind"], entry["actor_id"]) == ("command", "user:operator")
    assert (entry["act"].rpartition(" ")[2], entry["target"], entry["fields"]) == ("create", "ada", ["password"])


ACTS = ("UPDATE audit_log SET actor_name = 'nobody'", "DELETE FROM audit_log")
COLUMNS = "id, at, actor_kind, actor_id, 'nobody', act, target, fields"
ACTS_OF_ENGINE = {
    "sqlite": (f"INSERT OR REPLACE INTO audit_log SELECT {COLUMNS} FROM audit_log",),
    "postgresql": ("TRUNCATE audit_log",),
}


def test_the_database_refuses_to_change_the_log(client: FlaskClient, key_for: Headers, database: Database) -> None:
    client.post("/api/v1/customers", json=ACME, headers=key_for("write"))
    for statement in (*ACTS, *ACTS_OF_ENGINE[database.engine.dialect.name]):
        with pytest.raises(DBAPIError, match="never changes"), database.transaction() as session:
            session.execute(text(statement))
    with database.snapshot() as session:
        assert [entry.actor_name for entry in list_acts(session)] == ["key for ('write',)"]
