"""Invoices by e-mail, through a real SMTP conversation: once, again after a failure, never after a success."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage

import pytest
from sqlalchemy import select

from tests.mail_server import MailFake
from tests.scenarios.story import Story
from tollkeeper.customers.customers import update_customer
from tollkeeper.errors import Conflict
from tollkeeper.invoices.legal_entities import save_legal_entity
from tollkeeper.invoices.mail import LEASE, NO_ADDRESS, ask_for_mail, claim_mail, list_mails, send_due
from tollkeeper.invoices.mail_tables import InvoiceMail
from tollkeeper.invoices.pdf import invoice_pdf
from tollkeeper.invoices.reading import get_invoice
from tollkeeper.notifications.deliver import WAITS
from tollkeeper.notifications.smtp import MailServer, MailTls, hand_in
from tollkeeper.storage.session import Database

NOW = datetime(2026, 1, 1, 0, 5, tzinfo=UTC)
BEFORE = "plan pro: 20.00 EUR per month\ncustomer acme in EUR\n2026-01-01 acme subscribes to pro"


@pytest.fixture
def fake() -> Iterator[MailFake]:
    fake = MailFake()
    fake.start()
    yield fake
    fake.close()


def server_of(fake: MailFake) -> MailServer:
    return MailServer("127.0.0.1", fake.port, "billing@toll.example", MailTls.NONE)


def issue(database: Database, *, email: str | None = "ada@acme.example", sends: bool = True) -> Story:
    """INV-000001 of 20.00 EUR for a customer with this address."""
    story = Story(database, BEFORE)
    with database.transaction() as session:
        save_legal_entity(session, "default", {"name": "Toll GmbH", "email": "help@toll.example"})
        save_legal_entity(session, "default", {"sends_invoices": sends})
        update_customer(session, "acme", {"email": email})
    story.go_on("2026-01-01 close period")
    return story


def send(database: Database, fake: MailFake, now: datetime = NOW) -> int:
    return send_due(database, server_of(fake), now=now)


def only_mail(database: Database) -> InvoiceMail:
    with database.snapshot() as session:
        return session.scalars(select(InvoiceMail)).one()


def test_an_issued_invoice_is_sent_with_its_pdf(database: Database, fake: MailFake) -> None:
    issue(database)
    assert send(database, fake) == 1
    (message,) = fake.taken
    assert fake.recipients == ["<ada@acme.example>"]
    assert message["From"] == "Toll GmbH <billing@toll.example>"
    assert message["To"] == "Acme <ada@acme.example>"
    assert message["Reply-To"] == "help@toll.example"
    assert message["Subject"] == "Invoice INV-000001 from Toll GmbH"
    body = message.get_body()
    assert isinstance(body, EmailMessage)
    assert body.get_content().replace("\r\n", "\n") == (
        "Invoice INV-000001 from Toll GmbH\n\nTotal: €20.00\nDue: €20.00 by 2026-01-31\n\n"
        "The invoice is attached as PDF.\n"
    )
    (attachment,) = message.iter_attachments()
    assert attachment.get_filename() == "INV-000001.pdf"
    with database.snapshot() as session:
        assert attachment.get_content() == invoice_pdf(session, "INV-000001").content
    assert only_mail(database).sent_at == NOW


def test_a_sent_invoice_is_never_sent_again(database: Database, fake: MailFake) -> None:
    story = issue(database)
    send(database, fake)
    story.go_on("2026-01-01 close period")
    assert send(database, fake, NOW + timedelta(days=30)) == 0
    assert len(fake.taken) == 1


@pytest.mark.parametrize("answer", ["421 going down", ""], ids=["says so", "hangs up"])
def test_a_server_that_took_the_message_and_then_fails_has_it(database: Database, fake: MailFake, answer: str) -> None:
    issue(database)
    fake.answers = {"QUIT": answer}
    assert send(database, fake) == 1
    assert send(database, fake, NOW + timedelta(days=1)) == 0


@pytest.mark.parametrize(
    ("step", "answer", "reason"),
    [
        ("HELO", "", "SMTPServerDisconnected"),
        ("MAIL", "451 later", "the server answered 451"),
        ("RCPT", "450 mailbox busy", "the recipient was refused (450)"),
        ("DATA", "452 no room", "the message was refused (452)"),
        ("TAKEN", "451 later", "the message was refused (451)"),
        ("TAKEN", "", "SMTPServerDisconnected"),
    ],
)
def test_a_failure_is_tried_again_later_and_not_sooner(
    database: Database, fake: MailFake, step: str, answer: str, reason: str
) -> None:
    issue(database)
    fake.answers = {step: answer}
    assert send(database, fake) == 0
    assert only_mail(database).last_error == reason
    assert send(database, fake, NOW + WAITS[0] - timedelta(seconds=1)) == 0
    assert send(database, fake, NOW + WAITS[0]) == 1
    assert {message["Message-ID"] for message in fake.taken} == {f"<{only_mail(database).id}@toll.example>"}


def test_a_recipient_that_is_refused_for_good_is_given_up_until_somebody_asks(
    database: Database, fake: MailFake
) -> None:
    issue(database)
    fake.answers = {"RCPT": "550 no such user ada@acme.example"}
    assert send(database, fake) == 0
    mail = only_mail(database)
    assert (mail.given_up_at, mail.last_error) == (NOW, "the recipient was refused (550)")
    assert send(database, fake, NOW + timedelta(days=1)) == 0
    with database.transaction() as session:
        update_customer(session, "acme", {"email": "bob@acme.example"})
        for _ in range(2):
            ask_for_mail(session, "INV-000001", "form_1", by="ada", now=NOW)
    assert send(database, fake, NOW + timedelta(days=1)) == 1
    assert fake.taken[0]["To"] == "Acme <bob@acme.example>"


def test_a_server_that_stays_away_is_given_up_after_days(database: Database, fake: MailFake) -> None:
    issue(database)
    fake.close()
    now = NOW
    for wait in WAITS:
        assert send(database, fake, now) == 0
        now += wait
    assert only_mail(database).given_up_at is None
    send(database, fake, now)
    mail = only_mail(database)
    assert (mail.attempts, mail.given_up_at, mail.last_error) == (10, now, "ConnectionRefusedError")


def test_a_process_that_dies_with_a_mail_leaves_it_to_the_next_after_the_lease(
    database: Database, fake: MailFake
) -> None:
    issue(database)
    with database.transaction() as session:
        assert claim_mail(session, now=NOW) is not None
    assert send(database, fake) == 0
    assert send(database, fake, NOW + LEASE) == 1


@pytest.mark.parametrize(("email", "sends"), [(None, True), ("ada@acme.example", False)])
def test_without_an_address_or_the_seller_s_word_nothing_is_sent(
    database: Database, fake: MailFake, email: str | None, sends: bool
) -> None:
    issue(database, email=email, sends=sends)
    assert send(database, fake) == 0
    with database.snapshot() as session:
        assert list_mails(session, get_invoice(session, "INV-000001").id) == []


def test_what_cannot_be_sent_any_more_is_given_up_with_the_reason(database: Database, fake: MailFake) -> None:
    story = issue(database)
    with database.transaction() as session:
        update_customer(session, "acme", {"email": None})
    send(database, fake)
    assert only_mail(database).last_error == NO_ADDRESS
    with database.transaction() as session, pytest.raises(Conflict, match="no e-mail address"):
        ask_for_mail(session, "INV-000001", by="ada", now=NOW)
    story.go_on("2026-01-02 void INV-000001")
    with database.transaction() as session, pytest.raises(Conflict, match="is void"):
        ask_for_mail(session, "INV-000001", by="ada", now=NOW)


def test_a_void_invoice_that_waits_is_not_sent(database: Database, fake: MailFake) -> None:
    issue(database).go_on("2026-01-02 void INV-000001")
    send(database, fake)
    assert (fake.taken, only_mail(database).last_error) == ([], "the invoice is void")


def test_nothing_is_said_in_the_clear_where_tls_is_asked_for(fake: MailFake) -> None:
    fake.is_auth_offered = True
    message = EmailMessage()
    message["From"], message["To"] = "a@toll.example", "b@acme.example"
    for tls in (MailTls.STARTTLS, MailTls.TLS):
        server = MailServer("127.0.0.1", fake.port, "a@toll.example", tls, "user", "secret word")
        outcome = hand_in(server, message)
        assert outcome.is_server_away
        assert "secret word" not in f"{outcome} {server}"
    assert (fake.taken, fake.recipients) == ([], [])


def test_a_wrong_password_is_told_without_the_server_s_words(fake: MailFake) -> None:
    fake.is_auth_offered = True
    fake.answers = {"AUTH": "535 user ada with password hunter2 is wrong"}
    message = EmailMessage()
    message["From"], message["To"] = "a@toll.example", "b@acme.example"
    server = MailServer("127.0.0.1", fake.port, "a@toll.example", MailTls.NONE, "ada", "hunter2")
    assert hand_in(server, message).error == "the server refused user or password (535)"
