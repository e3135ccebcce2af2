"""Keep a child process running: start it again when it ends, ever more slowly when it keeps ending."""

import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import gevent
import structlog

FIRST_DELAY_SECONDS = 0.5
LAST_DELAY_SECONDS = 30.0
HEALTHY_SECONDS = 60.0
POLL_SECONDS = 0.2

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class ChildCommand:
    """What to run. The environment is where a secret may be: everybody can read a command line."""

    name: str
    arguments: Sequence[str]
    environment: Mapping[str, str]


class Child:
    """A supervised process. Runs in a greenlet that polls: nothing here waits in the kernel."""

    def __init__(
        self,
        command: ChildCommand,
        *,
        first_delay_seconds: float = FIRST_DELAY_SECONDS,
        last_delay_seconds: float = LAST_DELAY_SECONDS,
        healthy_seconds: float = HEALTHY_SECONDS,
    ) -> None:
        self._command = command
        self._first_delay = first_delay_seconds
        self._last_delay = last_delay_seconds
        self._healthy = healthy_seconds
        self._process: subprocess.Popen[bytes] | None = None
        self.starts = 0
        self._greenlet = gevent.spawn(self._keep_running)

    @property
    def pid(self) -> int | None:
        """The process id, while it runs."""
        process = self._process
        return process.pid if process is not None and process.poll() is None else None

    def stop(self, seconds: float = 5.0) -> None:
        """Ask the process to end, make it end if it does not, and start it no more."""
        self._greenlet.kill()
        process = self._process
        if process is None or process.poll() is not None:
            return
        process.terminate()
        deadline = time.monotonic() + seconds
        while process.poll() is None and time.monotonic() < deadline:
            gevent.sleep(POLL_SECONDS / 4)
        if process.poll() is None:
            log.warning("child_killed", child=self._command.name, pid=process.pid, waited_seconds=seconds)
            process.kill()
            process.wait()

    def _keep_running(self) -> None:
        delay = self._first_delay
        while True:
            began = time.monotonic()
            status = self._run_once()
            if time.monotonic() - began >= self._healthy:
                delay = self._first_delay
            log.warning("child_ended", child=self._command.name, status=status, again_in_seconds=delay)
            gevent.sleep(delay)
            delay = min(delay * 2, self._last_delay)

    def _run_once(self) -> int | str:
        """Run the process to its end and return its exit status, or why it could not be started."""
        try:
            process = subprocess.Popen(  # noqa: S603 - our own command line
                list(self._command.arguments), stdin=subprocess.DEVNULL, env=dict(self._command.environment)
            )
        except OSError as error:
            return str(error)
        self._process = process
        self.starts += 1
        log.info("child_started", child=self._command.name, pid=process.pid)
        while process.poll() is None:
            gevent.sleep(POLL_SECONDS)
        return process.returncode
