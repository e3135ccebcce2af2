"""Counters and histograms: plain numbers in the hot path, read by Prometheus when it asks."""

from bisect import bisect_left
from collections import defaultdict

SECONDS_BUCKETS = (0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 10.0)


class Histogram:
    """Counts by bucket and their sum; one greenlet hub writes, so no lock."""

    __slots__ = ("counts", "total")

    def __init__(self) -> None:
        self.counts = [0] * (len(SECONDS_BUCKETS) + 1)
        self.total = 0.0

    def observe(self, seconds: float) -> None:
        """Count one duration."""
        self.counts[bisect_left(SECONDS_BUCKETS, seconds)] += 1
        self.total += seconds


class EngineCounters:
    """What the engine counts of events and connections."""

    def __init__(self) -> None:
        self.begun: defaultdict[str, int] = defaultdict(int)
        self.failed: defaultdict[str, int] = defaultdict(int)
        self.seconds: defaultdict[str, Histogram] = defaultdict(Histogram)
        self.exits = 0
        self.expired = 0
        self.crowded_out = 0
        self.rpc_errors = 0
        self.malformed = 0
        self.broken = 0
        self.half_messages = 0
        self.connections = 0
        self.accept_failures = 0

    def ended(self, phase: str, seconds: float) -> None:
        """Count an event that has ended, however it did."""
        self.seconds[phase].observe(seconds)
