"""What all configurations of one plugin server share: who we are, where records go, what binds whom, and counts."""

from collections import defaultdict
from dataclasses import dataclass, field

from tollkeeper_kong.refusal import Decision
from tollkeeper_kong.spool import Spool
from tollkeeper_kong.verdicts import Verdicts


@dataclass(slots=True)
class HandlerCounters:
    """What the two phases have done, all configurations together."""

    recorded: int = 0
    recorded_after_access: int = 0
    """Of these, requests that certainly passed through `access`: those that an upstream answered or we refused."""
    unreadable: int = 0
    bodies: int = 0
    config_problems: int = 0
    refused: defaultdict[str, int] = field(default_factory=lambda: defaultdict(int))
    would_refuse: defaultdict[str, int] = field(default_factory=lambda: defaultdict(int))

    def count_refusal(self, decision: Decision) -> None:
        """Count a request that was refused, by its code."""
        self.refused[decision.code or ""] += 1

    def count_shadow(self, decision: Decision) -> None:
        """Count a request that passed in shadow mode and would have been refused."""
        self.would_refuse[decision.code or ""] += 1


@dataclass(slots=True)
class Node:
    """The shared state of one plugin server."""

    name: str
    spool: Spool
    verdicts: Verdicts
    counters: HandlerCounters = field(default_factory=HandlerCounters)
