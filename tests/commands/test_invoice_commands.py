"""`tollkeeper invoice`, `bill run` and `check-books`, and a stranger's check of an export."""

import json
import shutil
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tests.scenarios.story import Story
from tollkeeper.cli import main
from tollkeeper.commands.database import open_database

ROOT = Path(__file__).parents[2]
CHECKER = ROOT / "docs/check_invoice.py"


@pytest.fixture(autouse=True)
def empty_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{tmp_path}/tollkeeper.db")
    monkeypatch.chdir(tmp_path)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments)


def tell(text: str) -> Story:
    with open_database() as database:
        return Story(database, text)


def check(folder: Path) -> subprocess.CompletedProcess[str]:
    """Check an export with the standard library alone: -I and -S leave our packages out."""
    return subprocess.run(
        [sys.executable, "-I", "-S", str(CHECKER), str(folder)], capture_output=True, text=True, check=False
    )


EVERY_PRICE = """
    plan every: 31.00 EUR per month, 100 calls included, then 0.0125 EUR each, 15 % off
    plan rest: 5 x 10.00 EUR per month, 5.00 EUR per 1000 tokens, 1.5 % of payments and 0.10 EUR each; 2 free, \
cost of llm times 1.2, 0.10 EUR each of bytes, billed by 1000 rounded up, jobs volume to 10 at 0.5 plus 1 | above at \
0.3, clicks graduated to 10 at 0.5 plus 1 | above at 0.3 plus 2, 1.00 EUR each of mails, at least 50.00 EUR, 1.00 EUR \
each of sms, at most 5.00 EUR, 0.10 EUR each of rows, 100 units free
    2026-01-01 acme subscribes to every
    2026-01-01 close period
    2026-01-05 acme uses 333 calls
    2026-01-11 acme changes to rest
    2026-01-12 acme uses 1001 tokens
    2026-01-12 acme uses 250.00 payments in 5 events
    2026-01-12 acme uses 10.04123 llm
    2026-01-12 acme uses 12001 bytes
    2026-01-12 acme uses 11 jobs
    2026-01-12 acme uses 15 clicks
    2026-01-12 acme uses 7 mails
    2026-01-12 acme uses 9 sms
    2026-01-12 acme uses 150 rows
    2026-02-01 close period
    2026-02-05 acme uses 5 jobs on 2026-01-15
    2026-03-01 close period
    2026-04-01 close period
"""


def test_a_stranger_can_check_every_invoice_with_the_standard_library(tmp_path: Path) -> None:
    tell(EVERY_PRICE)
    numbers = [json.loads(line)["number"] for line in run("invoice", "list", "--json").stdout.splitlines()]
    assert len(numbers) >= 5
    late = 0
    for number in numbers:
        exported = run("invoice", "export", number, "--to", str(tmp_path / number))
        assert exported.exit_code == 0, exported.output
        checked = check(tmp_path / number)
        # the one charge that was corrected since has other events today, and says so
        late += checked.stdout.count("(late ones: on a later invoice)")
        assert checked.returncode == 0 or checked.stdout.count("WRONG") == 1, checked.stdout + checked.stderr
        assert run("invoice", "verify", number).exit_code == 0
    assert late == 1


def test_the_job_issues_an_interim_invoice_when_usage_comes_to_the_plans_threshold() -> None:
    start = datetime.now(UTC) - timedelta(hours=2)
    tell(
        f"""
        plan payg: 0.10 EUR each of calls, interim invoices at 5.00 EUR
        {start:%Y-%m-%d %H:%M} acme subscribes to payg
        {start + timedelta(hours=1):%Y-%m-%d %H:%M} acme uses 60 calls
        """
    )
    for _ in range(2):  # the second time there is nothing new
        assert run("jobs", "run", "--once", "bill_thresholds").exit_code == 0
        listed = [json.loads(line) for line in run("invoice", "list", "--json").stdout.splitlines()]
        assert [(one["number"], one["total"], one["status"]) for one in listed] == [("INV-000001", "6.00", "issued")]


