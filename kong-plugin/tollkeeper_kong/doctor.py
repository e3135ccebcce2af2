"""`tollkeeper-kong doctor`: look at everything between Kong and the backend, and say what to do."""

import email.utils
import fcntl
import os
import shutil
import socket
import stat
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgpack

from tollkeeper_kong.backend_client import BackendAway, BackendClient, BackendError, KeyRefused, NotTheBackend
from tollkeeper_kong.finding import Finding
from tollkeeper_kong.peers import own_name
from tollkeeper_kong.registration import examine_registration
from tollkeeper_kong.schema import NAME
from tollkeeper_kong.settings import BackendSettings, SpoolSettings
from tollkeeper_kong.shipper import LOCK_NAME
from tollkeeper_kong.shipper_state import ShipperCounters, load_counters
from tollkeeper_kong.spool_space import SpoolSpace

ANSWER_SECONDS = 2.0
SLOW_SYNC_SECONDS = 0.05
OLD_RECORD_SECONDS = 300.0
LARGE_OFFSET_SECONDS = 30.0
LEAST_FREE_BYTES = 256 * 1024**2
LONGEST_SOCKET_BYTES = 107  # of a unix socket's path on Linux
MOST_PID = 4_194_304


@dataclass(frozen=True, slots=True)
class DoctorSettings:
    """Where to look."""

    backend: BackendSettings
    spool: SpoolSettings
    socket_path: Path
    admin_url: str | None
    environment: Mapping[str, str]


def examine(settings: DoctorSettings) -> Iterator[Finding]:
    """Yield what is found, in the order of a request's way."""
    yield from examine_registration(settings.admin_url, settings.environment, settings.socket_path)
    yield from examine_socket(settings.socket_path)
    yield from examine_spool(settings.spool)
    yield from examine_backend(settings.backend)


def examine_socket(path: Path) -> Iterator[Finding]:
    """Look at the socket and at the server behind it."""
    at_fault = list(_examine_path(path))
    yield from at_fault
    if any(finding.level == "failure" for finding in at_fault):
        return
    try:
        status = server_status(path)
    except PermissionError:
        advice = "run Kong as the same user, or give both a group and use --socket-mode 0660"
        yield Finding("failure", "socket", f"{path} may not be opened by this user", advice)
    except (OSError, ValueError) as error:
        advice = "nobody listens: start the server; Kong's error log says why it ended"
        yield Finding("failure", "server", f"does not answer ({type(error).__name__})", advice)
    else:
        instances = len(status["Plugins"][NAME]["Instances"])
        yield Finding("ok", "server", f"process {status['Pid']} answers; Kong has started {instances} configurations")
        if not instances:
            yield Finding("hint", "server", "Kong has not used the plugin yet", "send a request through Kong")


def _examine_path(path: Path) -> Iterator[Finding]:
    longest = len(os.fsencode(own_name(path, MOST_PID)))
    if longest > LONGEST_SOCKET_BYTES:
        advice = f"use a shorter path, in Kong's settings too: the system allows {LONGEST_SOCKET_BYTES} bytes"
        yield Finding("failure", "socket", f"{path} is too long: a name beside it takes {longest} bytes", advice)
        return
    try:
        mode = path.lstat().st_mode
    except OSError as error:
        advice = "start `tollkeeper-kong serve`, or name its socket with --socket"
        yield Finding("failure", "socket", f"{path}: {error.strerror}", advice)
        return
    if not stat.S_ISSOCK(mode):
        yield Finding("failure", "socket", f"{path} is no socket", "remove it and start the server again")
    elif mode & 0o007:
        advice = "use --socket-mode 0600, or 0660 with a group that Kong shares"
        yield Finding("warning", "socket", f"{path} is open to every user ({stat.S_IMODE(mode):04o})", advice)


