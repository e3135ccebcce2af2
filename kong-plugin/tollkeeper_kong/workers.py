"""Worker greenlets: one of them answers every connection that is ready in a turn of the event loop.

A greenlet per connection would cost two switches per message. A handler that waits keeps its worker with it; the next
worker goes on with the rest, so nobody waits for it.
"""

from collections import deque
from functools import partial
from typing import Protocol

from gevent.hub import get_hub
from greenlet import greenlet

_AFTER_SOCKETS = -2  # libev runs what has the lowest priority last in a turn


class Readable(Protocol):
    """Something that is read when there is something to read."""

    def read(self) -> None:
        """Read once; may wait, must not raise."""
        ...


class Workers:
    """Runs `read` of what the event loop has put into `ready` in this turn."""

    def __init__(self) -> None:
        self.ready: deque[Readable] = deque()
        self._idle: list[greenlet] = []
        self._hub = get_hub()
        self._watcher = self._hub.loop.check(priority=_AFTER_SOCKETS)
        self._watcher.start(self._dispatch)

    def close(self) -> None:
        """Dispatch no more; workers that wait are left to end by themselves."""
        self._watcher.stop()
        self._watcher.close()

    def _dispatch(self) -> None:
        while self.ready:
            worker = self._idle.pop() if self._idle else greenlet(self._work, self._hub)
            worker.switch()

    def _work(self) -> None:
        ready, idle = self.ready, self._idle
        wait = partial(greenlet.switch, self._hub)
        me = greenlet.getcurrent()
        while True:
            while ready:
                ready.popleft().read()
            idle.append(me)
            wait()
