"""POST /api/v1/events/forget: an admin forgets a person; the act is kept, the person is not."""

from collections.abc import Callable

from flask.testing import FlaskClient

KeyFor = Callable[..., dict[str, str]]
EVENT = {
    "id": "e1", "source": "s", "type": "kong.request", "subject": "consumer:1", "time": "2026-03-01T00:00:00Z",
    "data": {"route": "flights", "status": 200, "consumer": {"id": "1", "username": "ada"}, "credential": "k"},
}  # fmt: skip


def test_a_person_is_forgotten_and_the_act_kept(client: FlaskClient, key_for: KeyFor) -> None:
    admin = key_for("admin")
    assert client.post("/api/v1/events", json=[EVENT], headers=key_for("ingest")).get_json()["accepted"] == 1
    done = client.post("/api/v1/events/forget", json={"usernames": ["ada"]}, headers=admin).get_json()
    assert (done["events"], done["subjects"], done["exported_days"]) == (1, 1, [])
    (event,) = client.get("/api/v1/events", headers=admin).get_json()["items"]
    pseudonym = event["data"]["consumer"]["username"]
    assert pseudonym.startswith("forgotten-")
    assert event["subject"] == f"consumer:{event['data']['consumer']['id']}"
    assert event["data"]["credential"].startswith("forgotten-")
    listed = client.get("/api/v1/events/forgettings", headers=admin)
    (act,) = listed.get_json()["items"]
    assert act == {key: done[key] for key in ("id", "forgotten_at", "by", "events", "subjects", "dimension_sets")}
    assert "ada" not in listed.text
    assert pseudonym not in listed.text


def test_a_request_under_one_idempotency_key_is_one_act(client: FlaskClient, key_for: KeyFor) -> None:
    admin = {**key_for("admin"), "Idempotency-Key": "once"}
    first, second = (client.post("/api/v1/events/forget", json={"usernames": ["ada"]}, headers=admin) for _ in "ab")
    assert first.get_json()["id"] == second.get_json()["id"]


def test_an_answer_kept_for_a_repeat_is_forgotten_if_it_names_the_person(client: FlaskClient, key_for: KeyFor) -> None:
    write, admin = key_for("write"), key_for("admin")
    client.post("/api/v1/customers", json={"key": "acme", "name": "Acme", "currency": "EUR"}, headers=write)
    asked = []
    for value in ("ada", "adam"):
        mapping = {"match": "username", "value": value, "since": "2026-01-01T00:00:00Z"}
        asked.append((mapping, {**write, "Idempotency-Key": value}))
        assert client.post("/api/v1/customers/acme/consumers", json=mapping, headers=asked[-1][1]).status_code == 201
    client.post("/api/v1/events", json=[EVENT], headers=key_for("ingest"))
    assert client.post("/api/v1/events/forget", json={"usernames": ["ada"]}, headers=admin).status_code == 200
    again = [client.post("/api/v1/customers/acme/consumers", json=body, headers=headers) for body, headers in asked]
    assert [answer.status_code for answer in again] == [409, 201]
    assert (again[0].get_json()["code"], again[1].get_json()["value"]) == ("answer_not_kept", "adam")


def test_only_an_admin_key_forgets(client: FlaskClient, key_for: KeyFor) -> None:
    others = key_for("read", "write", "ingest", "gateway")
    assert client.post("/api/v1/events/forget", json={"usernames": ["ada"]}, headers=others).status_code == 403
    assert client.get("/api/v1/events/forgettings", headers=others).status_code == 403


def test_nobody_is_refused(client: FlaskClient, key_for: KeyFor) -> None:
    answer = client.post("/api/v1/events/forget", json={}, headers=key_for("admin"))
    assert answer.status_code == 422
    assert "names nobody" in answer.text
