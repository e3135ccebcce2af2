"""A job that fails is counted and logged, and the timetable goes on."""

import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from tests.waiting import eventually
from tollkeeper.clock import FixedClock
from tollkeeper.errors import Unavailable
from tollkeeper.jobs.context import JobContext
from tollkeeper.jobs.runner import Job, run_job
from tollkeeper.jobs.scheduler import JobScheduler
from tollkeeper.jobs.timetable import TIMETABLE, make_days
from tollkeeper.storage.session import Database


def context_of(database: Database, folder: Path) -> JobContext:
    return JobContext(database=database, clock=FixedClock(datetime(2026, 3, 10, tzinfo=UTC)), data_dir=folder)


def runs(job: str, outcome: str) -> float:
    return REGISTRY.get_sample_value("tollkeeper_job_runs_total", {"job": job, "outcome": outcome}) or 0


def test_a_failure_is_counted_and_does_not_spread(database: Database, tmp_path: Path) -> None:
    def fail(_: JobContext) -> int:
        raise RuntimeError("broken")

    before = runs("breaks", "failed")
    assert run_job(Job("breaks", 1, fail, "It breaks."), context_of(database, tmp_path)) is None
    assert runs("breaks", "failed") == before + 1


def test_a_failure_that_comes_again_is_logged_once_a_minute_and_so_is_its_end(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    error: Exception | None = Unavailable("the database is away")

    def fail(_: JobContext) -> int:
        if error:
            raise error
        return 0

    job, context = Job("away", 1, fail, "It fails."), context_of(database, tmp_path)
    with capture_logs() as logs:
        for _ in range(5):
            run_job(job, context)
        assert [one["event"] for one in logs] == ["job_failed"]
        monkeypatch.setattr("tollkeeper.jobs.runner.LOGGED_AGAIN_AFTER_SECONDS", 0)
        run_job(job, context)
        # four were kept back
        assert (logs[-1]["failures_since"], logs[-1]["reason"]) == (4, "the database is away")
        monkeypatch.undo()
        error = RuntimeError("another cause")
        run_job(job, context)
        assert isinstance(logs[-1]["exc_info"], RuntimeError)
        error = None
        run_job(job, context)
        run_job(job, context)
    assert [one["event"] for one in logs] == ["job_failed", "job_failed", "job_failed", "job_recovered"]


def test_every_job_of_the_timetable_has_nothing_to_do_on_an_empty_database_twice(
    database: Database, tmp_path: Path
) -> None:
    context = context_of(database, tmp_path)
    make_days(context)  # which an empty database of PostgreSQL does need
    for job in (*TIMETABLE, *TIMETABLE):
        assert run_job(job, context) == 0, job.name


def test_the_leader_runs_jobs_and_the_follower_takes_over(database: Database, tmp_path: Path) -> None:
    ran: list[str] = []

    def scheduler(name: str) -> JobScheduler:
        def note(_: JobContext) -> int:
            ran.append(name)
            return 0

        return JobScheduler(context_of(database, tmp_path), [Job(f"note_{name}", 0.05, note, "Notes its name.")])

    first, second = scheduler("first"), scheduler("second")
    first.start()
    second.start()
    try:
        eventually(lambda: ran.count("first") >= 2)
        assert "second" not in ran
        first.stop()
        eventually(lambda: "second" in ran)
    finally:
        first.stop()
        second.stop()
    count = len(ran)
    time.sleep(0.2)
    assert len(ran) == count, "stopped means stopped"
