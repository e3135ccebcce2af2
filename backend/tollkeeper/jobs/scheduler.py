"""Run the timetable in the background while this process is the leader."""

from collections.abc import Sequence
from datetime import timedelta

import structlog
from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.schedulers.background import BackgroundScheduler

from tollkeeper.clock import SystemClock
from tollkeeper.errors import TollkeeperError
from tollkeeper.jobs.context import JobContext
from tollkeeper.jobs.leader import leadership_of
from tollkeeper.jobs.runner import Job, run_job

log = structlog.get_logger()

LEADER_CHECK_SECONDS = 2


class JobScheduler:
    """APScheduler with the timetable in it; each job runs at most once at a time, missed runs become one."""

    def __init__(self, context: JobContext, timetable: Sequence[Job]) -> None:
        self._context = context
        self._timetable = timetable
        self._leadership = leadership_of(context.database, context.data_dir)
        self._is_leader = False
        self._scheduler = BackgroundScheduler(
            timezone="UTC",
            executors={"default": ThreadPoolExecutor(len(timetable) + 1)},
            job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None},
        )

    def start(self) -> None:
        """Start the threads; the first jobs run at once if this process is the leader."""
        self._check_leadership()
        self._scheduler.add_job(self._check_leadership, "interval", seconds=LEADER_CHECK_SECONDS, id="leadership")
        for place, job in enumerate(self._timetable):
            # The first runs are spread a little: all at once would queue for SQLite's one writer.
            first = SystemClock().now() + timedelta(seconds=0.1 * place)
            self._scheduler.add_job(
                self._run, "interval", [job], seconds=job.every_seconds, id=job.name, next_run_time=first
            )
        self._scheduler.start()

    def stop(self) -> None:
        """Wait for running jobs and let another process lead; a repeat does nothing."""
        if self._scheduler.running:
            self._scheduler.shutdown(wait=True)
        self._is_leader = False
        self._leadership.give_up()

    def _run(self, job: Job) -> None:
        if self._is_leader:
            run_job(job, self._context)

    def _check_leadership(self) -> None:
        was_leader = self._is_leader
        try:
            self._is_leader = self._leadership.take()
        except TollkeeperError as error:
            self._is_leader = False
            log.warning("no_leadership", reason=error.message)
        if self._is_leader != was_leader:
            log.info("leadership_changed", is_leader=self._is_leader)
