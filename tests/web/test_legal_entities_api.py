"""Legal entities, payment terms and tax ids over the API."""

from collections.abc import Callable

from flask.testing import FlaskClient

KeyFor = Callable[..., dict[str, str]]
DE = {"name": "Toll GmbH", "address": {"city": "Berlin", "country": "DE"}, "tax_id": "DE1", "number_prefix": "DE-"}


def test_a_legal_entity_is_made_and_changed_field_by_field(client: FlaskClient, key_for: KeyFor) -> None:
    admin = key_for("admin")
    made = client.put("/api/v1/legal-entities/de", json=DE, headers=admin).get_json()
    assert (made["number_prefix"], made["credit_note_prefix"], made["payment_term_days"]) == ("DE-", "DE-CN-", 30)
    changed = client.put("/api/v1/legal-entities/de", json={"payment_term_days": 0}, headers=admin).get_json()
    assert (changed["name"], changed["payment_term_days"], changed["last_number"]) == ("Toll GmbH", 0, 0)
    listed = client.get("/api/v1/legal-entities", headers=key_for("read")).get_json()
    assert [one["key"] for one in listed["items"]] == ["de", "default"]
    assert client.get("/api/v1/legal-entities/fr", headers=admin).status_code == 404


def test_a_minimum_is_set_by_currency_and_kept_until_it_is_set_anew(client: FlaskClient, key_for: KeyFor) -> None:
    admin = key_for("admin", "read")
    path = "/api/v1/legal-entities/default"
    told = {"minimum_totals": {"EUR": "5.00", "JPY": "500"}, "last_below_minimum": "waive"}
    assert client.put(path, json=told, headers=admin).status_code == 200
    client.put(path, json={"payment_term_days": 7}, headers=admin)
    found = client.get(path, headers=admin).get_json()
    assert {name: found[name] for name in told} == told
    wrong = client.put(path, json={"minimum_totals": {"JPY": "0.5"}}, headers=admin)
    assert (wrong.status_code, wrong.get_json()["errors"][0]["path"]) == (422, "/minimum_totals/JPY")


def test_only_an_admin_key_says_who_sells(client: FlaskClient, key_for: KeyFor) -> None:
    assert client.put("/api/v1/legal-entities/de", json=DE, headers=key_for("write")).status_code == 403


def test_a_wrong_prefix_is_refused_beside_its_field(client: FlaskClient, key_for: KeyFor) -> None:
    answer = client.put("/api/v1/legal-entities/de", json=DE | {"number_prefix": "de"}, headers=key_for("admin"))
    assert answer.status_code == 422
    assert answer.get_json()["errors"][0]["path"] == "/number_prefix"


def test_terms_of_a_customer_are_its_own_or_its_entitys(client: FlaskClient, key_for: KeyFor) -> None:
    headers = key_for("admin", "write", "read")
    client.put("/api/v1/legal-entities/de", json=DE | {"payment_term_days": 7}, headers=headers)
    client.post("/api/v1/customers", json={"key": "acme", "name": "Acme"}, headers=headers)
    path = "/api/v1/customers/acme/billing-terms"
    assert client.get(path, headers=headers).get_json() == {
        "legal_entity": None,
        "payment_term_days": None,
        "effective_legal_entity": "default",
        "effective_payment_term_days": 30,
    }
    set_to = client.put(path, json={"legal_entity": "de"}, headers=headers).get_json()
    assert (set_to["effective_legal_entity"], set_to["effective_payment_term_days"]) == ("de", 7)
    wrong = client.put(path, json={"legal_entity": "fr"}, headers=headers)
    assert (wrong.status_code, wrong.get_json()["errors"][0]["path"]) == (422, "/legal_entity")


def test_a_customer_has_tax_ids_and_an_exemption(client: FlaskClient, key_for: KeyFor) -> None:
    headers = key_for("write", "read")
    ids = [{"type": "eu_vat", "value": "DE123456789"}]
    body = {"key": "acme", "name": "Acme", "tax_ids": ids, "tax_exemption": "reverse"}
    made = client.post("/api/v1/customers", json=body, headers=headers).get_json()
    assert (made["tax_ids"], made["tax_exemption"]) == (ids, "reverse")
    changed = client.patch("/api/v1/customers/acme", json={"tax_exemption": "exempt"}, headers=headers).get_json()
    assert (changed["tax_ids"], changed["tax_exemption"]) == (ids, "exempt")
    wrong = client.patch("/api/v1/customers/acme", json={"tax_ids": [{"type": "VAT", "value": "1"}]}, headers=headers)
    assert wrong.get_json()["errors"][0]["path"] == "/tax_ids/0/type"
