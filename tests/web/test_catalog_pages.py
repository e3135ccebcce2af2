"""The pages of coupons, legal entities, tax rates, templates and add-ons: made, changed and refused by forms."""

import json
import re

import pytest

from tests.web.visitor import Visitor, text_of

SUPPORT = {
    "name": "Care",
    "currency": "EUR",
    "rate_cards": [{"key": "care", "price": {"type": "flat", "amount": "9.00"}}],
}
QUOTA = {
    "name": "Big quota",
    "entitlement/type": "metered",
    "entitlement/limit": "5000",
    "entitlement/usage_period": "P1M",
    "entitlement/is_soft_limit": "yes",
    "entitlement/thresholds": "50, 100",
    "entitlement/status": "402",
}
ENTITY = {"name": "Toll Inc.", "payment_term_days": "14", "number_digits": "6", "last_below_minimum": "issue"}


def test_a_coupon_is_made_redeemed_for_a_customer_and_taken_off_again(ada: Visitor) -> None:
    fields = {"code": "SPRING", "name": "Spring", "amount": "25.00", "currency": "EUR", "duration": "repeating"}
    ada.submit("/admin/coupons/new", **fields, periods="3", valid_to="2026-04-01T00:00")
    text = ada.text("/admin/coupons/SPRING")
    assert "Takes off €25.00 of each invoice in EUR On 3 invoices Off what everything" in text
    assert "18 Mar 2026, 14:30 UTC until 1 Apr 2026, 00:00 UTC" in text
    on = "/admin/customers/kong-air-group"
    ada.submit(f"{on}/coupons", on=on, code="spring", subscription="")
    page = ada.get(on).get_data(as_text=True)
    assert "SPRING is redeemed." in page
    assert "€25.00, 3 invoices all it pays for 18 Mar 2026 0 invoices holds" in ada.text(on)
    ada.submit(re.findall(rf'action="({on}/coupons/[^"]+/end)"', page)[0], on=on)
    assert "taken off 18 Mar 2026" in ada.text(on)
    ada.submit("/admin/coupons/SPRING/archive", on="/admin/coupons/SPRING")
    assert "ada@example.com administrator POST /admin/coupons/new" in ada.text("/admin/audit-log")
    other = "/admin/customers/kong-air"
    ada.submit(f"{other}/coupons", on=other, code="SPRING", subscription="")
    assert "Nothing was changed: coupon 'SPRING' is archived" in ada.text(other)


def test_a_wrong_coupon_is_refused_beside_each_field_and_what_was_typed_stays(ada: Visitor) -> None:
    wrong = {"code": "odd", "name": "Kept", "percentage": "200", "periods": "three", "features": "ok, Not A Key"}
    answer = ada.submit("/admin/coupons/new", **wrong)
    assert answer.status_code == 422
    text = text_of(answer)
    assert "Nothing was saved: 3 fields are wrong." in text
    assert "must be at most 100 per cent" in text
    assert "has to be a whole number" in text
    assert "1: is not written as it has to be" in text
    assert 'value="Kept"' in answer.get_data(as_text=True)
    taken = ada.submit("/admin/coupons/new", code="LAUNCH", name="Again", percentage="5")
    assert "a coupon with the code 'LAUNCH' is there already" in text_of(taken)


