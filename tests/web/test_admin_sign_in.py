"""The way in and out of the admin pages."""

import tracemalloc
from datetime import timedelta

import pytest
from flask import Flask
from pydantic import SecretStr

from tests.web.seeded import ADMIN, NOW, PASSWORD
from tests.web.visitor import Visitor, text_of
from tollkeeper.app import create_app
from tollkeeper.clock import FixedClock
from tollkeeper.config import Settings
from tollkeeper.storage.session import Database
from tollkeeper.web.admin.sign_in import PASSWORDS_AT_ONCE, password_checks
from tollkeeper.web.limits import FailureLimit


def cookie_of(visitor: Visitor) -> str:
    cookie = visitor.client.get_cookie("tollkeeper_admin", path="/admin")
    assert cookie is not None
    return cookie.value


def test_every_page_asks_for_sign_in(admin_app: Flask, visitor: Visitor) -> None:
    for rule in admin_app.url_map.iter_rules():
        if rule.rule.startswith("/admin") and "GET" in (rule.methods or ()) and "static" not in rule.endpoint:
            url = rule.build(dict.fromkeys(rule.arguments, "1"))
            assert url is not None
            answer = visitor.get(url[1])
            if rule.endpoint == "admin.sign_in.show":
                assert answer.status_code == 200
            else:
                assert (url[1], answer.status_code) == (url[1], 302)
                assert answer.location.startswith("/admin/sign-in")


def test_every_act_without_a_form_token_is_refused(admin_app: Flask, ada: Visitor) -> None:
    for rule in admin_app.url_map.iter_rules():
        if rule.rule.startswith("/admin") and "POST" in (rule.methods or ()):
            url = rule.build(dict.fromkeys(rule.arguments, "x"))
            assert url is not None
            answer = ada.client.post(url[1])
            assert (url[1], answer.status_code) == (url[1], 400)
            assert "another site" in text_of(answer)


def test_a_sign_in_leads_to_the_page_that_was_asked_for(visitor: Visitor) -> None:
    asked = visitor.get("/admin/invoices?status=paid")
    assert asked.location == "/admin/sign-in?next=/admin/invoices?status%3Dpaid"
    assert visitor.sign_in(target="/admin/invoices?status=paid").location == "/admin/invoices?status=paid"


@pytest.mark.parametrize(
    "target",
    [
        "https://evil.example/",
        "//evil.example/admin/",
        "/\\evil.example",
        "javascript:alert(1)",
        "/api/v1",
        "http://[",
        "/admin/\r\nX-Forged: 1",
    ],
)
def test_a_sign_in_never_leads_elsewhere(visitor: Visitor, target: str) -> None:
    assert visitor.sign_in(target=target).location == "/admin/"


@pytest.mark.parametrize(("name", "password"), [(ADMIN, "wrong"), ("nobody", PASSWORD), ("", "")])
def test_a_wrong_name_and_a_wrong_password_are_told_alike(visitor: Visitor, name: str, password: str) -> None:
    answer = visitor.sign_in(name, password)
    assert answer.status_code == 422
    assert "Name or password is wrong." in text_of(answer)


def test_ten_wrong_passwords_for_a_name_have_to_wait_a_quarter_of_an_hour(
    visitor: Visitor, admin_clock: FixedClock
) -> None:
    for _ in range(10):
        assert visitor.sign_in(ADMIN, "wrong").status_code == 422
    refused = visitor.sign_in()
    assert (refused.status_code, refused.headers["Retry-After"]) == (429, "900")
    admin_clock.instant += timedelta(minutes=15)
    assert visitor.sign_in().status_code == 302


def test_a_sign_in_replaces_the_session_that_was_there(visitor: Visitor) -> None:
    visitor.get("/admin/sign-in")
    planted = cookie_of(visitor)
    visitor.sign_in()
    assert cookie_of(visitor) != planted
    visitor.client.set_cookie("tollkeeper_admin", planted, path="/admin")
    assert visitor.get("/admin/").status_code == 302