def test_a_stranger_can_check_interim_invoices_and_what_they_left(tmp_path: Path) -> None:
    tell(
        """
        customer group in EUR
        customer north in EUR paid by group
        plan payg: calls graduated to 50 at 0.1 plus 1 | above at 0.05, 10 % off, at least 20.00 EUR, \
7.00 EUR per 30 jobs, jobs2 volume to 10 at 0.5 | above at 0.3, 1.5 % of sales and 0.10 EUR each, \
interim invoices at 5.00 EUR
        2026-01-01 group subscribes to payg
        2026-01-05 north uses 60 calls
        2026-01-05 group uses 20 jobs2
        2026-01-06 bill thresholds
        2026-01-07 group uses 41 calls
        2026-01-07 group uses 31 jobs
        2026-01-07 group uses 100 sales in 3 events
        2026-01-08 bill thresholds
        2026-02-01 close period
        """
    )
    for number in ("INV-000001", "INV-000002", "INV-000003"):
        assert run("invoice", "export", number, "--to", str(tmp_path / number)).exit_code == 0
        assert check(tmp_path / number).stdout.endswith("Everything is equal.\n")


@pytest.mark.parametrize(
    ("file", "old", "new", "complaint"),
    [
        ("document.json", '"amount_minor": 50', '"amount_minor": 49', "digest"),
        ("charges.json", '"amount": "0.10"', '"amount": "0.20"', "the rate card gives [100], [50] was rated"),
        ("charges.json", '"quantity": "5"', '"quantity": "6"', "the events do not come to 6"),
    ],
)
def test_a_stranger_finds_what_was_changed(tmp_path: Path, file: str, old: str, new: str, complaint: str) -> None:
    tell(
        """
        plan payg: 0.10 EUR each of calls
        2026-01-01 acme subscribes to payg
        2026-01-10 acme uses 5 calls
        2026-02-01 close period
        """
    )
    folder = tmp_path / "export"
    assert run("invoice", "export", "INV-000001", "--to", str(folder)).exit_code == 0
    assert check(folder).stdout.endswith("Everything is equal.\n")
    path = folder / file
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))
    checked = check(folder)
    assert checked.returncode == 1
    assert complaint in checked.stdout


def test_a_stranger_finds_a_lost_event(tmp_path: Path) -> None:
    tell(
        """
        plan payg: 0.10 EUR each of calls
        2026-01-01 acme subscribes to payg
        2026-01-10 acme uses 5 calls in 3 events
        2026-02-01 close period
        """
    )
    folder = tmp_path / "export"
    run("invoice", "export", "INV-000001", "--to", str(folder))
    [events] = (folder / "events").iterdir()
    events.write_text("\n".join(events.read_text().splitlines()[:2]) + "\n")
    assert "the 2 events are not the 3 billed" in check(folder).stdout


def test_a_credit_note_is_verified_and_a_stranger_can_check_it(tmp_path: Path) -> None:
    tell(
        """
        plan pro: 20.00 EUR per month
        2026-01-01 acme subscribes to pro
        2026-01-01 close period
        2026-01-05 take back of INV-000001 7.50
        2026-01-06 pay INV-000001
        2026-01-07 take back of INV-000001 2.50 of line 1 to credit
        """
    )
    for number in ("CN-000001", "CN-000002"):
        assert run("invoice", "export", number).exit_code == 0
        assert check(tmp_path / number).stdout.endswith("Everything is equal.\n")
    verified = [json.loads(line) for line in run("invoice", "verify", "CN-000002", "--json").stdout.splitlines()]
    assert [(one["description"], one["amount"], one["verdict"]) for one in verified] == [
        ("credit note CN-000002 for INV-000001", "2.50", "equal"),
        ("Pro, fee: Flat fee", "2.50", "equal"),
        ("Added to prepaid credit", "2.50", "equal"),
    ]
    refused = run("invoice", "verify", "CN-000003")
    assert refused.exit_code == 1
    assert "there is no invoice or credit note 'CN-000003'" in refused.output


def test_an_export_does_not_overwrite(tmp_path: Path) -> None:
    tell("plan pro: 20.00 EUR per month\n2026-01-01 acme subscribes to pro\n2026-01-01 close period")
    assert run("invoice", "export", "INV-000001").exit_code == 0
    refused = run("invoice", "export", "INV-000001")
    assert refused.exit_code == 1
    assert "is there already" in refused.output
    shutil.rmtree(tmp_path / "INV-000001")


def test_bill_run_issues_what_is_due_and_nothing_when_repeated() -> None:
    tell("plan pro: 20.00 EUR per month\n2026-01-01 acme subscribes to pro\n2026-01-01 globex subscribes to pro")
    first = json.loads(run("bill", "run", "--json").stdout)
    assert first["failures"] == {}
    assert first["invoices"][:2] == ["INV-000001", "INV-000002"]
    assert json.loads(run("bill", "run", "--json").stdout)["invoices"] == []
    assert run("check-books").output == "The books are in order.\n"


