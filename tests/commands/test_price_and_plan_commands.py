"""`tollkeeper price preview` and `tollkeeper plan ...` as an operator types them."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from tests.catalog.conftest import PRO
from tollkeeper.cli import main

UNIT = {"price": {"type": "unit", "amount": "0.0025"}}
PLAN: dict[str, Any] = {
    "key": "pro",
    "features": [{"key": "calls", "meter": "requests", "filter": {"status": {"lt": "400"}}}],
    **PRO,
}


@pytest.fixture(autouse=True)
def empty_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{tmp_path}/tollkeeper.db")


@pytest.fixture
def card(tmp_path: Path) -> str:
    path = tmp_path / "card.json"
    path.write_text(json.dumps(UNIT))
    return str(path)


@pytest.fixture
def plan_file(tmp_path: Path) -> Path:
    path = tmp_path / "pro.yaml"
    path.write_text(yaml.safe_dump(PLAN, sort_keys=False))
    return path


def run(*arguments: str, stdin: str | None = None) -> Result:
    return CliRunner().invoke(main, arguments, input=stdin)


def preview(card: str, *arguments: str, stdin: str | None = None) -> Result:
    return run("price", "preview", "--currency", "USD", "--rate-card", card, *arguments, stdin=stdin)


def edit(path: Path, amount: str) -> None:
    document = copy.deepcopy(PLAN)
    document["phases"][1]["rate_cards"][0]["price"]["amount"] = amount
    path.write_text(yaml.safe_dump(document))


def test_a_preview_prints_the_json_of_the_api(card: str) -> None:
    result = preview(card, "--quantity", "1500")
    assert result.exit_code == 0
    assert json.loads(result.stdout) == {
        "lines": [
            {"kind": "usage", "description": "Usage", "quantity": "1500", "unit_price": "0.0025", "amount": "3.75"}
        ],
        "total": "3.75",
    }


@pytest.mark.parametrize(
    ("arguments", "total"),
    [
        (["--quantity", "1500", "--already-billed-quantity", "1000"], "1.25"),
        (["--quantity", "1000", "--already-billed-quantity", "1500"], "-1.25"),
        (["--quantity", "1500", "--incomplete"], "3.75"),
        (["--quantity", "-5"], "0.00"),
        (["--quantity", "0.5", "--already-billed-quantity", "0"], "0.00"),
    ],
)
def test_options_are_those_of_the_api(card: str, arguments: list[str], total: str) -> None:
    assert json.loads(preview(card, *arguments).stdout)["total"] == total


def test_events_are_counted() -> None:
    price = {"type": "percentage", "rate": "0", "fixed_amount": "0.10", "free_events": "10"}
    result = preview("-", "--quantity", "0", "--event-count", "12", stdin=json.dumps({"price": price}))
    assert json.loads(result.stdout)["total"] == "0.20"


def test_a_card_comes_from_standard_input_as_yaml_too() -> None:
    text = 'price:\n  type: package\n  amount: "5.00"\n  package_size: 1000\n'
    assert json.loads(preview("-", "--quantity", "1001", stdin=text).stdout)["total"] == "10.00"


def test_a_refused_card_is_told_on_standard_error_with_every_path() -> None:
    text = "price:\n  type: graduated\n  tiers:\n  - {up_to: 10, unit_price: 0.5}\n  - {up_to: 5, unit_price: 1}\n"
    result = preview("-", "--quantity", "1", stdin=text)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.splitlines() == [
        "Error: the rate card has wrong fields: /price/tiers/0/unit_price, /price/tiers/1/up_to",
        '  /price/tiers/0/unit_price: 0.5 is a float, which is not exact; write it as a string, like "0.5"',
        "  /price/tiers/1/up_to: the last tier must be open; set it to null",
    ]


@pytest.mark.parametrize(
    ("stdin", "message"),
    [
        ("{}", "Error: the rate card is wrong: /price: is missing"),
        ("", "Error: the rate card is wrong: input should be a valid dictionary"),
        ('{"price": 1, "price": 2}', "Error: standard input: 'price' is there twice"),
        ("price: 1\nprice: 2\n", "Error: standard input: line 2, column 1: 'price' is there twice"),
        ('{"price": }', "Error: standard input: line 1, column 11: Expecting value"),
        ("price: [", "Error: standard input: line 1, column 9"),
        ("price: !!python/object:os.system {}", "Error: standard input: line 1, column 8: could not determine"),
    ],
)
def test_a_file_that_cannot_be_read_says_where(stdin: str, message: str) -> None:
    result = preview("-", "--quantity", "1", stdin=stdin)
    assert result.exit_code == 1
    assert result.stderr.startswith(message)


def test_a_file_that_is_not_there_is_named() -> None:
    result = preview("nowhere.json", "--quantity", "1")
    assert (result.exit_code, result.stderr) == (1, "Error: nowhere.json cannot be read: No such file or directory\n")


def test_yaml_is_read_without_its_traps() -> None:
    # YAML 1.1 reads 0100 as 64 and 1:30 as 90
    text = "price: {type: package, amount: 1, package_size: 0100}\n"
    assert json.loads(preview("-", "--quantity", "100", stdin=text).stdout)["total"] == "1.00"
    result = preview("-", "--quantity", "1", stdin="price: {type: unit, amount: 1:30}\n")
    assert "'1:30' is no decimal number" in result.stderr


def test_wrong_options_are_refused(card: str) -> None:
    assert preview(card, "--quantity", "many").exit_code == 2
    assert preview(card, "--quantity", "1", "--event-count", "-1").exit_code == 2
    result = run("price", "preview", "--currency", "usd", "--rate-card", card, "--quantity", "1")
    assert (result.exit_code, result.stderr) == (
        1,
        "Error: /currency: 'usd' is no ISO 4217 currency; write it like 'EUR'\n",
    )


def test_a_plan_is_applied_once(plan_file: Path) -> None:
    first = run("plan", "apply", str(plan_file))
    assert first.stdout.splitlines() == ["feature calls: created", "plan pro: published version 1"]
    second = run("plan", "apply", str(plan_file))
    assert second.stdout.splitlines() == ["plan pro: version 1 is on sale already; nothing changed"]


def test_a_changed_plan_becomes_the_next_version(plan_file: Path) -> None:
    run("plan", "apply", str(plan_file))
    edit(plan_file, "30.00")
    assert run("plan", "apply", str(plan_file)).stdout.splitlines() == [
        "plan pro: published version 2",
        '  /phases/standard/rate_cards/base/price/amount: "20.00" -> "30.00"',
    ]
    assert run("plan", "diff", "pro", "1", "2").stdout.splitlines() == [
        '  /phases/standard/rate_cards/base/price/amount: "20.00" -> "30.00"'
    ]
    versions = [line.split()[:2] for line in run("plan", "versions", "pro").stdout.splitlines()]
    assert versions == [["2", "published"], ["1", "archived"]]


def test_the_same_amount_written_otherwise_is_no_change(plan_file: Path) -> None:
    run("plan", "apply", str(plan_file))
    edit(plan_file, "20")
    assert "nothing changed" in run("plan", "apply", str(plan_file)).stdout


def test_a_dry_run_changes_nothing(plan_file: Path) -> None:
    result = run("plan", "apply", str(plan_file), "--dry-run")
    assert result.exit_code == 0
    assert result.stdout.splitlines()[-1] == "Nothing was changed: this was a dry run."
    assert run("plan", "list").stdout == ""


def test_a_plan_that_is_shown_can_be_applied(plan_file: Path) -> None:
    run("plan", "apply", str(plan_file))
    shown = run("plan", "show", "pro").stdout
    assert "nothing changed" in run("plan", "apply", "-", stdin=shown).stdout


def test_a_wrong_plan_file_changes_nothing(plan_file: Path) -> None:
    edit(plan_file, "-1")
    result = run("plan", "apply", str(plan_file))
    assert result.exit_code == 1
    assert result.stderr == "Error: the plan is wrong: /phases/1/rate_cards/0/price/amount: must be 0 or more\n"
    assert run("plan", "list").stdout == ""


@pytest.mark.parametrize(
    ("feature", "message"),
    [
        ({"key": "calls", "meter": "no_such"}, "Error: /features/0/meter: there is no meter 'no_such'"),
        (
            {"key": "calls", "meter": "requests", "filter": {"status": {"above": "1"}}},
            "Error: the filter is wrong: /features/0/filter/status/above",
        ),
        ({"key": "other", "meter": "requests"}, "Error: the plan cannot be published: /phases/1/rate_cards/1/feature"),
    ],
)
def test_a_wrong_feature_in_a_plan_file_is_named(plan_file: Path, feature: dict[str, Any], message: str) -> None:
    plan_file.write_text(json.dumps({**PLAN, "features": [feature]}))
    for command in ("apply", "validate"):
        result = run("plan", command, str(plan_file))
        assert result.exit_code == 1
        assert result.stderr.startswith(message)
    assert run("plan", "list").stdout == ""


def test_validate_says_that_a_plan_is_fine_and_stores_nothing(plan_file: Path) -> None:
    assert run("plan", "validate", str(plan_file)).stdout == "pro: the plan can be published.\n"
    assert run("plan", "list").stdout == ""


def test_plans_are_listed(plan_file: Path) -> None:
    run("plan", "apply", str(plan_file))
    assert run("plan", "list").stdout.split() == ["pro", "USD", "version", "1", "Pro"]


def test_the_price_of_1500_calls_on_pro(plan_file: Path) -> None:
    run("plan", "apply", str(plan_file))
    answer = json.loads(run("plan", "preview", "pro", "--quantity", "calls=1500").stdout)
    assert (answer["total"], [card["total"] for card in answer["rate_cards"]]) == ("24.50", ["20.00", "4.50"])
    result = run("plan", "preview", "pro", "--quantity", "calls")
    assert result.stderr.startswith("Error: --quantity calls: ")


def test_a_plan_that_is_not_there_is_told() -> None:
    result = run("plan", "show", "gone")
    assert (result.exit_code, result.stderr) == (1, "Error: there is no plan 'gone'\n")


def test_a_files_billing_threshold_is_published_and_a_wrong_one_refused(plan_file: Path) -> None:
    plan_file.write_text(yaml.safe_dump(PLAN | {"billing_thresholds": {"USD": "500.00"}}))
    run("plan", "apply", str(plan_file))
    assert json.loads(run("plan", "show", "pro").stdout)["billing_thresholds"] == {"USD": "500.00"}
    plan_file.write_text(yaml.safe_dump(PLAN | {"billing_thresholds": {"USD": "0", "JPY": "9"}}))
    complaints = run("plan", "validate", str(plan_file)).output
    assert "/billing_thresholds/USD" in complaints
    assert "/billing_thresholds/JPY: is no currency of the plan" in complaints
