"""Invoices by e-mail: asked for over the API and from the page, sent by the job, by settings that keep the password."""

from collections.abc import Callable, Iterator

import pytest
from flask.testing import FlaskClient
from pydantic import SecretStr

from tests.mail_server import MailFake
from tests.scenarios.story import Story
from tests.web.visitor import Visitor
from tollkeeper.app import job_context_of, mail_server_of
from tollkeeper.clock import FixedClock, SystemClock
from tollkeeper.config import Settings
from tollkeeper.customers.customers import update_customer
from tollkeeper.errors import InvalidInput
from tollkeeper.invoices.reading import get_invoice
from tollkeeper.jobs.timetable import send_mails
from tollkeeper.notifications.smtp import MailTls
from tollkeeper.storage.session import Database

KeyFor = Callable[..., dict[str, str]]
PATH = "/api/v1/invoices/INV-000001/mails"


@pytest.fixture
def fake() -> Iterator[MailFake]:
    fake = MailFake()
    fake.start()
    yield fake
    fake.close()


def settings_of(fake: MailFake) -> Settings:
    return Settings(smtp_host="127.0.0.1", smtp_port=fake.port, smtp_tls=MailTls.NONE, smtp_from="billing@toll.example")


def test_an_invoice_is_sent_as_it_is_issued_and_once_more_when_asked(
    client: FlaskClient, key_for: KeyFor, database: Database, clock: FixedClock, fake: MailFake
) -> None:
    headers = key_for("read", "write", "admin")
    saved = client.put("/api/v1/legal-entities/default", json={"sends_invoices": True}, headers=headers)
    assert saved.get_json()["sends_invoices"] is True
    story = Story(database, "plan pro: 20.00 EUR per month\ncustomer acme in EUR")
    client.patch("/api/v1/customers/acme", json={"email": "ada@acme.example"}, headers=headers)
    story.go_on("2026-01-01 acme subscribes to pro\n2026-01-01 close period")
    (waiting,) = client.get(PATH, headers=headers).get_json()["items"]
    assert (waiting["attempts"], waiting["sent_at"], waiting["asked_by"]) == (0, None, "billing run")
    context = job_context_of(settings_of(fake), database, clock)
    assert send_mails(context) == 1
    again = {**headers, "Idempotency-Key": "once more"}
    for _ in range(2):
        assert client.post(PATH, headers=again).status_code == 204
    assert send_mails(context) == 1
    assert send_mails(context) == 0
    mails = client.get(PATH, headers=headers).get_json()["items"]
    assert [mail["attempts"] for mail in mails] == [1, 1]
    assert all(mail["sent_at"] for mail in mails)
    assert [message["Subject"] for message in fake.taken] == ["Invoice INV-000001 from default"] * 2


def test_only_those_who_may_write_send_an_invoice(client: FlaskClient, key_for: KeyFor, database: Database) -> None:
    Story(database, "plan pro: 20.00 EUR per month\ncustomer acme in EUR\n2026-01-01 acme subscribes to pro").go_on(
        "2026-01-01 close period"
    )
    assert client.post(PATH, headers=key_for("read")).status_code == 403
    assert client.get(PATH, headers=key_for("ingest")).status_code == 403
    refused = client.post(PATH, headers=key_for("write"))
    assert (refused.status_code, "no e-mail address" in refused.get_json()["detail"]) == (409, True)


def test_the_page_sends_the_invoice_and_shows_where_it_stands(
    ada: Visitor, books_database: Database, fake: MailFake
) -> None:
    page = "/admin/invoices/INV-000003"
    with books_database.transaction() as session:
        customer = get_invoice(session, "INV-000003").customer_id
        update_customer(session, customer, {"email": None})
    assert "The customer has no e-mail address." in ada.text(page)
    with books_database.transaction() as session:
        update_customer(session, customer, {"email": "ada@acme.example"})
    assert "Not sent by e-mail. Send to ada@acme.example" in ada.text(page)
    assert ada.submit(f"{page}/mails", on=page, key="form_1").status_code == 302
    assert "waiting" in ada.text(page)
    fake.answers = {"RCPT": "550 no"}
    context = job_context_of(settings_of(fake), books_database, SystemClock())
    send_mails(context)
    assert "given up the recipient was refused (550)" in ada.text(page)
    ada.submit(f"{page}/mails", on=page, key="form_2")
    send_mails(context)
    assert "sent" in ada.text(page)
    assert "Send again to ada@acme.example" in ada.text(page)


def test_without_a_mail_server_nothing_is_sent(database: Database, clock: FixedClock) -> None:
    assert mail_server_of(Settings()) is None
    assert send_mails(job_context_of(Settings(), database, clock)) == 0


def test_settings_that_do_not_go_together_are_refused_by_name() -> None:
    with pytest.raises(InvalidInput, match="sender's address"):
        mail_server_of(Settings(smtp_host="mail.example"))
    unsafe = Settings(smtp_host="mail.example", smtp_from="a@b.example", smtp_user="ada", smtp_tls=MailTls.NONE)
    with pytest.raises(InvalidInput, match="password would be readable"):
        mail_server_of(unsafe)


def test_the_password_is_shown_nowhere() -> None:
    settings = Settings(smtp_host="mail.example", smtp_from="a@b.example", smtp_password=SecretStr("hunter2"))
    server = mail_server_of(settings)
    assert server is not None
    assert server.password == "hunter2"
    assert "hunter2" not in f"{settings.describe()} {settings!r} {server!r}"