def test_show_prints_subtotals_and_total() -> None:
    tell(
        """
        plan pro: 20.00 EUR per month
        customer group in EUR
        customer north in EUR paid by group
        2026-01-01 group subscribes to pro
        2026-01-01 north subscribes to pro
        2026-01-01 close period
        """
    )
    shown = run("invoice", "show", "INV-000001").output
    assert shown.count("sub-total") == 2
    assert shown.endswith("40.00  EUR total\n")


FAMILY = """
    plan payg: calls graduated to 10 at 0.10 | above at 0.01
    plan mini: 0.10 USD each of calls
    customer group
    customer north paid by group
    customer south paid by group
    2026-01-01 group subscribes to payg
    2026-01-10 north uses 5 calls in 3 events
    2026-01-11 south uses 10 calls
    2026-02-01 close period
"""


def test_show_says_who_used_what_of_a_line() -> None:
    tell(FAMILY)
    shown = [line.strip() for line in run("invoice", "show", "INV-000001").output.splitlines()]
    # 10 at 0.10 and 5 at 0.01, shared 1 : 2
    assert [line for line in shown if line.startswith("of which")] == [
        "of which North 5 used (0.33)",
        "of which South 10 used (0.67)",
        "of which North 5 used (0.02)",
        "of which South 10 used (0.03)",
    ]
    assert "0.35  sub-total North (north)" in shown
    assert "0.70  sub-total South (south)" in shown


def test_a_stranger_can_check_what_each_subsidiary_used(tmp_path: Path) -> None:
    tell(
        FAMILY
        + """
        2026-02-05 group uses 2 calls on 2026-01-20
        2026-02-06 north subscribes to mini from 2026-01-01
        2026-02-10 south uses 7 calls
        2026-03-01 close period
        """
    )
    numbers = [json.loads(line)["number"] for line in run("invoice", "list", "--json").stdout.splitlines()]
    assert len(numbers) >= 2
    for number in numbers:
        assert run("invoice", "export", number, "--to", str(tmp_path / number)).exit_code == 0
        assert run("invoice", "verify", number).exit_code == 0
    # the first invoice's charge got a late event since, and says so
    assert check(tmp_path / numbers[-1]).stdout.count("WRONG") == 1
    for number in numbers[:-1]:
        assert check(tmp_path / number).stdout.endswith("Everything is equal.\n")


@pytest.mark.parametrize(
    ("file", "old", "new", "complaint"),
    [
        ("charges.json", '"quantity": "5"', '"quantity": "4"', "did not use 4"),
        ("charges.json", '"amount_minor": 35', '"amount_minor": 36', "its lines are not shared by what each"),
        ("document.json", '"amount_minor": 33', '"amount_minor": 34', "the shares of a line do not add up to it"),
    ],
)
def test_a_stranger_finds_a_changed_share(tmp_path: Path, file: str, old: str, new: str, complaint: str) -> None:
    tell(FAMILY)
    folder = tmp_path / "export"
    run("invoice", "export", "INV-000001", "--to", str(folder))
    assert check(folder).stdout.endswith("Everything is equal.\n")
    path = folder / file
    # of the fields with this value the last is the share's: JSON is sorted by name, and rated lines come before
    head, found, tail = path.read_text().rpartition(old)
    assert found
    path.write_text(head + new + tail)
    assert complaint in check(folder).stdout


def test_an_unknown_invoice_is_one_line_and_exit_1() -> None:
    shown = run("invoice", "verify", "INV-9")
    assert (shown.exit_code, shown.output) == (1, "Error: there is no invoice or credit note 'INV-9'\n")


def test_an_invoice_and_a_credit_note_are_printed_the_same_each_time(tmp_path: Path) -> None:
    tell(
        """
        plan pro: 20.00 EUR per month
        2026-01-01 acme subscribes to pro
        2026-01-01 close period
        2026-01-05 take back of INV-000001 8.00
        """
    )
    assert run("invoice", "pdf", "INV-000001").output == "INV-000001.pdf written\n"
    assert run("invoice", "pdf", "INV-000001", "--to", "again.pdf").exit_code == 0
    assert (tmp_path / "again.pdf").read_bytes() == (tmp_path / "INV-000001.pdf").read_bytes()
    assert run("invoice", "pdf", "CN-000001").exit_code == 0
    assert (tmp_path / "CN-000001.pdf").read_bytes().startswith(b"%PDF-")
    assert run("invoice", "pdf", "INV-000009").exit_code == 1
