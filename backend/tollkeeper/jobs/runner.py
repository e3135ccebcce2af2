"""The edge where jobs fail: run one, count it, time it, log what it raised; never let it end the timetable.

A job that fails at each of its runs, twice a second perhaps while the database is away, is logged at the first and
then once a minute: the log that an operator has to read at night must not be filled by one cause.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

import structlog
from prometheus_client import Counter, Histogram

from tollkeeper.errors import Unavailable
from tollkeeper.jobs.context import JobContext

log = structlog.get_logger()

RUNS = Counter("tollkeeper_job_runs", "Runs of a job by outcome.", ["job", "outcome"])
SECONDS = Histogram("tollkeeper_job_seconds", "How long a job took.", ["job"])
DONE = Counter("tollkeeper_job_items", "What jobs did: rows claimed and dealt with.", ["job"])

LOGGED_AGAIN_AFTER_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Job:
    """Something to do every so often; `run` returns how many things it did, and does nothing when repeated."""

    name: str
    every_seconds: float
    run: Callable[[JobContext], int]
    purpose: str


@dataclass(slots=True)
class Trouble:
    """What a job failed of last, and how often since it was logged."""

    cause: str
    logged_at: float
    unlogged: int = 0


# By the job's name, while it fails; a job runs once at a time, so no two threads write one entry.
_troubles: dict[str, Trouble] = {}


def run_job(job: Job, context: JobContext) -> int | None:
    """Run a job once; return how many things it did, or None when it failed."""
    started = time.monotonic()
    try:
        count = job.run(context)
    except Exception as error:  # noqa: BLE001  # the edge: what a job raises is counted and logged here
        RUNS.labels(job.name, "failed").inc()
        _log_failure(job.name, error)
        return None
    finally:
        SECONDS.labels(job.name).observe(time.monotonic() - started)
    if _troubles.pop(job.name, None):
        log.info("job_recovered", job=job.name)
    RUNS.labels(job.name, "done").inc()
    DONE.labels(job.name).inc(count)
    if count:
        log.debug("job_done", job=job.name, count=count)
    return count


def _log_failure(name: str, error: Exception) -> None:
    cause, now = f"{type(error).__name__}: {error}", time.monotonic()
    trouble = _troubles.get(name)
    if trouble is not None and trouble.cause == cause and now - trouble.logged_at < LOGGED_AGAIN_AFTER_SECONDS:
        trouble.unlogged += 1
        return
    since = trouble.unlogged if trouble is not None else 0
    _troubles[name] = Trouble(cause, now)
    if isinstance(error, Unavailable):
        said = str(getattr(error.__cause__, "orig", error.__cause__) or error).partition("\n")[0]
        log.error("job_failed", job=name, reason=error.message, cause=said, failures_since=since)
    else:
        log.error("job_failed", job=name, exc_info=error, failures_since=since)
