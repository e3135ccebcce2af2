"""`tollkeeper invoice pay`, `credit-note`, `legal-entity` and `tax-rate` on an empty machine."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tests.scenarios.story import Story
from tollkeeper.cli import main
from tollkeeper.commands.database import open_database


@pytest.fixture(autouse=True)
def two_invoices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """INV-000001 of 20.00 and INV-000002 of 20.00 EUR, of acme."""
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{tmp_path}/tollkeeper.db")
    monkeypatch.chdir(tmp_path)
    tell(
        """
        plan pro: 20.00 EUR per month
        customer acme in EUR
        2026-01-01 acme subscribes to pro
        2026-01-01 close period
        2026-02-01 close period
        """
    )


def tell(text: str) -> Story:
    with open_database() as database:
        return Story(database, text)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments)


def lines_of(*arguments: str) -> list[dict[str, str]]:
    return [json.loads(line) for line in run(*arguments, "--json").stdout.splitlines()]


def test_an_invoice_is_paid_in_parts_and_a_repeat_under_a_key_pays_once() -> None:
    part = ("invoice", "pay", "INV-000001", "--amount", "7.50", "--reference", "wire 1", "--key", "w-1")
    for _ in range(2):
        assert run(*part).exit_code == 0
    too_much = run("invoice", "pay", "INV-000001", "--amount", "12.51")
    assert "at most the 12.50 that is due" in too_much.output
    assert run("invoice", "pay", "INV-000001", "--received-at", "2026-01-20T00:00:00Z").exit_code == 0
    payments = lines_of("invoice", "payments", "INV-000001")
    assert [(one["amount"], one["reference"]) for one in payments] == [("7.50", "wire 1"), ("12.50", None)]
    history = lines_of("invoice", "history", "INV-000001")
    assert [act["to_status"] for act in history] == ["issued", "partly_paid", "paid"]
    assert history[-1]["by"].startswith("user ")
    assert run("check-books").output == "The books are in order.\n"


def test_an_invoice_is_given_up_and_voided_and_its_charges_are_forgiven() -> None:
    assert run("invoice", "mark-uncollectible", "INV-000001").output == "INV-000001 is uncollectible\n"
    assert run("invoice", "void", "INV-000001", "--forgive").output == "INV-000001 is void\n"
    assert [act["kind"] for act in lines_of("invoice", "history", "INV-000001")][1:] == ["uncollectible", "voided"]
    assert "cannot be paid" in run("invoice", "pay", "INV-000001").output


def test_credit_notes_are_issued_shown_listed_and_voided() -> None:
    issue = ("credit-note", "issue", "INV-000001", "--reason", "order_change")
    assert run(*issue, "--line", "1=7.50", "--key", "t-7").output == "CN-000001  7.50 EUR\n"
    assert run(*issue, "--line", "1=7.50", "--key", "t-7").output == "CN-000001  7.50 EUR\n"
    assert run("credit-note", "void", "CN-000001").output == "CN-000001 is void\n"
    run("invoice", "pay", "INV-000001")
    assert "/to: is missing" in run(*issue, "--amount", "5").output
    assert run(*issue, "--amount", "5", "--to", "credit").output == "CN-000002  5.00 EUR\n"
    assert [(one["number"], one["status"], one["total"]) for one in lines_of("credit-note", "list")] == [
        ("CN-000002", "issued", "5.00"),
        ("CN-000001", "void", "7.50"),
    ]
    shown = [line.strip() for line in run("credit-note", "show", "CN-000002").output.splitlines()]
    assert shown[-3:] == ["5.00  Part of invoice INV-000001", "5.00  EUR total", "5.00    credit"]
    assert run("credit", "balance", "acme").output == "5.00 EUR\n"
    assert "is not stopped" in run("credit-note", "retry-stripe", "CN-000002").output


@pytest.mark.parametrize(
    ("lines", "complaint"),
    [
        (["7.50"], "'7.50' is no POSITION=AMOUNT, such as 2=7.50"),
        (["1=1.00", "1=2.00"], "/lines/1: is named twice"),
        (["1=1.001"], "/lines/1: "),
    ],
)
def test_a_wrong_line_of_a_credit_note_is_refused_with_the_fix(lines: list[str], complaint: str) -> None:
    named = [part for line in lines for part in ("--line", line)]
    refused = run("credit-note", "issue", "INV-000001", "--reason", "duplicate", *named)
    assert refused.exit_code == 1
    assert complaint in refused.output


def test_a_legal_entity_is_saved_from_a_file_and_sells_to_a_customer(tmp_path: Path) -> None:
    file = tmp_path / "gmbh.yaml"
    prefixes = "number_prefix: DE-\ncredit_note_prefix: DC-\n"
    file.write_text(f"name: Kong Air GmbH\naddress:\n  country: DE\ntax_mode: own\n{prefixes}")
    assert run("legal-entity", "save", "gmbh", str(file)).exit_code == 0
    shown = json.loads(run("legal-entity", "show", "gmbh").output)
    assert (shown["name"], shown["tax_mode"], shown["payment_term_days"]) == ("Kong Air GmbH", "own", 30)
    file.write_text("payment_term_days: 14\n")
    assert run("legal-entity", "save", "gmbh", str(file)).output == "gmbh: payment_term_days set\n"
    assert [line.split()[0] for line in run("legal-entity", "list").output.splitlines()] == ["default", "gmbh"]
    assert run("legal-entity", "terms", "acme", "--legal-entity", "gmbh").exit_code == 0
    assert run("tax-rate", "create", "VAT", "19", "--country", "DE").exit_code == 0
    tell("acme is in DE\n2026-03-01 close period")
    told = [(one["number"], one["total"]) for one in lines_of("invoice", "list")]
    assert told[0] == ("DE-000001", "23.80")


def test_a_wrong_field_of_a_legal_entity_is_named(tmp_path: Path) -> None:
    file = tmp_path / "wrong.yaml"
    file.write_text("payment_terms: 14\n")
    refused = run("legal-entity", "save", "gmbh", str(file))
    assert refused.exit_code == 1
    assert "/payment_terms" in refused.output


def test_a_tax_rate_is_ended_and_followed_by_another() -> None:
    made = run("tax-rate", "create", "VAT", "16", "--country", "DE", "--tax-code", "books")
    rate = made.output.split()[0]
    assert run("tax-rate", "create", "VAT", "19 %", "--country", "DE").exit_code == 1
    assert (
        f"tax rate {rate} (VAT) holds there"
        in run("tax-rate", "create", "VAT", "19", "--country", "DE", "--tax-code", "books").output
    )
    assert run("tax-rate", "end", rate, "--at", "2999-01-01T00:00:00Z").exit_code == 0
    following = ("--country", "DE", "--tax-code", "books", "--from", "2999-01-01T00:00:00Z")
    assert run("tax-rate", "create", "VAT", "19", *following).exit_code == 0
    assert [(one["percentage"], one["valid_to"][:4]) for one in lines_of("tax-rate", "list")] == [
        ("16", "2999"),
        ("19", "-"),
    ]
