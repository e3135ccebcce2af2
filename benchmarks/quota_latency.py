"""How long a spent quota takes to reach the verdict feed, under load: python benchmarks/quota_latency.py.

Starts `tollkeeper serve` on a fresh SQLite database (or DATABASE_URL), sends events at a steady rate in the
shipper's batches, follows the feed as a node does, and prints for each customer the time from the answer to the
batch that filled its quota to the answer of the feed that refuses it.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import requests

BIN = Path(sys.executable).parent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=int, default=500, help="events per second")
    parser.add_argument("--customers", type=int, default=20)
    parser.add_argument("--seconds", type=int, default=30)
    parser.add_argument("--nodes", type=int, default=3, help="how many follow the feed")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        port = 18760
        environment = {
            **os.environ,
            "DATABASE_URL": os.environ.get("DATABASE_URL", f"sqlite:///{folder}/t.db"),
            "TOLLKEEPER_DATA_DIR": folder,
            "TOLLKEEPER_PORT": str(port),
        }
        tollkeeper = str(BIN / "tollkeeper")
        key = subprocess.run(
            [tollkeeper, "keys", "create", "bench", "--scope", "admin"],
            env=environment, capture_output=True, text=True, check=True,
        ).stdout.strip()  # fmt: skip
        server = subprocess.Popen([tollkeeper, "serve"], env=environment, stdout=subprocess.PIPE, text=True)
        try:
            assert server.stdout is not None
            while "listens" not in server.stdout.readline():
                pass
            print(json.dumps(Bench(f"http://127.0.0.1:{port}/api/v1", key, arguments).run(), indent=1))
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait()


class Bench:
    def __init__(self, url: str, key: str, arguments: argparse.Namespace) -> None:
        self.url = url
        self.http = requests.Session()
        self.http.headers["Authorization"] = f"Bearer {key}"
        self.arguments = arguments
        # Quotas are spread so that one is spent now and then through the whole run.
        share = arguments.rate * arguments.seconds // arguments.customers
        self.quotas = {
            f"c{n}": max(1, share * (n + 1) // (arguments.customers + 1)) for n in range(arguments.customers)
        }
        self.sent = dict.fromkeys(self.quotas, 0)
        self.filled_at: dict[str, float] = {}
        self.denied_at: dict[str, float] = {}
        self.stop = threading.Event()

    def run(self) -> dict[str, Any]:
        self.prepare()
        followers = [threading.Thread(target=self.follow, args=(n == 0,)) for n in range(self.arguments.nodes)]
        for follower in followers:
            follower.start()
        time.sleep(2)
        self.send_all()
        time.sleep(3)
        self.stop.set()
        for follower in followers:
            follower.join()
        delays = sorted(self.denied_at[one] - at for one, at in self.filled_at.items() if one in self.denied_at)
        return {
            "rate": self.arguments.rate,
            "spent": len(self.filled_at),
            "refused": len(delays),
            "median_s": round(delays[len(delays) // 2], 3),
            "worst_s": round(delays[-1], 3),
        }

    def post(self, path: str, body: Any) -> Any:
        answer = self.http.post(f"{self.url}{path}", json=body, timeout=30)
        assert answer.ok, answer.text
        return answer.json() if answer.content else None

    def prepare(self) -> None:
        self.post("/features", {"key": "calls", "name": "calls", "meter": "requests"})
        for key, limit in self.quotas.items():
            card = {"key": "calls", "feature": "calls", "entitlement": {"type": "metered", "limit": str(limit)}}
            spec = {"name": key, "currency": "USD", "phases": [{"key": "main", "rate_cards": [card]}]}
            answer = self.http.put(f"{self.url}/plans/{key}/draft", json=spec, timeout=30)
            assert answer.ok, answer.text
            self.post(f"/plans/{key}/publish", {})
            self.post("/customers", {"key": key, "name": key})
            self.post(f"/customers/{key}/consumers", {"match": "id", "value": key})
            self.post("/subscriptions", {"customer": key, "plan": key})

    def send_all(self) -> None:
        started = time.monotonic()
        number = 0
        while (elapsed := time.monotonic() - started) < self.arguments.seconds:
            due = int(elapsed * self.arguments.rate) - number
            if due < 50:
                time.sleep(0.02)
                continue
            names = [f"c{n % self.arguments.customers}" for n in range(number, number + due)]
            events = [self.event(number + place, name) for place, name in enumerate(names)]
            number += due
            self.post("/events", events)
            answered = time.monotonic()
            for name in names:
                self.sent[name] += 1
                if self.sent[name] == self.quotas[name]:
                    self.filled_at[name] = answered

    def event(self, number: int, name: str) -> dict[str, Any]:
        now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        return {
            "specversion": "1.0",
            "id": f"{number:032x}",
            "source": "kong/bench",
            "type": "kong.request",
            "subject": f"consumer:{name}",
            "time": now,
            "data": {
                "route": "flights",
                "service": "air",
                "method": "GET",
                "status": 200,
                "origin": "upstream",
                "latency_ms": {"request": 11, "kong": 2, "upstream": 8},
                "bytes": {"request": 206, "response": 656},
            },
        }

    def follow(self, is_measured: bool) -> None:
        http = requests.Session()
        http.headers.update(self.http.headers)
        cursor = None
        while not self.stop.is_set():
            query = {"wait": "2", **({"cursor": cursor} if cursor else {})}
            feed = http.get(f"{self.url}/gateway/verdicts", params=query, timeout=30).json()
            now = time.monotonic()
            cursor = feed["cursor"]
            for subject in feed["subjects"]:
                if is_measured and any(limit["state"] == "deny" for limit in subject["limits"]):
                    self.denied_at.setdefault(subject["customer"], now)


if __name__ == "__main__":
    main()
