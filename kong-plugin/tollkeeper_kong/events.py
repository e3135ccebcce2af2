"""Events that wait for Kong's next step: bounded in number and in time."""

from contextlib import suppress

import msgspec

from tollkeeper_kong.instances import Instance
from tollkeeper_kong.metrics import PhaseCounters
from tollkeeper_kong.pdk import Steps


class Event(msgspec.Struct):
    """One phase of one request: the handler's generator and where it came from."""

    event_id: int
    instance: Instance
    phase: str
    steps: Steps
    counters: PhaseCounters
    started: float
    waits_since: float

    def close(self) -> None:
        """End the generator; its `finally` blocks run, what they raise is of no use to anybody."""
        with suppress(Exception):
            self.steps.close()


class WaitingEvents:
    """Events between two calls, oldest first; the engine puts them into `by_id` and takes them out."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self.by_id: dict[int | None, Event] = {}
        self.crowded_out = 0

    def __len__(self) -> int:
        return len(self.by_id)

    def crowd_out(self) -> None:
        """End the oldest event: a newer one needs its place."""
        self._remove(next(iter(self.by_id.values())))
        self.crowded_out += 1

    def expire(self, now: float) -> int:
        """End the events that have waited too long; return how many."""
        late = []
        for event in self.by_id.values():
            if event.waits_since > now - self._seconds:
                break
            late.append(event)
        for event in late:
            self._remove(event)
        return len(late)

    def _remove(self, event: Event) -> None:
        del self.by_id[event.event_id]
        event.close()