def server_status(path: Path, seconds: float = ANSWER_SECONDS) -> dict[str, Any]:
    """Ask the plugin server for its status. Raises OSError or ValueError."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(seconds)
        connection.connect(str(path))
        connection.sendall(msgpack.packb([0, 1, "plugin.GetStatus", []]))
        unpacker = msgpack.Unpacker()
        while received := connection.recv(65536):
            unpacker.feed(received)
            for reply in unpacker:
                return dict(reply[3])
    raise ValueError("the server hung up")


def examine_spool(settings: SpoolSettings) -> Iterator[Finding]:
    """Look at the spool: can it be written, how fast, what waits in it."""
    directory = settings.directory
    try:
        sync_seconds = time_a_sync(directory)
    except OSError as error:
        advice = "create it for the server's user: install -d -m 0700 -o USER " + str(directory)
        yield Finding("failure", "spool", f"{directory}: {error.strerror}", advice)
        return
    yield Finding("ok", "spool", f"{directory} can be written; a sync takes {sync_seconds * 1000:.1f} ms")
    if (mode := stat.S_IMODE(directory.stat().st_mode)) & 0o077:
        advice = f"chmod 0700 {directory}: it tells who used what, and whoever writes there writes invoices"
        yield Finding("warning", "spool", f"{directory} is open to other users ({mode:04o})", advice)
    if sync_seconds > SLOW_SYNC_SECONDS and settings.fsync == "group":
        advice = "use a faster disk, or --fsync interval, which may lose a second of records in a power cut"
        yield Finding("warning", "spool", "the disk is slow to sync", advice)
    free = shutil.disk_usage(directory).free
    if free < max(LEAST_FREE_BYTES, settings.max_bytes // 8):
        yield Finding(
            "warning", "spool", f"{free // 1024**2} MiB are free", "free some space, or lower --spool-max-mib"
        )
    backlog, shipped = SpoolSpace(directory, settings.max_bytes).backlog(), load_counters(directory)
    text = (
        f"{backlog.records} records wait, the oldest for {backlog.oldest_age_seconds:.0f} s; {shipped.shipped} shipped"
    )
    if backlog.records and not shipper_runs(directory):
        advice = "serve starts one unless it has --no-shipper; then `tollkeeper-kong ship` must run"
        yield Finding("failure", "shipper", f"{text}; no shipper runs", advice)
    elif backlog.oldest_age_seconds > OLD_RECORD_SECONDS:
        reason = shipped.last_error or "no shipper has said why"
        yield Finding("warning", "shipper", f"{text}; {reason}", "see the backend below; is a shipper running?")
    elif shipped.last_error:
        yield Finding("warning", "shipper", f"{text}; {shipped.last_error}", "records are kept; see the backend below")
    else:
        yield Finding("ok", "shipper", text)
    yield from _losses(directory, shipped)


def _losses(directory: Path, shipped: ShipperCounters) -> Iterator[Finding]:
    """Tell what was not billed since the spool was made."""
    if shipped.lost_to_damage:
        advice = "the disk fails: replace it; a second capture (file-log) may still hold them"
        yield Finding("warning", "spool", f"{shipped.lost_to_damage} records were lost to damage", advice)
    if shipped.set_aside_forgotten:
        advice = "read the newer ones before they go too: docs/durability.md, Records that were set aside"
        text = f"{shipped.set_aside_forgotten} refused records were deleted to make room"
        yield Finding("warning", "shipper", text, advice)
    if shipped.set_aside:
        advice = f"each is in {directory / 'rejected'} with the backend's reason"
        yield Finding("warning", "shipper", f"the backend refused {shipped.set_aside} records", advice)


def shipper_runs(directory: Path) -> bool:
    """Whether a shipper holds the spool's lock. One that starts just now waits for us a moment."""
    try:
        with (directory / LOCK_NAME).open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def time_a_sync(directory: Path) -> float:
    """Write and sync a small file; return the seconds. Raises OSError."""
    with tempfile.NamedTemporaryFile(dir=directory, prefix=".doctor-") as file:
        file.write(b"x" * 4096)
        file.flush()
        began = time.perf_counter()
        os.fdatasync(file.fileno())
        return time.perf_counter() - began


def examine_backend(settings: BackendSettings) -> Iterator[Finding]:
    """Ask the backend for verdicts; compare its clock with ours."""
    yield from examine_key_file(settings.key.path)
    client = BackendClient(settings.url, settings.key)
    try:
        with client.fetch_verdicts(None, 0) as answer:
            date = answer.headers.get("Date")
    except BackendError as error:
        yield Finding("failure", "backend", f"{settings.url}: {error}", _advice(error))
        return
    finally:
        client.close()
    yield Finding("ok", "backend", f"{settings.url} answers node {settings.node} with verdicts")
    offset = clock_offset(date, time.time())
    if offset is not None and abs(offset) > LARGE_OFFSET_SECONDS:
        advice = "set the clock (NTP): events from more than 5 minutes ahead are refused"
        yield Finding("warning", "clock", f"the backend's clock is {offset:+.0f} s from ours", advice)
    elif offset is not None:
        yield Finding("ok", "clock", "agrees with the backend's to the second or so")


def examine_key_file(path: Path | None) -> Iterator[Finding]:
    """See whether others can read the key. That it is there and taken, the backend shows."""
    with suppress(OSError):
        if path is not None and (mode := stat.S_IMODE(path.stat().st_mode)) & 0o007:
            advice = f"chmod 0600 {path}: whoever has the key can send usage as this gateway"
            yield Finding("warning", "key", f"{path} is open to every user ({mode:04o})", advice)


def clock_offset(date: str | None, now: float) -> float | None:
    """Return the seconds by which an HTTP Date is ahead of us; it is exact to one second."""
    try:
        return email.utils.parsedate_to_datetime(date or "").timestamp() + 0.5 - now
    except ValueError:
        return None


def _advice(error: BackendError) -> str:
    if isinstance(error, KeyRefused):
        return (
            "make a key with `tollkeeper keys create --scope ingest --scope gateway` and name its file: --api-key-file"
        )
    if isinstance(error, NotTheBackend):
        return "check --backend-url: what answers there is not Tollkeeper, or a proxy stands between"
    if isinstance(error, BackendAway):
        return "is the backend running, and reachable from this host? Records are kept until it is"
    return "see the backend's log"
