"""`tollkeeper events export --format parquet` and `check-export`: days as files that prove themselves."""

import hashlib
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result
from sqlalchemy import select, text

from tests.shop import at
from tollkeeper.cli import main
from tollkeeper.invoices.retention import drop_old_events
from tollkeeper.metering.accept import accept_events
from tollkeeper.metering.event import Event, decode_events
from tollkeeper.metering.keeping_tables import EventExport
from tollkeeper.storage.session import Database

Run = Callable[..., Result]
ALICE = {"route": "flights", "status": 200, "consumer": {"id": "1", "username": "alice"}, "credential": "k"}
# Data in which every way of storing has a part: measured numbers, odd ones, nulls, strangers, another type.
EVENTS = [
    ("2026-03-01T08:00", "kong.request", ALICE),
    ("2026-03-01T09:00", "kong.request", {**ALICE, "latency_ms": {"request": 3}, "bytes": {"response": 300}}),
    ("2026-03-02T09:00", "kong.request", {**ALICE, "llm": {"model": "m", "input_tokens": 5, "x": 1.50}}),
    ("2026-03-02T10:00", "kong.request", {"consumer": None, "bytes": {"response": "1.5"}, "tags": ["ä", {"b": 1}]}),
    ("2026-03-02T11:00", "kong.request", None),
    ("2026-03-02T12:00", "job.done", {"minutes": 3, "b": None, "a": [1, 2.50]}),
]  # fmt: skip


def cloud_event(number: int, when: str, event_type: str, data: Any) -> Event:
    return Event(id=f"e{number}", source="app", type=event_type, subject="consumer:1", time=at(when), data=data)


@pytest.fixture
def books(database: Database) -> Database:
    """Two days of events; the third day is today."""
    batch = [cloud_event(number, *one) for number, one in enumerate(EVENTS)]
    body = b'[{"id": "raw", "source": "app", "type": "t", "time": "2026-03-01T10:00:00Z", "data": {"status":200}}]'
    batch += [event for _, event in decode_events(body)[0]]
    with database.transaction() as session:
        assert accept_events(session, batch, now=datetime(2026, 3, 3, tzinfo=UTC)).accepted == 7
    return database


@pytest.fixture
def run(books: Database, database_url: str) -> Run:
    def run_command(*arguments: str) -> Result:
        return CliRunner().invoke(main, ["events", *arguments], env={"DATABASE_URL": database_url})

    return run_command


@pytest.fixture
def folder(run: Run, tmp_path: Path) -> Path:
    """The folder of an export of everything."""
    result = run("export", str(tmp_path / "out"), "--format", "parquet")
    assert result.exit_code == 0, result.output
    assert result.output == f"7 events of 2 days in {tmp_path / 'out'}, 2 days written now\n"
    return tmp_path / "out"


def test_a_day_is_a_file_of_cloud_events(folder: Path) -> None:
    assert sorted(path.name for path in folder.iterdir()) == [
        "2026-03-01.parquet",
        "2026-03-02.parquet",
        "manifest.json",
    ]
    rows = pq.read_table(folder / "2026-03-01.parquet").to_pylist()
    assert {row["id"] for row in rows} == {"e0", "e1", "raw"}
    first = rows[0]
    assert json.loads(first.pop("data")) == ALICE
    assert first == {
        "time": at("2026-03-01T08:00"),
        "source": "app",
        "id": "e0",
        "type": "kong.request",
        "subject": "consumer:1",
    }


def test_the_manifest_names_numbers_and_digests_and_nobody(folder: Path) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    assert {day: entry["events"] for day, entry in manifest["days"].items()} == {"2026-03-01": 3, "2026-03-02": 4}
    assert all(len(entry["digest"]) == 336 and len(entry["sha256"]) == 64 for entry in manifest["days"].values())
    assert "alice" not in (folder / "manifest.json").read_text()


def test_an_export_is_equal_to_what_was_accepted(run: Run, folder: Path) -> None:
    result = run("check-export", str(folder))
    assert (result.exit_code, result.output) == (0, "2 of 2 days are equal to what was accepted\n")


def test_an_export_is_proved_when_the_raw_events_are_gone(run: Run, folder: Path, books: Database) -> None:
    with books.transaction() as session:
        session.execute(text("DELETE FROM events"))
    assert run("check-export", str(folder)).exit_code == 0


def test_a_changed_row_is_found_even_if_the_manifest_was_changed_with_it(run: Run, folder: Path) -> None:
    path = folder / "2026-03-01.parquet"
    table = pq.read_table(path)
    subjects = pa.array(["consumer:2", *table.column("subject").to_pylist()[1:]])
    pq.write_table(table.set_column(4, "subject", subjects), path)
    result = run("check-export", str(folder), "--json")
    assert result.exit_code == 1
    assert json.loads(result.output.splitlines()[0])["state"] == "changed_file"
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["days"]["2026-03-01"]["sha256"] = hashlib.sha256(path.read_bytes()).hexdigest()
    (folder / "manifest.json").write_text(json.dumps(manifest))
    found = json.loads(run("check-export", str(folder), "--json").output.splitlines()[0])
    assert (found["state"], found["day"]) == ("changed_file", "2026-03-01")


