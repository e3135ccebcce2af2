"""Events that wait for Kong's next step: bounded in number and in time."""

from collections.abc import Callable, Iterator
from contextlib import suppress

from tollkeeper_kong.instances import Instance
from tollkeeper_kong.pdk import Call, Steps


class Event:
    """One phase of one request: the handler's generator and where it came from."""

    __slots__ = ("event_id", "instance", "phase", "send", "started", "steps", "waits_since")

    def __init__(self, event_id: int, instance: Instance, phase: str, steps: Steps, started: float) -> None:
        self.event_id = event_id
        self.instance = instance
        self.phase = phase
        self.steps = steps
        self.send: Callable[[object], Call] = steps.send
        self.started = started
        self.waits_since = started

    def close(self) -> None:
        """End the generator; its `finally` blocks run, what they raise is of no use to anybody."""
        with suppress(Exception):
            self.steps.close()


class WaitingEvents:
    """Events between two calls, oldest first.

    An event is out of the table while its handler runs, so that a repeated step cannot enter it twice.
    """

    def __init__(self, *, most: int, seconds: float) -> None:
        self._most = most
        self._seconds = seconds
        self._events: dict[object, Event] = {}

    def __len__(self) -> int:
        return len(self._events)

    def add(self, event: Event, now: float) -> Event | None:
        """Let an event wait; return the oldest one when it had to make room, closed."""
        event.waits_since = now
        self._events[event.event_id] = event
        if len(self._events) <= self._most:
            return None
        oldest = next(iter(self._events.values()))
        del self._events[oldest.event_id]
        oldest.close()
        return oldest

    def take(self, event_id: object) -> Event | None:
        """Return a waiting event and forget it; None when it is unknown, ended or timed out."""
        try:
            return self._events.pop(event_id, None)
        except TypeError:  # an id that cannot be one: a list, a map
            return None

    def expire(self, now: float) -> list[Event]:
        """Close the events that Kong has abandoned and return them."""
        late = list(self._late(now - self._seconds))
        for event in late:
            del self._events[event.event_id]
            event.close()
        return late

    def _late(self, before: float) -> Iterator[Event]:
        for event in self._events.values():
            if event.waits_since > before:
                return
            yield event
