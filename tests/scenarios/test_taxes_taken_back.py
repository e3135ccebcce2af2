"""Credit notes for invoices with several tax rates, and their proof; amounts by hand."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.scenarios.document_acts import notes_of
from tests.scenarios.story import Story
from tollkeeper.errors import InvalidInput
from tollkeeper.invoices.books import check_books
from tollkeeper.invoices.credit_note_reading import get_note
from tollkeeper.invoices.export_note import export_credit_note
from tollkeeper.invoices.verify_note import verify_credit_note
from tollkeeper.storage.session import Database

PROGRAM = Path(__file__).parents[2] / "docs" / "check_invoice.py"
TWO_RATES = """
    tax is charged in DE
    tax VAT of 19 % in DE
    tax Reduced of 7 % in DE for books
    plan pro: 20.00 EUR per month, 10.50 EUR per month for shelf, taxed as books
    customer acme in EUR
    acme is in DE
    2026-01-01 acme subscribes to pro
    2026-01-01 close period
"""  # 20.00 and 3.80, 10.50 and 0.74: 35.04


def taxes_of(story: Story, number: str) -> list[tuple[str | None, int, int]]:
    """Return what a credit note takes back: name of the rate, net, tax."""
    with story.database.snapshot() as session:
        proof = get_note(session, number).proof
        return [(one["name"], one["net_minor"], one["tax_minor"]) for one in proof["taxes"]]


def test_a_line_comes_back_with_the_tax_of_its_own_rate(database: Database) -> None:
    story = Story(database, TWO_RATES)
    story.go_on("2026-01-05 take back of INV-000001 10.50 of line 2")
    assert taxes_of(story, "CN-000001") == [("Reduced", 1050, 74)]
    assert notes_of(story) == ["CN-000001 issued 11.24: reduction 11.24"]
    story.go_on("2026-01-05 take back of INV-000001 20.00 of line 1")
    assert taxes_of(story, "CN-000002") == [("VAT", 2000, 380)]
    assert story.statuses() == ["paid"]


def test_tax_of_a_line_in_parts_is_rounded_over_all_of_them(database: Database) -> None:
    story = Story(database, TWO_RATES)
    for _ in range(3):
        story.go_on("2026-01-05 take back of INV-000001 3.50 of line 2")
    # 0.74 of 10.50: 0.2467, 0.4933 and 0.74 together
    assert [taxes_of(story, f"CN-00000{number}") for number in (1, 2, 3)] == [
        [("Reduced", 350, 25)],
        [("Reduced", 350, 24)],
        [("Reduced", 350, 25)],
    ]


def test_an_amount_is_spread_over_the_rates_by_what_is_left_at_each(database: Database) -> None:
    story = Story(database, TWO_RATES)
    story.go_on("2026-01-05 take back of INV-000001 11.90 of line 1\n2026-01-05 take back of INV-000001 10.00")
    # 11.90 and 2.26 (2.261) of 23.80 leave 9.64; with 11.24 that is 20.88
    # 10.00 by 9.64 and 11.24: 4.617 and 5.383; tax of 14.16 + 4.62 is 2.9985 less 2.26, of 5.38 it is 0.3542
    assert taxes_of(story, "CN-000002") == [("VAT", 388, 74), ("Reduced", 503, 35)]
    story.go_on("2026-01-06 take back of INV-000001 10.88")
    assert taxes_of(story, "CN-000003") == [("VAT", 422, 80), ("Reduced", 547, 39)]
    assert story.statuses() == ["paid"]


def test_lines_take_back_no_more_than_is_left_at_their_rate(database: Database) -> None:
    story = Story(database, TWO_RATES)
    story.go_on("2026-01-05 take back of INV-000001 20.00")
    # by 23.80 and 11.24: 13.5845 and 6.4155, of which 2.1689 and 0.4226 are tax: 11.41 and 6.00 of net
    assert taxes_of(story, "CN-000001") == [("VAT", 1141, 217), ("Reduced", 600, 42)]
    with pytest.raises(InvalidInput, match=r"come to more than 4\.50 before tax at Reduced 7 %"):
        story.attempt("2026-01-06 take back of INV-000001 4.51 of line 2")
    story.go_on("2026-01-06 take back of INV-000001 4.50 of line 2")
    assert taxes_of(story, "CN-000002") == [("Reduced", 450, 32)]


def test_of_a_line_with_tax_inside_no_more_comes_back_than_it_cost(database: Database, tmp_path: Path) -> None:
    story = Story(
        database,
        """
        tax is charged in DE inside of prices
        tax VAT of 19 % in DE
        plan pro: 11.90 EUR per month, 23.81 EUR per month for shelf
        customer acme in EUR
        acme is in DE
        2026-01-01 acme subscribes to pro
        2026-01-01 close period
        """,
    )
    # 35.71 hold 5.70 (5.7016) of tax: of 11.90 it is 1.8995, of 23.81 it is 3.8005
    with pytest.raises(InvalidInput, match=r"at most 10\.00 of this line, .* before tax"):
        story.attempt("2026-01-05 take back of INV-000001 11.90 of line 1")
    story.go_on(
        "2026-01-05 take back of INV-000001 10.00 of line 1\n2026-01-05 take back of INV-000001 20.01 of line 2"
    )
    assert taxes_of(story, "CN-000001") == [("VAT", 1000, 190)]
    assert taxes_of(story, "CN-000002") == [("VAT", 2001, 380)]
    assert story.statuses() == ["paid"]
    with database.snapshot() as session:
        folder = export_credit_note(session, "CN-000002", tmp_path / "CN-000002")
    run = [sys.executable, "-I", "-S", str(PROGRAM), str(folder)]
    told = subprocess.run(run, capture_output=True, text=True, check=False)
    assert told.stdout.endswith("Everything is equal.\n")


def test_a_void_credit_note_does_not_count_for_the_next_and_both_stay_proved(database: Database) -> None:
    story = Story(database, TWO_RATES)
    story.go_on(
        """
        2026-01-05 take back of INV-000001 10.50 of line 2
        2026-01-05 take back of INV-000001 1.19
        2026-01-05 void CN-000001
        2026-01-05 take back of INV-000001 10.00 of line 2
        """
    )
    with database.snapshot() as session:
        assert get_note(session, "CN-000002").proof["after"] == ["CN-000001"]
        assert get_note(session, "CN-000003").proof["after"] == ["CN-000002"]
        assert check_books(session) == []


@pytest.mark.parametrize(
    ("file", "old", "new", "complaint"),
    [
        ("document.json", '"tax_minor": 61', '"tax_minor": 60', "net, tax, total, and where it went do not add up"),
        ("notes.json", '"amount_minor": 1000', '"amount_minor": 1100', "CN-000001: its digest is not that of"),
        ("invoice.json", '"tax_minor": 380', '"tax_minor": 379', "tax: {"),
        ("credit.json", '"amount_minor": 2000', '"amount_minor": 1999', "credit: 1999 was granted, 2000 is said"),
    ],
)
def test_a_stranger_can_check_a_credit_note_and_finds_what_was_changed(
    database: Database, tmp_path: Path, file: str, old: str, new: str, complaint: str
) -> None:
    story = Story(database, TWO_RATES)
    story.go_on(
        """
        2026-01-05 take back of INV-000001 10.00 of line 1
        2026-01-06 pay INV-000001
        2026-01-07 take back of INV-000001 1.00 of line 2 to out of band
        2026-01-07 take back of INV-000001 20.00 to credit
        2026-01-08 take back of INV-000001 0.05 to credit
        """
    )
    # 11.90 and 10.17 are left: 10.78 and 9.22 of 20.00; of 22.68 tax is 3.6212 less 1.90, of 10.29 0.6774 less 0.07
    assert taxes_of(story, "CN-000003") == [("VAT", 906, 172), ("Reduced", 861, 61)]
    with database.snapshot() as session:
        folder = export_credit_note(session, "CN-000003", tmp_path / "CN-000003")
        assert all(one.is_equal for one in verify_credit_note(session, "CN-000003"))
    run = [sys.executable, "-I", "-S", str(PROGRAM), str(folder)]
    told = subprocess.run(run, capture_output=True, text=True, check=False)
    assert told.stdout == "CN-000003: 1 lines checked, after 2 earlier credit notes\nEverything is equal.\n"
    path = folder / file
    assert old in path.read_text(), path.read_text()
    path.write_text(path.read_text().replace(old, new))
    told = subprocess.run(run, capture_output=True, text=True, check=False)
    assert told.returncode == 1
    assert complaint in told.stdout