def test_a_file_of_other_events_is_not_what_the_store_accepted(run: Run, folder: Path, books: Database) -> None:
    with books.transaction() as session:
        session.execute(text("DELETE FROM digest_parts"))
        session.execute(text("DELETE FROM event_digests"))
        again = cloud_event(0, "2026-03-01T08:00", "kong.request", {**ALICE, "status": 500})
        batch = [again, *(cloud_event(n, "2026-03-01T08:00", "kong.request", None) for n in (8, 9))]
        session.execute(text("DELETE FROM events"))
        assert accept_events(session, batch, now=at("2026-03-03")).accepted == 3
    found = json.loads(run("check-export", str(folder), "--json").output.splitlines()[0])
    assert (found["state"], found["day"]) == ("differs", "2026-03-01")


def test_a_garbled_file_is_a_changed_file(run: Run, folder: Path) -> None:
    (folder / "2026-03-02.parquet").write_bytes(b"PAR1 nothing")
    result = run("check-export", str(folder))
    assert result.exit_code == 1
    assert "changed_file  2026-03-02" in result.output


def test_a_repeat_writes_only_the_days_that_grew(run: Run, folder: Path, books: Database) -> None:
    with books.transaction() as session:
        late = cloud_event(99, "2026-03-01T23:00", "kong.request", ALICE)
        assert accept_events(session, [late], now=at("2026-03-04")).accepted == 1
    checked = run("check-export", str(folder))
    assert checked.exit_code == 0
    assert "grew          2026-03-01  1 events came since the export; export again" in checked.output
    assert run("export", str(folder), "--format", "parquet").output.endswith("8 events of 2 days in "
        f"{folder}, 1 days written now\n")  # fmt: skip
    assert run("check-export", str(folder)).output == "2 of 2 days are equal to what was accepted\n"


def test_a_lost_file_is_written_again(run: Run, folder: Path) -> None:
    (folder / "2026-03-02.parquet").unlink()
    assert run("export", str(folder), "--format", "parquet").output.endswith("1 days written now\n")


def test_a_day_that_was_tampered_with_is_not_exported(run: Run, books: Database, tmp_path: Path) -> None:
    with books.transaction() as session:
        session.execute(text("DELETE FROM events WHERE id_text = 'e1'"))
    result = run("export", str(tmp_path / "out"), "--format", "parquet")
    assert result.exit_code == 1
    assert "the events of 2026-03-01 are not those that were accepted" in result.output
    assert list((tmp_path / "out").iterdir()) == []


def test_the_store_remembers_what_was_exported(folder: Path, books: Database) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    with books.snapshot() as session:
        rows = session.scalars(select(EventExport).order_by(EventExport.day)).all()
        assert [(row.events, row.digest.hex(), row.sha256) for row in rows] == [
            (entry["events"], entry["digest"], entry["sha256"]) for _, entry in sorted(manifest["days"].items())
        ]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--format", "parquet", "--customer", "acme"), "/customer: a Parquet export holds whole days"),
        ((), "is a folder; name a file"),
    ],
)
def test_what_an_export_cannot_be_is_said(run: Run, tmp_path: Path, arguments: tuple[str, ...], said: str) -> None:
    result = run("export", str(tmp_path), *arguments)
    assert result.exit_code == 1
    assert said in result.output


def test_a_folder_with_another_manifest_is_refused(run: Run, tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text('{"days": {}, "format": "another"}')
    result = run("check-export", str(tmp_path))
    assert result.exit_code == 1
    assert "is no manifest of an export" in result.output


def test_an_export_from_before_a_forgetting_is_proved_and_written_anew(run: Run, folder: Path) -> None:
    result = run("forget", "--username", "alice", "--field", "nobody.there=x", "--yes")
    assert result.exit_code == 0, result.output
    assert result.output.startswith("6 events of 1 subjects name the person no more (act fgt_")
    assert "Exported before, and still with the names: 2026-03-01, 2026-03-02." in result.output
    checked = run("check-export", str(folder))
    assert checked.exit_code == 0
    assert "forgotten     2026-03-01  somebody was forgotten since; export again, or delete the file" in checked.output
    assert run("verify").exit_code == 0
    assert run("export", str(folder), "--format", "parquet").output.endswith("2 days written now\n")
    assert run("check-export", str(folder)).output == "2 of 2 days are equal to what was accepted\n"
    assert not any("alice" in str(pq.read_table(path).to_pylist()) for path in folder.glob("*.parquet"))


def test_forgetting_asks_first(run: Run) -> None:
    result = run("forget", "--username", "alice")
    assert (result.exit_code, "Aborted" in result.output) == (1, True)


def test_a_field_without_a_value_is_refused(run: Run) -> None:
    assert "'email' is no PATH=VALUE" in run("forget", "--field", "email", "--yes").output


def test_verify_says_what_is_left_when_raw_events_were_dropped(run: Run, folder: Path, books: Database) -> None:
    drop_old_events(books, keep_days=10, only_exported=True, now=at("2026-04-01"), grace=timedelta(hours=1))
    result = run("verify")
    assert result.exit_code == 0, result.output
    assert "dropped    7 raw events of 2 days: their digests and totals are as they were then" in result.output
    assert result.output.endswith("0 events, 0 digests: no differences\n")
    assert run("check-export", str(folder)).output == "2 of 2 days are equal to what was accepted\n"