def test_a_legal_entity_is_made_sells_to_a_customer_and_is_changed(ada: Visitor) -> None:
    on = "/admin/legal-entities/new"
    address = {"address/line1": "1 Toll Road", "address/country": "US"}
    ada.submit(on, key="us", **ENTITY, **address, minimum_totals="usd 5.00, EUR 4", sends_invoices="yes")
    assert "Toll Inc. us – 14 days 0 US-…" in ada.text("/admin/legal-entities")
    page = ada.get("/admin/legal-entities/us").get_data(as_text=True)
    assert 'value="USD 5.00, EUR 4"' in page or 'value="EUR 4, USD 5.00"' in page
    assert 'name="sends_invoices" value="yes" checked' in page
    customer = "/admin/customers/nimbus"
    ada.submit(f"{customer}/billing-terms", on=customer, legal_entity="us", payment_term_days="")
    assert "Sold by Toll Inc. Pays in 14 days" in ada.text(customer)
    ada.submit(f"{customer}/billing-terms", on=customer, legal_entity="us", payment_term_days="7")
    assert "Pays in 7 days, as agreed" in ada.text(customer)
    changed = ENTITY | {"name": "Toll LLC", "number_prefix": "US-", "credit_note_prefix": "US-CN-"}
    ada.submit("/admin/legal-entities/us", **changed)
    assert "Toll LLC us" in ada.text("/admin/legal-entities")
    assert 'value="1 Toll Road"' not in ada.get("/admin/legal-entities/us").get_data(as_text=True)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"key": "de"}, "is that of another legal entity"),
        ({"key": "x", "address/country": "Germany"}, "is not written as it has to be"),
        ({"key": "x", "minimum_totals": "EUR"}, "write it like EUR 5.00, USD 6.00"),
        ({"key": "x", "minimum_totals": "XXZ 5"}, "XXZ: is no ISO 4217 currency"),
        ({"key": "x", "number_prefix": "DE-"}, "'DE-' is the prefix of legal entity 'de'"),
        ({"key": "x", "payment_term_days": "9999"}, "less than or equal to 365"),
        ({"key": "x", "tax_mode": "own"}, "is missing: a legal entity that charges tax is in a country"),
    ],
)
def test_a_wrong_legal_entity_is_refused(ada: Visitor, fields: dict[str, str], words: str) -> None:
    answer = ada.submit("/admin/legal-entities/new", **ENTITY | fields)
    assert answer.status_code == 422
    assert words in text_of(answer)
    assert ada.get("/admin/legal-entities/x").status_code == 404


def test_a_tax_rate_is_made_refused_beside_another_and_ended(ada: Visitor) -> None:
    new = "/admin/tax-rates/new"
    vat = {"name": "VAT", "country": "AT", "percentage": "20"}
    ada.submit(new, **vat)
    assert "VAT AT any 20 % ever open holds" in ada.text("/admin/tax-rates")
    again = ada.submit(new, **vat | {"percentage": "21"})
    assert again.status_code == 422
    assert "holds there at that time; end it first" in text_of(again)
    wrong = ada.submit(new, name="VAT", country="Germany", percentage="190")
    assert "Nothing was saved: 2 fields are wrong." in text_of(wrong)
    end = re.findall(r'action="(/admin/tax-rates/[^"]+/end)"', ada.get("/admin/tax-rates").get_data(as_text=True))
    ada.submit(end[-1], on=new)
    assert "18 Mar 2026, 14:30 UTC ended" in ada.text("/admin/tax-rates")


def test_a_customer_s_address_and_tax_ids_are_set_by_its_form(ada: Visitor) -> None:
    on = "/admin/customers/nimbus/edit"
    usual = {"name": "Nimbus", "currency": "USD", "time_zone": "UTC", "email": "", "parent": ""}
    taxed = {
        "address/city": "Lyon",
        "address/country": "FR",
        "tax_ids": "eu_vat FR12345678901",
        "tax_exemption": "none",
    }
    ada.submit(on, **usual, **taxed)
    text = ada.text("/admin/customers/nimbus")
    assert "Address Lyon, FR Tax ids FR12345678901 eu_vat" in text
    assert 'value="eu_vat FR12345678901"' in ada.get(on).get_data(as_text=True)
    wrong = ada.submit(on, **usual, **taxed | {"address/country": "France", "tax_ids": "FR12345678901"})
    assert "write it like eu_vat DE123456789" in text_of(wrong)
    assert "Lyon, FR" in ada.text("/admin/customers/nimbus")


