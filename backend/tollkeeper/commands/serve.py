"""`tollkeeper serve`: the HTTP workers and the jobs, in one command."""

import errno
import multiprocessing
import os
import socket
import threading
import time
from http.client import HTTPConnection

import click
from granian.constants import Interfaces
from granian.log import LogLevels
from granian.server.mp import MPServer
from sqlalchemy import select

from tollkeeper.access.tables import AdminUser
from tollkeeper.app import job_context_of
from tollkeeper.commands.database import open_database
from tollkeeper.commands.logs import configure_logs
from tollkeeper.commands.wsgi import PARENT
from tollkeeper.config import Settings, load_settings
from tollkeeper.errors import InvalidInput
from tollkeeper.jobs.scheduler import JobScheduler
from tollkeeper.jobs.timetable import TIMETABLE
from tollkeeper.storage.session import Database
from tollkeeper.storage.test_clock import open_clock, open_test_clock
from tollkeeper.web.security import load_or_make_secret_key

# Threads come when they are needed and go when idle. A waiting poll of the verdict feed holds one (docs/quotas.md).
THREADS = 64
MOST_REQUESTS = 256
BACKLOG = 1024
STOP_SECONDS = 5
START_SECONDS = 60


@click.command()
@click.option("--jobs/--no-jobs", "with_jobs", default=True, help="Run the jobs in this command, too.")
def serve(*, with_jobs: bool) -> None:
    """Serve the API and the admin pages, and run the jobs; TOLLKEEPER_HOST and TOLLKEEPER_PORT say where."""
    settings = load_settings()
    configure_logs(settings.log_level)
    with open_database() as database:
        _prepare(settings, database)
        opened = open_clock(database, is_test_clock=settings.test_clock, cache_seconds=0)
        scheduler = JobScheduler(job_context_of(settings, database, opened.clock), TIMETABLE) if with_jobs else None
        port = settings.port or free_port(settings.host)
        require_free(settings.host, port)
        _say_what_is_missing(database)
        _run(_server(settings, port), scheduler, settings.host, port)


def _prepare(settings: Settings, database: Database) -> None:
    if settings.workers > 1 and database.engine.dialect.name == "sqlite":
        raise InvalidInput.of("/TOLLKEEPER_WORKERS", "must be 1 with SQLite; set DATABASE_URL to a PostgreSQL")
    if settings.secret_key is None:
        load_or_make_secret_key(settings.data_dir)  # here its folder is complained of once, in a worker for ever
    if settings.test_clock:
        with database.transaction() as session:
            open_test_clock(session)
        click.echo("The test clock is open: anybody with an admin key can move time forward. Never in production.")


def _server(settings: Settings, port: int) -> MPServer:
    # A forked worker would inherit the jobs' threads and locks in whatever state they are.
    multiprocessing.set_start_method("spawn", force=True)
    os.environ[PARENT] = str(os.getpid())
    return MPServer(
        "tollkeeper.commands.wsgi:make_app",
        factory=True,
        address=settings.host,
        port=port,
        interface=Interfaces.WSGI,
        workers=settings.workers,
        blocking_threads=THREADS,
        backpressure=MOST_REQUESTS,
        backlog=BACKLOG,
        workers_kill_timeout=STOP_SECONDS,
        respawn_failed_workers=True,
        websockets=False,
        log_level=LogLevels.error,
    )


def _run(server: MPServer, scheduler: JobScheduler | None, host: str, port: int) -> None:
    if scheduler is not None:
        server.on_startup(scheduler.start)
    threading.Thread(target=_announce, args=(host, port), daemon=True).start()
    try:
        server.serve()
    finally:
        if scheduler is not None:
            scheduler.stop()


def _announce(host: str, port: int) -> None:
    """Say where the backend listens once it answers."""
    address = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104  # asked by itself, not bound
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end:
        connection = HTTPConnection(address, port, timeout=2)
        try:
            connection.request("GET", "/healthz")
            if connection.getresponse().status == 200:
                click.echo(f"Tollkeeper listens on http://{address}:{port}/ (admin pages: /admin/)")
                return
        except OSError:
            time.sleep(0.1)
        finally:
            connection.close()
    click.echo(f"Tollkeeper does not answer on http://{address}:{port}/ yet; see the log", err=True)


def _say_what_is_missing(database: Database) -> None:
    with database.snapshot() as session:
        has_admin = session.scalar(select(AdminUser.id).limit(1)) is not None
    if not has_admin:
        click.echo("Nobody may sign in yet: run `tollkeeper admin create NAME`.")


def free_port(host: str) -> int:
    """Return a port that nobody uses now."""
    with socket.socket(_family(host)) as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def require_free(host: str, port: int) -> None:
    """Raise InvalidInput if somebody listens there: workers share a port, so a second server would not notice."""
    with socket.socket(_family(host)) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            wrong = "port" if error.errno in {errno.EADDRINUSE, errno.EACCES} else "host"
            raise InvalidInput.of(
                f"/TOLLKEEPER_{wrong.upper()}",
                f"cannot listen on {host}:{port} ({error.strerror}); choose another {wrong}",
            ) from error


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET
