"""A month of requests, made quickly and in any order: batch n is the same whenever it is made."""

import random
from datetime import UTC, datetime, timedelta
from itertools import accumulate

from benchmarks.metering.traffic import MODELS, ROUTES

START = datetime(2026, 1, 1, tzinfo=UTC)
MONTH = timedelta(days=31)
HEAD = b'{"specversion":"1.0","id":"%b","source":"kong/node-%d","type":"kong.request","subject":"consumer:%b",'
TIME = b'"time":"%b",'
REQUEST = b'"data":{"route":"%b","service":"%b","method":"GET","status":%d,"origin":"upstream",'
CALLER = b'"consumer":{"id":"%b","username":"user-%d"},"credential":"%b",'
MEASURED = b'"latency_ms":{"request":%d,"kong":1,"upstream":%d},"bytes":{"request":%d,"response":%d}'
MODEL = (
    b',"llm":{"provider":"openai","model":"%b","input_tokens":%d,"output_tokens":%d,"cached_tokens":0,"stream":true}'
)


class MonthTraffic:
    """The events of a month by Zipf's law: a fifth to a language model, three in a hundred not found."""

    def __init__(self, events: int, customers: int, batch: int) -> None:
        self.subjects = [f"{random.Random(place).getrandbits(128):032x}".encode() for place in range(customers)]
        self.batches = events // batch
        self._batch = batch
        self._step = MONTH / events
        self._weights = list(accumulate(1 / (rank + 1) for rank in range(customers)))

    def make(self, number: int) -> bytes:
        """Return the batch of that number as the shipper sends it."""
        pick = random.Random(number)
        size = self._batch
        places = pick.choices(range(len(self.subjects)), cum_weights=self._weights, k=size)
        ids = pick.randbytes(16 * size).hex().encode()
        first = START + number * size * self._step
        events = [
            self._event(pick.getrandbits(60), ids[32 * n : 32 * n + 32], place, first + n * self._step)
            for n, place in enumerate(places)
        ]
        return b"[" + b",".join(events) + b"]"

    def _event(self, bits: int, event_id: bytes, place: int, time: datetime) -> bytes:
        subject = self.subjects[place]
        is_chat = bits % 5 == 0
        status = 404 if bits % 97 < 3 else 200
        route = b"chat" if is_chat else ROUTES[(place + bits % 2) % 4].encode()
        size = bits >> 20 & 0xFFFF
        parts = (
            HEAD % (event_id, place % 3, subject),
            TIME % f"{time:%Y-%m-%dT%H:%M:%S}.{time.microsecond // 1000:03}Z".encode(),
            REQUEST % (route, b"llm" if is_chat else b"api", status),
            CALLER % (subject, place, subject[::-1]),
            MEASURED % (5 + (bits >> 8 & 511), bits >> 8 & 511, 90 + (bits >> 12 & 1023), 100 + size),
            MODEL % (MODELS[place % 3].encode(), 20 + (size & 4095), 1 + (bits >> 40 & 1023)) if is_chat else b"",
            b"}}",
        )
        return b"".join(parts)
