"""Send the demo's requests through the gateway and remember, as a client would, what came back."""

import json
import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import requests

REQUEST_TIMEOUT_SECONDS = 30.0
REFUSED_HEADER = "X-Tollkeeper-Refused"
FLIGHTS = ("KA924", "KA925", "KA101", "KA102", "KA777")
MODELS = ("gpt-4o", "gpt-4o-mini")


@dataclass(frozen=True)
class Call:
    """One request of the story: `body` is sent as JSON if there is one."""

    method: str
    path: str
    body: dict[str, object] | None = None


@dataclass
class Seen:
    """What one consumer saw: the truth that the invoices are compared with."""

    sent: int = 0
    refused: int = 0
    by_status: dict[int, int] = field(default_factory=dict)
    input_tokens: int = 0
    output_tokens: int = 0

    def note(self, answer: requests.Response) -> None:
        """Count one answer; tokens are read from the answer's own usage."""
        self.sent += 1
        self.by_status[answer.status_code] = self.by_status.get(answer.status_code, 0) + 1
        if REFUSED_HEADER in answer.headers:
            self.refused += 1
        elif answer.status_code == 200 and answer.request.path_url.startswith("/chat"):
            usage = _usage_of(answer)
            self.input_tokens += usage["prompt_tokens"]
            self.output_tokens += usage["completion_tokens"]


def _usage_of(answer: requests.Response) -> dict[str, int]:
    """Return OpenAI's usage object of a JSON answer, or of the chunk of a stream that has one."""
    if not answer.headers["Content-Type"].startswith("text/event-stream"):
        return dict(answer.json()["usage"])
    chunks = (line.removeprefix("data: ") for line in answer.text.splitlines() if line.startswith("data: {"))
    return next(dict(usage) for usage in (json.loads(chunk).get("usage") for chunk in chunks) if usage)


def send_traffic(
    gateway_url: str, calls_of: dict[str, list[Call]], keys: dict[str, str], on_answer: Callable[[], None]
) -> dict[str, Seen]:
    """Send every consumer's calls, each consumer in its own thread and order; return what each saw.

    A connection error is an error of the demo and is raised: a request whose fate nobody knows proves nothing.
    """
    with ThreadPoolExecutor(max_workers=len(calls_of)) as pool:
        running = {
            consumer: pool.submit(_send_calls, gateway_url, calls, keys[consumer], on_answer)
            for consumer, calls in calls_of.items()
        }
        return {consumer: future.result() for consumer, future in running.items()}


def _send_calls(gateway_url: str, calls: list[Call], key: str, on_answer: Callable[[], None]) -> Seen:
    seen = Seen()
    with requests.Session() as session:
        session.headers["apikey"] = key
        for call in calls:
            answer = session.request(
                call.method, gateway_url + call.path, json=call.body, timeout=REQUEST_TIMEOUT_SECONDS
            )
            seen.note(answer)
            on_answer()
    return seen


def plan_calls(shares: dict[str, int], kinds: dict[str, tuple[str, ...]], *, seed: int) -> dict[str, list[Call]]:
    """Make each consumer's calls: `shares` says how many, `kinds` which kinds in turn; the same for a seed."""
    dice = random.Random(seed)  # noqa: S311 - a story, no secret
    return {
        consumer: [_make_call(dice.choice(kinds[consumer]), dice) for _ in range(count)]
        for consumer, count in shares.items()
    }


def _make_call(kind: str, dice: random.Random) -> Call:
    flight = dice.choice(FLIGHTS)
    if kind.startswith("chat"):
        question = {"role": "user", "content": "When is the next flight? " * dice.randrange(2, 40)}
        body: dict[str, object] = {"model": dice.choice(MODELS), "messages": [question]}
        if kind == "chat-stream":
            body |= {"stream": True, "stream_options": {"include_usage": True}}
        return Call("POST", "/chat", body)
    if kind == "book":
        return Call("POST", "/bookings", {"flight": flight, "seats": dice.randrange(1, 4)})
    return Call(
        "GET", {"flight": f"/flights/{flight}", "destinations": "/destinations", "lost": "/flights/KA000"}[kind]
    )
