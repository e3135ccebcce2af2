"""The usage behind an invoice as CSV, over the API and from the page."""

import csv
import io
from collections.abc import Callable

from flask.testing import FlaskClient

from tests.scenarios.story import Story
from tests.web.visitor import Visitor
from tollkeeper.storage.session import Database

KeyFor = Callable[..., dict[str, str]]
STORY = """
    plan payg: 0.10 EUR each of calls
    customer group in EUR
    customer north in EUR paid by group
    2026-01-01 group subscribes to payg
    2026-01-10 group uses 3 calls
    2026-01-11 north uses 7 calls in 2 events
    2026-02-01 close period
    2026-02-02 group uses 9 calls
"""


def test_each_event_behind_an_invoice_is_a_row(client: FlaskClient, key_for: KeyFor, database: Database) -> None:
    Story(database, STORY)
    answer = client.get("/api/v1/invoices/INV-000001/usage.csv", headers=key_for("read"))
    assert answer.mimetype == "text/csv"
    assert answer.headers["Content-Disposition"] == "attachment; filename=INV-000001-usage.csv"
    rows = list(csv.DictReader(io.StringIO(answer.get_data(as_text=True))))
    told = sorted((row["customer"], row["time"], row["subject"], row["value"]) for row in rows)
    assert told == [
        ("group", "2026-01-10T00:00:00+00:00", "user:group", "3"),
        ("north", "2026-01-11T00:00:00+00:00", "user:north", "0"),
        ("north", "2026-01-11T00:00:00+00:00", "user:north", "7"),
    ]
    assert {(row["rate_card"], row["feature"], row["source"]) for row in rows} == {("calls", "calls", "story")}


def test_the_usage_is_for_readers_of_an_invoice_that_is_there(
    client: FlaskClient, key_for: KeyFor, database: Database
) -> None:
    Story(database, STORY)
    assert client.get("/api/v1/invoices/INV-000001/usage.csv", headers=key_for("ingest")).status_code == 403
    assert client.get("/api/v1/invoices/INV-000009/usage.csv", headers=key_for("read")).status_code == 404


def test_the_page_offers_the_usage(ada: Visitor) -> None:
    assert "Usage as CSV" in ada.text("/admin/invoices/INV-000003")
    answer = ada.get("/admin/invoices/INV-000003/usage.csv")
    assert answer.get_data(as_text=True).startswith("rate_card,feature,period_start")
