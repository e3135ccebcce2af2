"""`tollkeeper jobs`: run the timetable apart from the HTTP server, or each job once."""

import signal
import sys
import threading

import click

from tollkeeper.app import job_context_of
from tollkeeper.commands.database import open_database
from tollkeeper.commands.logs import configure_logs
from tollkeeper.config import load_settings
from tollkeeper.jobs.runner import run_job
from tollkeeper.jobs.scheduler import JobScheduler
from tollkeeper.jobs.timetable import TIMETABLE
from tollkeeper.storage.test_clock import open_clock


@click.group()
def jobs() -> None:
    """Jobs: what runs when, run them."""


@jobs.command("list")
def list_command() -> None:
    """Show the timetable."""
    for job in TIMETABLE:
        click.echo(f"{job.name:20}  every {job.every_seconds:g} s  {job.purpose}")


@jobs.command("run")
@click.argument("names", nargs=-1, type=click.Choice([job.name for job in TIMETABLE]))
@click.option("--once", is_flag=True, help="Run each job once, in order, and end; 1 if one failed.")
def run_command(names: tuple[str, ...], *, once: bool) -> None:
    """Run the timetable, or only the jobs NAMES of it, until stopped.

    Several processes may do so: one leads, the others wait to take over. --once needs no leader: a job that
    runs twice at a time does nothing twice.
    """
    settings = load_settings()
    configure_logs(settings.log_level)
    chosen = [job for job in TIMETABLE if not names or job.name in names]
    with open_database() as database:
        clock = open_clock(database, is_test_clock=settings.test_clock, cache_seconds=0).clock
        context = job_context_of(settings, database, clock)
        if once:
            counts = {job.name: run_job(job, context) for job in chosen}
            for name, count in counts.items():
                click.echo(f"{name}: {'failed' if count is None else count}")
            sys.exit(int(None in counts.values()))
        scheduler = JobScheduler(context, chosen)
        scheduler.start()
        try:
            _wait_for_signal()
        finally:
            scheduler.stop()


def _wait_for_signal() -> None:
    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    stopped.wait()
