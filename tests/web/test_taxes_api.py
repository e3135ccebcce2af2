"""Tax rates and tax modes over the API, and the tax lines of an invoice's preview."""

from collections.abc import Callable

from flask.testing import FlaskClient

KeyFor = Callable[..., dict[str, str]]
VAT = {"name": "VAT", "country": "DE", "percentage": "19"}
HOME = {"address": {"country": "DE"}}


def test_a_rate_is_made_listed_and_ended(client: FlaskClient, key_for: KeyFor) -> None:
    headers = key_for("write", "read")
    made = client.post("/api/v1/tax-rates", json=VAT, headers=headers)
    assert (made.status_code, made.get_json()["percentage"], made.get_json()["valid_to"]) == (201, "19", None)
    again = client.post("/api/v1/tax-rates", json=VAT | {"percentage": "20"}, headers=headers)
    assert (again.status_code, "holds there at that time" in again.get_json()["detail"]) == (409, True)
    path = f"/api/v1/tax-rates/{made.get_json()['id']}/end"
    ended = client.post(path, json={"valid_to": "2999-01-01T00:00:00Z"}, headers=headers).get_json()
    assert ended["valid_to"] == "2999-01-01T00:00:00Z"
    later = VAT | {"percentage": "20", "valid_from": "2999-01-01T00:00:00Z"}
    assert client.post("/api/v1/tax-rates", json=later, headers=headers).status_code == 201
    listed = client.get("/api/v1/tax-rates", headers=headers).get_json()["items"]
    assert [one["percentage"] for one in listed] == ["19", "20"]
    past = client.post(path, json={"valid_to": "2001-01-01T00:00:00Z"}, headers=headers)
    assert (past.status_code, past.get_json()["errors"][0]["path"]) == (422, "/valid_to")
    assert client.post("/api/v1/tax-rates/tax_none/end", json={}, headers=headers).status_code == 404


def test_wrong_rates_are_refused_beside_their_field(client: FlaskClient, key_for: KeyFor) -> None:
    for wrong, path in (
        ({"percentage": "101"}, "/percentage"),
        ({"percentage": 19.5}, "/percentage"),
        ({"country": "Germany"}, "/country"),
        ({"name": " "}, "/name"),
        ({"valid_from": "2026-01-02T00:00:00Z", "valid_to": "2026-01-01T00:00:00Z"}, "/valid_to"),
    ):
        answer = client.post("/api/v1/tax-rates", json=VAT | wrong, headers=key_for("write"))
        assert (answer.status_code, answer.get_json()["errors"][0]["path"]) == (422, path)
    assert client.post("/api/v1/tax-rates", json=VAT, headers=key_for("read")).status_code == 403


def test_a_legal_entity_says_who_computes_its_tax(client: FlaskClient, key_for: KeyFor) -> None:
    admin, path = key_for("admin"), "/api/v1/legal-entities/de"
    made = client.put(path, json={"name": "Toll"}, headers=admin).get_json()
    assert (made["tax_mode"], made["prices_include_tax"]) == ("none", False)
    for mode, field, reason in (
        ("stripe", "/tax_mode", "'stripe' is not possible"),
        ("own", "/address/country", "is in a country"),
    ):
        answer = client.put(path, json={"tax_mode": mode}, headers=admin)
        assert (answer.status_code, answer.get_json()["errors"][0]["path"]) == (422, field)
        assert reason in answer.get_json()["errors"][0]["message"]
    told = {"tax_mode": "own", "prices_include_tax": True, **HOME}
    assert client.put(path, json=told, headers=admin).get_json()["tax_mode"] == "own"


def test_the_preview_is_taxed_by_the_payer_s_legal_entity(client: FlaskClient, key_for: KeyFor) -> None:
    headers = key_for("admin", "write", "read")
    client.put("/api/v1/legal-entities/de", json={"tax_mode": "own", **HOME}, headers=headers)
    client.post("/api/v1/customers", json={"key": "acme", "name": "Acme", "currency": "EUR"} | HOME, headers=headers)
    price = {"type": "flat", "amount": "20.00", "payment_term": "in_arrears"}
    card = {"key": "fee", "billing_cadence": "P1M", "price": price}
    spec = {"name": "Pro", "currency": "EUR", "phases": [{"key": "main", "rate_cards": [card]}]}
    assert client.put("/api/v1/plans/pro/draft", json=spec, headers=headers).status_code < 300
    assert client.post("/api/v1/plans/pro/publish", headers=headers).status_code < 300
    body = {"customer": "acme", "plan": "pro"}
    assert client.post("/api/v1/subscriptions", json=body, headers=headers).status_code == 201
    path = "/api/v1/customers/acme/invoice-preview"
    assert client.get(path, headers=headers).get_json()["total"] == "20.00"
    client.put("/api/v1/customers/acme/billing-terms", json={"legal_entity": "de"}, headers=headers)
    refused = client.get(path, headers=headers)
    assert (refused.status_code, "there is no tax rate" in refused.get_json()["detail"]) == (409, True)
    client.post("/api/v1/tax-rates", json=VAT, headers=headers)
    shown = client.get(path, headers=headers).get_json()
    assert [(one["kind"], one["amount"]) for one in shown["items"]] == [("flat", "20.00"), ("tax", "3.80")]
    assert shown["total"] == "23.80"
