"""Coupons over the API."""

from collections.abc import Callable

from flask.testing import FlaskClient

KeyFor = Callable[..., dict[str, str]]


def test_a_coupon_is_made_redeemed_listed_and_ended(client: FlaskClient, key_for: KeyFor) -> None:
    headers = key_for("write", "read")
    client.post("/api/v1/customers", json={"key": "acme", "name": "Acme", "currency": "EUR"}, headers=headers)
    body = {"code": "GIFT", "name": "A gift", "amount": "5.00", "currency": "EUR", "features": ["calls"]}
    made = client.post("/api/v1/coupons", json=body, headers=headers)
    assert (made.status_code, made.get_json()["amount"], made.get_json()["percentage"]) == (201, "5.00", None)
    redeemed = client.post("/api/v1/customers/acme/coupons", json={"code": "GIFT"}, headers=headers).get_json()
    again = client.post("/api/v1/customers/acme/coupons", json={"code": "GIFT"}, headers=headers).get_json()
    assert (again["id"], again["uses"]) == (redeemed["id"], 0)
    assert client.get("/api/v1/coupons/GIFT", headers=headers).get_json()["redemptions"] == 1
    path = f"/api/v1/customers/acme/coupons/{redeemed['id']}"
    assert client.delete(path, headers=headers).get_json()["ended_at"] is not None
    assert client.delete("/api/v1/coupons/GIFT", headers=headers).get_json()["archived_at"] is not None
    assert [one["code"] for one in client.get("/api/v1/coupons", headers=headers).get_json()["items"]] == ["GIFT"]


def test_wrong_coupons_are_refused_beside_their_field(client: FlaskClient, key_for: KeyFor) -> None:
    headers = key_for("write", "read")
    for body, path in (
        ({"amount": "5.00"}, "/currency"),
        ({"amount": "5.005", "currency": "EUR"}, "/amount"),
        ({"percentage": "101"}, "/percentage"),
    ):
        answer = client.post("/api/v1/coupons", json={"code": "BAD", "name": "Bad", **body}, headers=headers)
        assert (answer.status_code, answer.get_json()["errors"][0]["path"]) == (422, path)
    unknown = client.post("/api/v1/coupons", json={"code": "A1", "name": "a"}, headers=key_for("read"))
    assert unknown.status_code == 403
