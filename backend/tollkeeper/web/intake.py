"""Bound what bodies of events hold in memory at once: more is sent away with 503 before it is read."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from tollkeeper.errors import Unavailable

DEFAULT_MIB = 64
RETRY_AFTER_SECONDS = 2


class IntakeFull(Unavailable):
    """Too much is being stored already; nothing of this request was read."""

    code = "intake_full"


class Intake:
    """Counts the bytes of bodies, unpacked, from when they are read until they are answered; one per process."""

    def __init__(self, most_bytes: int = DEFAULT_MIB << 20) -> None:
        self.most_bytes = most_bytes
        self._held = 0
        self._lock = threading.Lock()

    @property
    def held_bytes(self) -> int:
        """Return how much is held now."""
        return self._held

    @contextmanager
    def hold(self, size: int = 0) -> Iterator["Held"]:
        """Hold room for a body until the end; raises IntakeFull if there is none."""
        held = Held(self)
        held.grow(size)
        try:
            yield held
        finally:
            self._give_back(held.size)

    def check(self, size: int, *, own: int = 0) -> None:
        """Raise IntakeFull if there is no room for so much more; takes none.

        Who is alone always has room: no body is too large for ever.
        """
        if self._held > own and self._held + size > self.most_bytes:
            raise IntakeFull(
                f"{self.most_bytes >> 20} MiB of events are being stored; send this again",
                retry_after_seconds=RETRY_AFTER_SECONDS,
            )

    def take(self, size: int, *, own: int = 0) -> None:
        """Take more room than one's own; raises IntakeFull."""
        with self._lock:
            self.check(size, own=own)
            self._held += size

    def _give_back(self, size: int) -> None:
        with self._lock:
            self._held -= size


class Held:
    """The room that one request has."""

    def __init__(self, intake: Intake) -> None:
        self.size = 0
        self._intake = intake

    def grow(self, size: int) -> None:
        """Hold so much in all, if that is more than now; raises IntakeFull, and holds what it held."""
        if size > self.size:
            self._intake.take(size - self.size, own=self.size)
            self.size = size