def test_a_stolen_cookie_is_worth_nothing_after_sign_out(ada: Visitor) -> None:
    stolen = cookie_of(ada)
    assert ada.submit("/admin/sign-out", on="/admin/").location == "/admin/sign-in"
    ada.client.set_cookie("tollkeeper_admin", stolen, path="/admin")
    assert ada.get("/admin/").status_code == 302


def test_the_cookie_is_hidden_from_scripts_and_other_sites(visitor: Visitor) -> None:
    header = visitor.sign_in().headers["Set-Cookie"]
    assert "HttpOnly" in header
    assert "SameSite=Lax" in header
    assert "Path=/admin" in header
    assert "Secure" not in header


def test_over_https_the_cookie_is_for_https_only(admin_app: Flask) -> None:
    answer = admin_app.test_client().get("/admin/sign-in", base_url="https://localhost")
    assert "Secure" in answer.headers["Set-Cookie"]
    assert answer.headers["Strict-Transport-Security"] == "max-age=31536000"


def test_pages_allow_no_inline_code_no_frames_and_no_cache(ada: Visitor) -> None:
    headers = ada.get("/admin/").headers
    assert "unsafe-inline" not in headers["Content-Security-Policy"]
    assert "script-src 'self'" in headers["Content-Security-Policy"]
    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Cache-Control"] == "no-store"


def test_htmx_is_sent_to_sign_in_by_a_header(visitor: Visitor) -> None:
    answer = visitor.get("/admin/today/numbers", **{"HX-Request": "true"})
    assert (answer.status_code, answer.headers["HX-Redirect"]) == (401, "/admin/sign-in")


def test_a_sign_in_goes_idle_after_two_hours(ada: Visitor, admin_clock: FixedClock) -> None:
    admin_clock.instant += timedelta(hours=1)
    assert ada.get("/admin/").status_code == 200
    admin_clock.instant += timedelta(hours=1, minutes=59)
    assert ada.get("/admin/").status_code == 200
    admin_clock.instant += timedelta(hours=2)
    assert ada.get("/admin/").status_code == 302


def test_behind_a_trusted_proxy_the_scheme_is_the_clients(books_database: Database, admin_clock: FixedClock) -> None:
    settings = Settings(secret_key=SecretStr("a secret of the tests, long enough"), trusted_proxies=1)
    client = create_app(settings, database=books_database, clock=admin_clock).test_client()
    forwarded = {"X-Forwarded-Proto": "https", "X-Forwarded-For": "203.0.113.7"}
    assert "Secure" in client.get("/admin/sign-in", headers=forwarded).headers["Set-Cookie"]


def test_nobody_s_word_about_the_scheme_is_taken_without_a_trusted_proxy(visitor: Visitor) -> None:
    answer = visitor.get("/admin/sign-in", **{"X-Forwarded-Proto": "https"})
    assert "Secure" not in answer.headers["Set-Cookie"]


def test_passwords_are_checked_a_few_at_a_time_so_that_strangers_cannot_take_the_memory(visitor: Visitor) -> None:
    for _ in range(PASSWORDS_AT_ONCE):
        assert password_checks.acquire(blocking=False)
    try:
        busy = visitor.sign_in()
    finally:
        password_checks.release(PASSWORDS_AT_ONCE)
    assert (busy.status_code, busy.headers["Retry-After"]) == (429, "1")
    assert "Too many people sign in" in text_of(busy)
    assert visitor.sign_in().location == "/admin/"


def test_a_failure_costs_the_same_memory_however_long_the_name_is() -> None:
    limit = FailureLimit(most=10, window=timedelta(minutes=15))
    tracemalloc.start()
    try:
        for number in range(100):
            limit.note_failure(f"{number}" + "n" * 100_000, now=NOW)
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # 100 names of 100 kB would be 10 MB
    assert kept < 1_000_000
    assert limit.seconds_to_wait("1" + "n" * 100_000, now=NOW) == 0
