"""The application as WSGI servers load it: `tollkeeper.commands.wsgi:make_app`, by granian, or gunicorn's factory."""

import ctypes
import gc
import os
import signal
import socket
import sys
import threading

from flask import Flask

from tollkeeper.app import create_app
from tollkeeper.commands.logs import configure_logs
from tollkeeper.config import load_settings
from tollkeeper.web.api.gateway import feed_watch

PR_SET_PDEATHSIG = 1
PARENT = "TOLLKEEPER_SERVE_PID"


def make_app() -> Flask:
    """Return the application that the settings describe; the schema must be there."""
    if os.environ.get(PARENT):
        die_with_parent(int(os.environ[PARENT]))
    settings = load_settings()
    configure_logs(settings.log_level)
    app = create_app(settings)
    release_waiters_at_the_end(app)
    spare_the_collector()
    return app


def spare_the_collector() -> None:
    """Look for cycles less often: a batch of 10,000 events makes many objects and no cycle (a sixth of its time)."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 20, 50)


def release_waiters_at_the_end(app: Flask) -> None:
    """Answer the waiting polls of the verdict feed when this process is told to stop, or it would wait for them.

    The server installs its own signal handlers after the application is loaded; the wakeup descriptor is told
    of a signal whoever handles it.
    """
    reading, writing = socket.socketpair()
    writing.setblocking(False)  # noqa: FBT003  # its signature
    signal.set_wakeup_fd(writing.fileno(), warn_on_full_buffer=False)
    app.extensions["tollkeeper.wakeup"] = writing  # kept open as long as the application lives
    watch = feed_watch(app)

    def wait() -> None:
        while (told := reading.recv(1)) and told[0] not in {signal.SIGTERM, signal.SIGINT}:
            pass
        watch.close()

    threading.Thread(target=wait, name="release-waiters", daemon=True).start()


def die_with_parent(parent: int) -> None:
    """End this process when `tollkeeper serve` is killed: an orphan would keep answering on the port (Linux only)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os.kill(os.getpid(), signal.SIGKILL)
