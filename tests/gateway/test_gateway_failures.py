"""The gateway fails as Kong 3.9.1 was recorded to: the failure table in tests/recordings/kong/README.md."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import pytest
import yaml

from tests.gateway import proxy
from tests.gateway.configuration import configuration_of
from tests.gateway.proxy import Gateway
from tests.gateway.running import (
    WITH_PLUGIN,
    Death,
    ScriptedServer,
    Silence,
    eventually,
    get,
    plain_script,
    running_gateway,
    running_upstream,
)
from tests.waiting import PATIENCE_SECONDS

UNEXPECTED = b'"message":"An unexpected error occurred"'


@dataclass
class World:
    server: ScriptedServer
    gateway: Gateway
    port: int

    async def ask(self) -> int:
        status, _, _ = await get(self.port, "/open/flights")
        return status

    async def logged(self, count: int) -> None:
        await eventually(lambda: self.events("log") >= count)

    def events(self, phase: str) -> int:
        return sum(call["EventName"] == phase for call in self.server.named("plugin.HandleEvent"))


@pytest.fixture
def in_world(tmp_path: Path) -> "Run":
    @asynccontextmanager
    async def world(workers: int, read_timeout: float) -> AsyncIterator[World]:
        server = ScriptedServer(tmp_path / "p.sock", plain_script())
        await server.start()
        async with (
            running_upstream() as upstream,
            running_gateway(
                WITH_PLUGIN, upstream=upstream, socket=server.path, read_timeout=read_timeout, workers=workers
            ) as (gateway, port),
        ):
            try:
                yield World(server, gateway, port)
            finally:
                await server.stop()

    def run(
        story: Callable[[World], Awaitable[None]], *, workers: int = 1, read_timeout: float = PATIENCE_SECONDS
    ) -> None:
        async def main() -> None:
            async with world(workers, read_timeout) as here:
                await story(here)

        asyncio.run(main())

    return run


class Run(Protocol):
    def __call__(
        self, story: Callable[[World], Awaitable[None]], *, workers: int = 1, read_timeout: float = PATIENCE_SECONDS
    ) -> None: ...


def test_a_server_that_is_up_is_asked_in_access_and_log(in_world: Run) -> None:
    async def story(world: World) -> None:
        assert await world.ask() == 200
        await world.logged(1)
        assert [name for name, _ in world.server.calls] == [
            "plugin.StartInstance", "plugin.HandleEvent", "plugin.HandleEvent",
        ]  # fmt: skip

    in_world(story)


def test_no_server_and_no_instance_yet_answers_500_and_logs_nothing(in_world: Run) -> None:
    async def story(world: World) -> None:
        await world.server.stop()
        status, _, body = await get(world.port, "/open/flights")
        assert status == 500
        assert UNEXPECTED in body
        await eventually(lambda: world.gateway.counters["log aborted: InstanceNotStarted"] == 1)
        await world.server.start()
        assert await world.ask() == 200

    in_world(story)


def test_a_server_that_went_away_is_skipped_by_a_worker_with_an_instance(in_world: Run) -> None:
    async def story(world: World) -> None:
        assert await world.ask() == 200
        await world.logged(1)
        await world.server.stop()
        assert await world.ask() == 200
        assert world.events("log") == 1, "that log event is lost"

    in_world(story)


def test_a_server_killed_during_a_request_is_skipped_at_once(in_world: Run) -> None:
    async def story(world: World) -> None:
        assert await world.ask() == 200
        await world.logged(1)
        world.server.script = lambda method, argument: Death()
        started = asyncio.get_running_loop().time()
        assert await world.ask() == 200
        assert asyncio.get_running_loop().time() - started < PATIENCE_SECONDS / 2

    in_world(story)


def test_a_slow_server_holds_the_request_for_the_read_timeout_and_is_then_skipped(in_world: Run) -> None:
    async def story(world: World) -> None:
        assert await world.ask() == 200
        world.server.script = lambda method, argument: Silence()
        started = asyncio.get_running_loop().time()
        assert await world.ask() == 200
        assert asyncio.get_running_loop().time() - started >= 0.3
        assert world.gateway.servers["toy"].failures == {"timeout": 1}

    in_world(story, read_timeout=0.3)


def test_a_refused_pdk_call_answers_500_in_access_and_the_plugin_never_hears_of_it(in_world: Run) -> None:
    async def story(world: World) -> None:
        world.server.script = plain_script(access=("kong.log.serialize", []))
        status, _, body = await get(world.port, "/open/flights")
        assert status == 500
        assert UNEXPECTED in body
        await world.logged(1)
        assert not world.server.named("plugin.Step")
        assert not world.server.named("plugin.StepError")

    in_world(story)


def test_a_refused_pdk_call_in_log_aborts_the_timer_and_the_client_saw_200(in_world: Run) -> None:
    async def story(world: World) -> None:
        world.server.script = plain_script(log=("kong.response.exit", [418, "m"]))
        assert await world.ask() == 200
        await eventually(lambda: world.gateway.counters["log aborted: PdkRefusal"] == 1)
        assert not world.server.named("plugin.Step")

    in_world(story)


def test_an_unknown_pdk_method_returns_nothing(in_world: Run) -> None:
    async def story(world: World) -> None:
        world.server.script = plain_script(access=("kong.nginx.shared.get", ["a"]))
        assert await world.ask() == 200
        assert world.server.named("plugin.Step") == [{"EventId": 1}]

    in_world(story)


def test_a_restarted_server_gets_its_instances_again_and_the_request_passes(in_world: Run) -> None:
    async def story(world: World) -> None:
        assert await world.ask() == 200
        await world.logged(1)
        fresh, known = plain_script(), []

        def restarted(method: str, argument: Any) -> object:
            if method == "plugin.StartInstance":
                known.append(argument["Name"])
            elif method == "plugin.HandleEvent" and not known:
                return RuntimeError(f"no plugin instance #{argument['InstanceId']}")
            return fresh(method, argument)

        world.server.script = restarted
        assert await world.ask() == 200
        assert known == ["toy"]
        await world.logged(2)

    in_world(story)


def test_any_other_error_of_the_server_lets_the_request_pass(in_world: Run) -> None:
    async def story(world: World) -> None:
        assert await world.ask() == 200
        world.server.script = lambda method, argument: RuntimeError("division by zero")
        assert await world.ask() == 200

    in_world(story)


def test_a_reload_with_the_same_content_starts_a_new_instance_and_then_closes_the_old(in_world: Run) -> None:
    async def story(world: World) -> None:
        assert await world.ask() == 200
        await world.logged(1)
        world.gateway.reload(configuration_of(yaml.safe_load(WITH_PLUGIN)))
        before = len(world.server.calls)
        assert await world.ask() == 200
        names = [name for name, _ in world.server.calls[before:]]
        assert names[:3] == ["plugin.StartInstance", "plugin.CloseInstance", "plugin.HandleEvent"]
        assert world.server.named("plugin.CloseInstance") == [7]

    in_world(story)


def test_each_worker_starts_an_instance_of_its_own(in_world: Run) -> None:
    async def story(world: World) -> None:
        assert [await world.ask() for _ in range(12)] == [200] * 12
        assert len(world.server.named("plugin.StartInstance")) == 4

    in_world(story, workers=4)


def test_a_restarted_server_costs_one_error_however_many_workers_there_are(in_world: Run) -> None:
    """As Kong 3.9 does: the worker that hears of it posts an event, and all workers forget their instances."""

    async def story(world: World) -> None:
        assert [await world.ask() for _ in range(4)] == [200] * 4
        await world.logged(4)
        fresh, errors, started = plain_script(), [], []

        def restarted(method: str, argument: Any) -> object:
            if method == "plugin.StartInstance":
                started.append(argument["Name"])
            elif method == "plugin.HandleEvent" and not started:
                errors.append(argument)
                return RuntimeError("no plugin instance #7")
            return fresh(method, argument)

        world.server.script = restarted
        assert [await world.ask() for _ in range(4)] == [200] * 4
        assert (len(errors), len(started)) == (1, 4)

    in_world(story, workers=4)


def test_a_kong_reload_ends_old_workers_with_their_last_request_and_fails_none(in_world: Run) -> None:
    async def story(world: World) -> None:
        gate = asyncio.Event()
        usual = plain_script(access=("kong.client.get_consumer", []))

        async def wait(method: str, argument: Any) -> object:
            if method == "plugin.StepConsumer":
                await gate.wait()
            return usual(method, argument)

        assert [await world.ask() for _ in range(2)] == [200] * 2
        await world.logged(2)
        world.server.script = wait
        begun = [asyncio.create_task(world.ask()) for _ in range(2)]
        await eventually(lambda: len(world.server.named("plugin.StepConsumer")) == 2)
        await world.gateway.restart_workers(configuration_of(yaml.safe_load(WITH_PLUGIN)))
        world.server.script = usual
        assert [await world.ask() for _ in range(2)] == [200] * 2
        assert len(world.server.named("plugin.StartInstance")) == 4, "new workers have instances of their own"
        assert not world.server.named("plugin.CloseInstance"), "a worker that ends closes none"
        gate.set()
        assert await asyncio.gather(*begun) == [200] * 2
        await world.logged(6)
        await eventually(lambda: len(world.gateway._running) == 2)

    in_world(story, workers=2)


def test_many_first_requests_start_one_instance(in_world: Run) -> None:
    async def story(world: World) -> None:
        assert await asyncio.gather(*(world.ask() for _ in range(20))) == [200] * 20
        assert len(world.server.named("plugin.StartInstance")) == 1

    in_world(story)


def test_exit_ends_the_phase_and_leaves_the_event_of_the_plugin_open(in_world: Run) -> None:
    async def story(world: World) -> None:
        world.server.script = plain_script(
            access=("kong.response.exit", [429, '{"code":"quota_exhausted"}', {"X-Tollkeeper-Refused": "a b"}])
        )
        status, headers, body = await get(world.port, "/open/flights")
        assert (status, body) == (429, b'{"code":"quota_exhausted"}')
        assert headers["x-tollkeeper-refused"] == "a b"
        assert not world.server.named("plugin.Step")

    in_world(story)


def test_concurrent_calls_take_a_connection_each_and_the_pool_keeps_them(in_world: Run) -> None:
    async def story(world: World) -> None:
        gate = asyncio.Event()
        usual = plain_script(access=("kong.client.get_consumer", []))

        async def wait(method: str, argument: Any) -> object:
            await gate.wait()
            return usual(method, argument)

        assert await world.ask() == 200
        await world.logged(1)
        world.server.script = wait
        asking = [asyncio.create_task(world.ask()) for _ in range(5)]
        await eventually(lambda: world.server.open_connections == 5)
        gate.set()
        assert await asyncio.gather(*asking) == [200] * 5

    in_world(story)


def test_log_timers_above_kong_s_limit_are_thrown_away_silently(in_world: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proxy, "MOST_LOG_TIMERS", 3)

    async def story(world: World) -> None:
        usual = plain_script()
        world.server.script = lambda method, argument: (
            Silence() if argument == {"InstanceId": 7, "EventName": "log"} else usual(method, argument)
        )
        assert [await world.ask() for _ in range(5)] == [200] * 5
        assert world.gateway.counters["log timers lost"] == 2

    in_world(story)