def test_a_template_is_made_changed_and_deleted(ada: Visitor) -> None:
    on = "/admin/entitlement-templates"
    ada.submit(f"{on}/new", key="big", **QUOTA)
    assert "Big quota big 5,000 each month, then warns" in ada.text(on)
    ada.submit(f"{on}/big", **QUOTA | {"entitlement/is_soft_limit": ""})
    assert "Big quota big 5,000 each month, then refuses with 402" in ada.text(on)
    settings = {"name": "Tier", "entitlement/type": "static", "entitlement/config": '{"tier": "gold"}'}
    ada.submit(f"{on}/big", **settings)
    assert "Tier big included, with settings" in ada.text(on)
    assert "&#34;tier&#34;: &#34;gold&#34;" in ada.get(f"{on}/big").get_data(as_text=True)
    ada.submit(f"{on}/big/delete", on=f"{on}/big")
    assert ada.get(f"{on}/big").status_code == 404


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"key": "basic-quota"}, "is that of Basic quota; change it on its page"),
        ({"key": "x", "entitlement/limit": "-1"}, "must be 0 or more"),
        ({"key": "x", "entitlement/limit": ""}, "is missing"),
        ({"key": "x", "entitlement/thresholds": "100, 80"}, "must be more than the one before, 100"),
        ({"key": "x", "entitlement/type": "static", "entitlement/config": "{"}, "is no JSON"),
        ({"key": "x", "entitlement/type": "static", "entitlement/config": '{"a": NaN}'}, "is no JSON"),
        ({"key": "x", "entitlement/type": "static", "entitlement/config": '{"a": "\\ud800"}'}, "is no JSON"),
        ({"key": "x", "entitlement/type": "static", "entitlement/config": '{"a": "\\u0000"}'}, "holds a NUL"),
        ({"key": "x", "entitlement/type": "static", "entitlement/config": "[" * 20_000}, "is no JSON"),
        ({"key": "x", "entitlement/status": "9" * 5_000}, "should be 402, 403 or 429"),
        ({"key": "x", "entitlement/type": "template"}, "entitlement: template: is missing"),
    ],
)
def test_a_wrong_template_is_refused_beside_its_field(ada: Visitor, fields: dict[str, str], words: str) -> None:
    answer = ada.submit("/admin/entitlement-templates/new", **QUOTA | fields)
    assert answer.status_code == 422
    assert words in text_of(answer)
    assert ada.get("/admin/entitlement-templates/x").status_code == 404


def test_an_add_on_is_written_published_followed_by_a_version_and_archived(ada: Visitor) -> None:
    write, new = "/admin/add-ons/draft", "/admin/add-ons/new"
    draft = {"spec": json.dumps(SUPPORT), "from": ""}
    ada.submit(write, on=new, key="care", act="save", **draft)
    assert "version 1 draft" in ada.text("/admin/add-ons/care")
    ada.submit(write, on=new, key="care", act="publish", **draft | {"from": "care"})
    assert "€9.00, in advance" in ada.text("/admin/add-ons/care")
    taken = ada.submit(write, on=new, key="care", act="save", **draft)
    assert "is that of Care; write its next version on its page" in text_of(taken)
    dearer = json.dumps(SUPPORT).replace("9.00", "12.00")
    ada.submit(write, on="/admin/add-ons/care/draft", key="care", spec=dearer, act="save", **{"from": "care"})
    text = ada.text("/admin/add-ons/care/versions/2")
    assert '"9.00" "12.00"' in text
    ada.submit("/admin/add-ons/care/draft/discard", on="/admin/add-ons/care/versions/2")
    ada.submit("/admin/add-ons/care/archive", on="/admin/add-ons/care")
    assert "Care care EUR none archived" in ada.text("/admin/add-ons")


def test_a_plan_is_archived_and_one_without_a_version_leads_to_its_draft(ada: Visitor) -> None:
    ada.submit("/admin/plans/pro/archive", on="/admin/plans/pro")
    assert "Pro pro EUR none archived" in ada.text("/admin/plans")
    plan = {"name": "Club", "currency": "USD", "phases": [{"key": "main", "rate_cards": []}]}
    ada.submit("/admin/plans/draft", on="/admin/plans/new", key="club", spec=json.dumps(plan), act="save")
    ada.submit("/admin/plans/club/draft/discard", on="/admin/plans/club")
    assert ada.get("/admin/plans/club").location == "/admin/plans/club/draft"


@pytest.mark.parametrize("path", ["coupons", "legal-entities", "tax-rates", "entitlement-templates", "add-ons"])
def test_who_is_not_signed_in_sees_and_changes_nothing(visitor: Visitor, path: str) -> None:
    assert visitor.get(f"/admin/{path}").location == f"/admin/sign-in?next=/admin/{path}"
    for act in (f"/admin/{path}/new", f"/admin/{path}/x/archive", f"/admin/{path}/draft"):
        assert visitor.client.post(act).status_code in {302, 404, 405}  # to the sign-in, or no such page
