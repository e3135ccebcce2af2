"""Kong Air's upstreams for tests and the demo: flights, bookings, destinations, and a chat in OpenAI's format.

`python -m tests.gateway.upstreams --listen 127.0.0.1:0` serves all four on one port. Everything is deterministic: the
same request gets the same answer, and `tokens_of` tells a test what the chat will count.
"""

import asyncio
import json
import signal
import sys
from collections.abc import Callable
from typing import Any

import click
from aiohttp import web

FLIGHTS = [
    {"number": f"KA{number}", "from": origin, "to": destination}
    for number, origin, destination in (
        (924, "SFO", "LHR"), (925, "LHR", "SFO"), (101, "CPT", "AMS"), (102, "AMS", "CPT"), (777, "NRT", "SYD"),
    )
]  # fmt: skip
DESTINATIONS = [
    {"code": code, "city": city} for code, city in (("LHR", "London"), ("AMS", "Amsterdam"), ("SYD", "Sydney"))
]
MODELS = {"gpt-4o": "gpt-4o-2024-11-20", "gpt-4o-mini": "gpt-4o-mini-2024-07-18"}
LONGEST_ANSWER_TOKENS = 64
CACHED_BLOCK = 128  # OpenAI caches prompts in blocks of this many tokens


def tokens_of(request: dict[str, Any]) -> dict[str, Any]:
    """Return the usage object that the chat answers a request with: a token is four characters, rounded up."""
    prompt = sum(3 + -(-len(str(message.get("content", ""))) // 4) for message in request.get("messages", []))
    completion = min(5 + prompt // 3, LONGEST_ANSWER_TOKENS, request.get("max_tokens") or LONGEST_ANSWER_TOKENS)
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": prompt // CACHED_BLOCK * CACHED_BLOCK, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
    }


def build_app(*, chunk_pause: float = 0.0) -> web.Application:
    """Build the application of all four upstreams; `chunk_pause` spaces the chunks of a stream, in seconds."""
    app = web.Application()
    app.router.add_get("/flights", _json(lambda request: FLIGHTS))
    app.router.add_get("/flights/{number}", _one_flight)
    app.router.add_get("/destinations", _json(lambda request: DESTINATIONS))
    app.router.add_get("/bookings", _json(lambda request: [{"ticket": 1, "flight": "KA924"}]))
    app.router.add_post("/bookings", _book)
    app.router.add_post("/v1/chat/completions", _Chat(chunk_pause).answer)
    return app


def _json(content: Callable[[web.Request], Any]) -> Callable[[web.Request], Any]:
    async def answer(request: web.Request) -> web.Response:
        return web.json_response(content(request))

    return answer


async def _one_flight(request: web.Request) -> web.Response:
    found = next((flight for flight in FLIGHTS if flight["number"] == request.match_info["number"]), None)
    return web.json_response(found or {"message": "no such flight"}, status=200 if found else 404)


async def _book(request: web.Request) -> web.Response:
    try:
        booking = await request.json()
    except json.JSONDecodeError:
        return web.json_response({"message": "the body must be JSON"}, status=400)
    return web.json_response({"ticket": 2, "booked": booking}, status=201)


class _Chat:
    """OpenAI's chat completions."""

    def __init__(self, chunk_pause: float) -> None:
        self._pause = chunk_pause

    async def answer(self, request: web.Request) -> web.StreamResponse:
        asked = await request.json()
        model = MODELS.get(asked.get("model", "gpt-4o-mini"))
        if model is None:
            return web.json_response({"error": {"message": "no such model", "code": "model_not_found"}}, status=404)
        usage = tokens_of(asked)
        words = [f"word{number} " for number in range(usage["completion_tokens"])]
        if asked.get("stream"):
            with_usage = bool((asked.get("stream_options") or {}).get("include_usage"))
            return await self._stream(request, model, words, usage if with_usage else None)
        message = {"role": "assistant", "content": "".join(words)}
        return web.json_response({
            "id": "chatcmpl-demo", "object": "chat.completion", "created": 1795332597, "model": model,
            "choices": [{"index": 0, "message": message, "finish_reason": "stop"}], "usage": usage,
        })  # fmt: skip

    async def _stream(
        self, request: web.Request, model: str, words: list[str], usage: dict[str, Any] | None
    ) -> web.StreamResponse:
        answer = web.StreamResponse(headers={"Content-Type": "text/event-stream; charset=utf-8"})
        await answer.prepare(request)
        base = {"id": "chatcmpl-demo", "object": "chat.completion.chunk", "created": 1795332597, "model": model}
        for word in words:
            choice = {"index": 0, "delta": {"content": word}, "finish_reason": None}
            await answer.write(_event(base | {"choices": [choice], "usage": None}))
            await asyncio.sleep(self._pause)
        await answer.write(_event(base | {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}))
        if usage:
            await answer.write(_event(base | {"choices": [], "usage": usage}))
        await answer.write(b"data: [DONE]\n\n")
        await answer.write_eof()
        return answer


def _event(content: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(content, separators=(",", ":")).encode() + b"\n\n"


async def _serve(host: str, port: int, chunk_pause: float) -> None:
    runner = web.AppRunner(build_app(chunk_pause=chunk_pause), access_log=None)
    await runner.setup()
    await web.TCPSite(runner, host, port, backlog=1024).start()
    sys.stdout.write(f"Kong Air's upstreams listen on {host}:{runner.addresses[0][1]}\n")
    sys.stdout.flush()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await stop.wait()
    await runner.cleanup()


@click.command(help=__doc__)
@click.option("--listen", default="127.0.0.1:8080", show_default=True, help="Address; port 0 picks one.")
@click.option("--chunk-pause", default=0.0, show_default=True, help="Seconds between the chunks of a stream.")
def main(listen: str, chunk_pause: float) -> None:
    """Serve until SIGTERM or SIGINT."""
    host, _, port = listen.rpartition(":")
    asyncio.run(_serve(host, int(port), chunk_pause))


if __name__ == "__main__":
    main()
