"""A backend as operators run it, on a database of its own, and the processor time that it takes."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.client import HTTPConnection
from pathlib import Path

from tollkeeper.access.keys import create_api_key
from tollkeeper.app import create_schema
from tollkeeper.storage.engine import open_engine
from tollkeeper.storage.session import Database

TICKS = os.sysconf("SC_CLK_TCK")


@contextmanager
def served(url: str, folder: Path, *, workers: int, jobs: bool = False) -> Iterator[tuple[int, str, int]]:
    """Yield port, token and process id of a backend that serves the database, with or without its jobs."""
    database = Database(open_engine(url))
    create_schema(database)
    with database.transaction() as session:
        token = create_api_key(session, "benchmark", ["ingest"], now=datetime.now(UTC)).token
    database.dispose()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    settings = {
        "DATABASE_URL": url,
        "TOLLKEEPER_DATA_DIR": str(folder),
        "TOLLKEEPER_PORT": str(port),
        "TOLLKEEPER_WORKERS": str(workers),
        "TOLLKEEPER_LOG_LEVEL": "error",
    }
    with (folder / "backend.log").open("w") as log:
        process = subprocess.Popen(
            [str(Path(sys.executable).with_name("tollkeeper")), "serve", "--jobs" if jobs else "--no-jobs"],
            env={**os.environ, **settings},
            stdout=log,
            stderr=log,
        )
        try:
            _wait(port, process)
            yield port, token, process.pid
        finally:
            process.terminate()
            process.wait(timeout=20)


def _wait(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        assert process.poll() is None, "the backend ended; look into its log"
        try:
            connection = HTTPConnection("127.0.0.1", port, timeout=1)
            connection.request("GET", "/api/v1/openapi.json")
            if connection.getresponse().status == 200:
                return
        except OSError:
            time.sleep(0.2)
    raise TimeoutError("the backend does not answer")


def cpu_seconds(*roots: int) -> float:
    """Return the processor time of these processes and all below them, so far."""
    parents: dict[int, int] = {}
    spent: dict[int, float] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            parents[int(entry.name)] = int(fields[1])
            # Its own time and that of its children that have ended.
            spent[int(entry.name)] = sum(int(field) for field in fields[11:15]) / TICKS
    return sum(time for pid, time in spent.items() if _is_below(pid, roots, parents))


def resident_mib(root: int) -> float:
    """Return the memory of a process and all below it; what they share is counted in each."""
    parents: dict[int, int] = {}
    pages: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            parents[int(entry.name)], pages[int(entry.name)] = int(fields[1]), int(fields[21])
    mine = sum(count for pid, count in pages.items() if _is_below(pid, (root,), parents))
    return mine * os.sysconf("SC_PAGE_SIZE") / (1 << 20)


def _is_below(pid: int, roots: tuple[int, ...], parents: dict[int, int]) -> bool:
    while pid in parents:
        if pid in roots:
            return True
        pid = parents[pid]
    return False
