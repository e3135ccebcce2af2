"""`tollkeeper credit` on an empty machine."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tests.scenarios.story import Story
from tollkeeper.cli import main
from tollkeeper.commands.database import open_database


@pytest.fixture(autouse=True)
def acme(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The customer acme in EUR, of whom INV-000001 of 20.00 was drawn 5.00."""
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{tmp_path}/tollkeeper.db")
    with open_database() as database:
        Story(
            database,
            """
            plan pro: 20.00 EUR per month
            customer acme in EUR
            2026-01-01 grant acme 5.00 EUR of promotional credit named welcome
            2026-01-01 acme subscribes to pro
            2026-01-01 close period
            """,
        )


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments)


def test_credit_is_granted_and_voided() -> None:
    terms = ("--kind", "paid", "--key", "p-1", "--until", "2999-01-01T00:00:00Z")
    made = run("credit", "grant", "acme", "30.00", *terms)
    assert made.output.endswith("  30.00 EUR\n")
    assert run("credit", "grant", "acme", "30", *terms).output == made.output
    assert run("credit", "balance", "acme").output == "30.00 EUR\n"
    assert run("credit", "void", made.output.split()[0]).exit_code == 0
    assert run("credit", "balance", "acme").output == "0.00 EUR\n"


def test_the_ledger_shows_each_act_with_its_entries() -> None:
    told = [json.loads(line) for line in run("credit", "ledger", "acme", "--json").output.splitlines()]
    assert [(one["sequence"], one["kind"]) for one in told] == [(2, "draw"), (1, "grant")]
    assert [entry["amount"] for entry in told[0]["entries"]] == ["-5.00", "5.00"]
    assert "invoices:EUR" in run("credit", "ledger", "acme").output


def test_an_amount_that_the_currency_has_not_is_one_line() -> None:
    answer = run("credit", "grant", "acme", "0.001", "--kind", "paid")
    assert (answer.exit_code, answer.output) == (1, "Error: /amount: '0.001' has more decimals than EUR, which has 2\n")


def test_a_stranger_checks_an_invoice_with_credit(tmp_path: Path) -> None:
    assert run("invoice", "verify", "INV-000001").exit_code == 0
    folder = tmp_path / "export"
    assert run("invoice", "export", "INV-000001", "--to", str(folder)).exit_code == 0
    script = Path(__file__).parent.parent.parent / "docs/check_invoice.py"
    checked = subprocess.run([sys.executable, script, folder], capture_output=True, text=True, check=False)
    assert checked.stdout.endswith("Everything is equal.\n")
    path = folder / "credit.json"
    path.write_text(path.read_text().replace('"amount_minor": 500', '"amount_minor": 501'))
    checked = subprocess.run([sys.executable, script, folder], capture_output=True, text=True, check=False)
    assert "do not sum to zero" in checked.stdout
