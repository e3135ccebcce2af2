"""A month of requests to meter: customers by Zipf's law, a fifth of the traffic to language models."""

import json
import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import accumulate
from typing import Any

ROUTES = ("flights", "bookings", "destinations", "search", "chat")
MODELS = ("gpt-4o-mini-2024-07-18", "gpt-4o-2024-11-20", "claude-sonnet-4-5")
START = datetime(2026, 1, 1, tzinfo=UTC)


class Traffic:
    """Yields events in order of time; the same seed gives the same events."""

    def __init__(self, customers: int, per_second: float, *, seed: int = 7) -> None:
        self._random = random.Random(seed)
        self._step = timedelta(seconds=1 / per_second)
        self._weights = list(accumulate(1 / (rank + 1) for rank in range(customers)))
        self._consumers = [f"{self._random.getrandbits(128):032x}" for _ in range(customers)]

    def events(self, count: int) -> Iterator[dict[str, Any]]:
        """Yield so many events."""
        for number in range(count):
            time = START + number * self._step
            yield self._event(time.isoformat(timespec="milliseconds").replace("+00:00", "Z"))

    def batches(self, count: int, size: int) -> list[bytes]:
        """Return the events as JSON arrays, compact, as the shipper sends them."""
        events = self.events(count)
        return [
            json.dumps([next(events) for _ in range(size)], separators=(",", ":")).encode()
            for _ in range(count // size)
        ]

    def _event(self, time: str) -> dict[str, Any]:
        pick = self._random
        [place] = pick.choices(range(len(self._consumers)), cum_weights=self._weights)
        consumer = self._consumers[place]
        is_chat = pick.random() < 0.2
        data: dict[str, Any] = {
            "route": "chat" if is_chat else ROUTES[(place + pick.randrange(2)) % 4],
            "service": "llm" if is_chat else "api",
            "method": "POST" if is_chat else "GET",
            "status": 200 if pick.random() < 0.97 else 404,
            "origin": "upstream",
            "consumer": {"id": consumer, "username": f"user-{place}"},
            "credential": consumer[::-1],
            "latency_ms": {
                "request": pick.randrange(5, 900),
                "kong": pick.randrange(4),
                "upstream": pick.randrange(800),
            },
            "bytes": {"request": pick.randrange(90, 2000), "response": pick.randrange(100, 60_000)},
        }
        if is_chat:
            data["llm"] = {
                "provider": "openai",
                "model": MODELS[place % 3],
                "input_tokens": pick.randrange(20, 8000),
                "output_tokens": pick.randrange(1, 2000),
                "cached_tokens": 0,
                "reasoning_tokens": 0,
                "cost": f"0.000{pick.randrange(10_000):04}",
                "stream": pick.random() < 0.5,
                "estimated": False,
            }
        return {
            "specversion": "1.0",
            "id": f"{pick.getrandbits(128):032x}",
            "source": f"kong/node-{place % 3}",
            "type": "kong.request",
            "subject": f"consumer:{consumer}",
            "time": time,
            "data": data,
        }
