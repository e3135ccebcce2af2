"""Counters and histograms: plain numbers in the hot path, read by Prometheus when it asks."""

from bisect import bisect_left
from collections import defaultdict

SECONDS_BUCKETS = (0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 10.0)


class PhaseCounters:
    """Events of one phase and how long they took, Kong's own part included; one thread writes, so no lock."""

    __slots__ = ("begun", "buckets", "failed", "seconds")

    def __init__(self) -> None:
        self.begun = 0
        self.failed = 0
        self.seconds = 0.0
        self.buckets = [0] * (len(SECONDS_BUCKETS) + 1)

    def observe(self, seconds: float) -> None:
        """Count an event that has ended, however it did."""
        self.seconds += seconds
        self.buckets[bisect_left(SECONDS_BUCKETS, seconds)] += 1


class EngineCounters:
    """What the engine counts of events and connections."""

    def __init__(self) -> None:
        self.of_phase: defaultdict[str, PhaseCounters] = defaultdict(PhaseCounters)
        self.failed_starts = 0
        self.exits = 0
        self.expired = 0
        self.rpc_errors = 0
        self.passed_on = 0
        self.malformed = 0
        self.broken = 0
        self.half_messages = 0
        self.connections = 0
        self.accept_failures = 0
