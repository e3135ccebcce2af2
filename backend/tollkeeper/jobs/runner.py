"""The edge where jobs fail: run one, count it, time it, log what it raised; never let it end the timetable."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import structlog
from prometheus_client import Counter, Histogram

from tollkeeper.jobs.context import JobContext

log = structlog.get_logger()

RUNS = Counter("tollkeeper_job_runs", "Runs of a job by outcome.", ["job", "outcome"])
SECONDS = Histogram("tollkeeper_job_seconds", "How long a job took.", ["job"])
DONE = Counter("tollkeeper_job_items", "What jobs did: rows claimed and dealt with.", ["job"])


@dataclass(frozen=True, slots=True)
class Job:
    """Something to do every so often; `run` returns how many things it did, and does nothing when repeated."""

    name: str
    every_seconds: float
    run: Callable[[JobContext], int]
    purpose: str


def run_job(job: Job, context: JobContext) -> int | None:
    """Run a job once; return how many things it did, or None when it failed."""
    started = time.monotonic()
    try:
        count = job.run(context)
    except Exception as error:  # the edge: what a job raises is counted and logged here, once
        RUNS.labels(job.name, "failed").inc()
        log.exception("job_failed", job=job.name, exc_info=error)
        return None
    finally:
        SECONDS.labels(job.name).observe(time.monotonic() - started)
    RUNS.labels(job.name, "done").inc()
    DONE.labels(job.name).inc(count)
    if count:
        log.debug("job_done", job=job.name, count=count)
    return count
