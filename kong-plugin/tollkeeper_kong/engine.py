"""kong-pdk's plugin server without its event engine: RPC messages in, answers out, no lock and no thread.

The wire format and the error texts are kong-pdk's. A handler is a generator that yields its PDK calls; it runs in the
worker greenlet that has read the message that moves it on. This file knows nothing of sockets.
"""

import json
import os
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import msgpack
import msgspec
from gevent import GreenletExit

from tollkeeper_kong.events import Event, WaitingEvents
from tollkeeper_kong.instances import Config, Instances, Plugin, UnknownInstance, first_id
from tollkeeper_kong.metrics import EngineCounters
from tollkeeper_kong.pdk import Call, PdkError, Steps
from tollkeeper_kong.peers import FROM_PEER
from tollkeeper_kong.wire import Argument, Request

# kong-pdk takes the result of some PDK calls under names of their own; all mean the same step.
_STEPS_OF = ("", "Service", "Consumer", "Route", "Plugin", "Credential", "MemoryStats", "MultiMap")
_RETURN = msgspec.Raw(b"\xa3ret")
_MOST_ID = 2**63

_encode = msgspec.msgpack.Encoder().encode
_pack_any = msgpack.Packer(unicode_errors="surrogatepass").pack  # a config echoed to Kong, whatever JSON it was
_clock = time.perf_counter


class Malformed(ValueError):
    """The bytes are no RPC request; the connection cannot be trusted any further."""


class RpcError(Exception):
    """Kong is told the text of this error; the connection goes on."""


class UnknownEvent(RpcError):
    """It has ended, was given up, or another server has begun it."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What one server holds at most, whatever Kong or a stray client does."""

    waiting_events: int = 16_384
    event_seconds: float = 10.0
    sweep_seconds: float = 1.0
    instances: int = 40_000
    """Configurations times nginx workers, 4.5 KiB each. One too many evicts another, which Kong starts anew."""


class Engine:
    """Answers Kong's RPC messages by running plugin handlers."""

    def __init__(
        self,
        plugins: Mapping[str, Callable[[Config], Plugin]],
        *,
        limits: Limits | None = None,
        counters: EngineCounters | None = None,
        on_failure: Callable[[str, BaseException], None] | None = None,
    ) -> None:
        limits = limits or Limits()
        self.counters = counters or EngineCounters()
        self.instances = Instances(limits.instances)
        self.waiting = WaitingEvents(limits.event_seconds)
        self._instances = self.instances.by_id
        self._waiting = self.waiting.by_id
        self._most_waiting = limits.waiting_events
        self._plugins = plugins
        self._on_failure = on_failure or _ignore
        self._next_event_id = first_id()
        self.elsewhere: Callable[[int, str, object], bytes | None] = _nowhere
        """Asked for an event or instance that is unknown here: the reply of the server that knows it, or None."""
        self.sweep_seconds = limits.sweep_seconds
        self.now = _clock() + self.sweep_seconds  # of the next sweep: near enough for time limits, never too early
        moves: dict[str, Callable[[int, Argument], bytes]] = {
            "plugin.HandleEvent": self._handle_event,
            "plugin.StepError": self._step_error,
            **{f"plugin.Step{of}": self._step for of in _STEPS_OF},
        }
        self._moves = moves | {FROM_PEER + name: move for name, move in moves.items()}
        self._others: dict[str, Callable[[int, Any], bytes]] = {
            "plugin.StartInstance": self._start_instance,
            "plugin.CloseInstance": self._close_instance,
            f"{FROM_PEER}plugin.CloseInstance": self._close_instance,
            "plugin.InstanceStatus": self._instance_status,
            "plugin.GetStatus": self._get_status,
        }

    def answer_request(self, request: Request) -> bytes:
        """Return the reply to an event or a step."""
        try:
            return self._moves[request.method](request.message_id, request.arguments[0])
        except KeyError:
            return self._error(request.message_id, f"RPC for {printable(request.method)} is not supported")
        except (RpcError, UnknownInstance) as error:
            return self._refuse(request.message_id, request.method, request.arguments[0], error)

    def answer(self, message: object) -> bytes:
        """Return the reply to any decoded message; raises Malformed, and nothing else."""
        if type(message) is not list or len(message) != 4:
            raise Malformed("no RPC request")
        kind, message_id, method, arguments = message
        if kind != 0 or type(message_id) is not int or type(arguments) is not list:
            raise Malformed("no RPC request")
        if not 0 <= message_id < _MOST_ID:
            raise Malformed("no message id")
        argument = arguments[0] if arguments else None
        try:
            if type(method) is str and method in self._others:
                return self._others[method](message_id, argument)
            if type(method) is str and method in self._moves:
                return self._moves[method](message_id, _argument_of(argument))
        except (RpcError, UnknownInstance) as error:
            return self._refuse(message_id, method, argument, error)
        return self._error(message_id, f"RPC for {printable(method)} is not supported")

    def sweep(self) -> None:
        """End the events that Kong has abandoned; called every `sweep_seconds`."""
        now = _clock()
        self.now = now + self.sweep_seconds
        self.counters.expired += self.waiting.expire(now)

    def abandon(self) -> None:
        """End every event that waits: the server stops."""
        self.counters.expired += self.waiting.expire(float("inf"))

    def _handle_event(self, message_id: int, argument: Argument) -> bytes:
        phase, instance = argument.phase, self._instances.get(argument.instance_id)
        if instance is None:
            raise UnknownInstance(argument.instance_id)
        instance.last_used = now = self.now
        event_id = self._next_event_id
        self._next_event_id = event_id + 1
        begin = instance.phases.get(phase) if phase else None
        if begin is None or phase is None:
            return _encode((1, message_id, None, {"Data": _RETURN, "EventId": event_id}))
        counters = self.counters.of_phase[phase]
        counters.begun += 1
        try:
            steps = begin()
        except Exception as error:  # noqa: BLE001 - raised again in _advance, the edge of the plugin's phases
            steps = _raise(error)
        event = Event(event_id, instance, phase, steps, counters, _clock(), now)
        return self._advance(message_id, event, steps.send, None)

    def _step(self, message_id: int, argument: Argument) -> bytes:
        event = self._take(argument)
        return self._advance(message_id, event, event.steps.send, argument.answer)

    def _step_error(self, message_id: int, argument: Argument) -> bytes:
        event = self._take(argument)
        return self._advance(message_id, event, event.steps.throw, PdkError(printable(argument.answer)))

    def _take(self, argument: Argument) -> Event:
        """Return the event that a step is for. Until its next call it is in no table: a repeated step finds nothing."""
        event = self._waiting.pop(argument.event_id, None)
        if event is None:
            raise UnknownEvent(f"event id {printable(argument.event_id)} not found")
        return event

    def _advance(self, message_id: int, event: Event, move: Callable[..., Call], value: object) -> bytes:
        """Run the handler up to its next PDK call, its end or its failure; return the reply."""
        try:
            call = move(value)
            packed, ends = call.packed, call.ends_event
        except StopIteration:
            packed, ends = _RETURN, True
        except (GreenletExit, KeyboardInterrupt):
            raise
        except BaseException as error:  # noqa: BLE001 - the edge of the plugin's phases; counted and logged in _failed
            packed, ends = self._failed(event, error), True
        else:
            if ends:
                event.close()
                self.counters.exits += 1
        if ends:
            event.counters.observe(_clock() - event.started)
        else:
            event.waits_since = self.now
            waiting = self._waiting
            waiting[event.event_id] = event
            if len(waiting) > self._most_waiting:
                self.waiting.crowd_out()
        return _encode((1, message_id, None, {"Data": packed, "EventId": event.event_id}))

    def _failed(self, event: Event, error: BaseException) -> msgspec.Raw:
        """Count and tell a handler's failure; return what ends the event."""
        event.close()
        event.counters.failed += 1
        self._on_failure(event.phase, error)
        call = event.instance.plugin.failure_answer(event.phase)
        return _RETURN if call is None else call.packed

    def _start_instance(self, message_id: int, argument: Any) -> bytes:
        try:
            name, config = argument["Name"], json.loads(argument["Config"])
            build = self._plugins[name]
        except (TypeError, KeyError, IndexError, ValueError, RecursionError) as error:
            raise RpcError(f"cannot start an instance: {type(error).__name__} in Name or Config") from None
        if type(config) is not dict:
            raise RpcError("cannot start an instance: Config is not an object")
        try:
            plugin = build(config)
        except Exception as error:
            self.counters.failed_starts += 1
            self._on_failure("start", error)
            raise RpcError(f"cannot start an instance of {name}: {type(error).__name__}") from error
        instance = self.instances.start(name, config, plugin, self.now)
        try:
            return self._result(message_id, instance.status())
        except RpcError:
            self.instances.close(instance.instance_id)
            raise

    def _close_instance(self, message_id: int, argument: Any) -> bytes:
        status = self.instances.close(argument).status()
        del status["StartTime"]
        return self._result(message_id, status)

    def _instance_status(self, message_id: int, argument: Any) -> bytes:
        return self._result(message_id, self.instances.get(argument).status())

    def _get_status(self, message_id: int, _argument: Any) -> bytes:
        plugins = {
            name: {"Name": name, "Instances": [i.status() for i in self.instances.by_id.values() if i.name == name]}
            for name in self._plugins
        }
        status = {"Pid": os.getpid(), "Plugins": plugins, "WaitingEvents": len(self.waiting)}  # the last is ours
        return self._result(message_id, status)

    @staticmethod
    def _result(message_id: int, result: dict[str, object]) -> bytes:
        try:
            packed: bytes = _pack_any((1, message_id, None, result))
        except (ValueError, OverflowError):  # a config that only hostile JSON can hold
            raise RpcError("Config holds what MessagePack cannot") from None
        return packed

    def _refuse(self, message_id: int, method: str, argument: object, error: Exception) -> bytes:
        """Answer with an error, unless another server knows what is unknown here."""
        if isinstance(error, UnknownEvent | UnknownInstance) and not method.startswith(FROM_PEER):
            reply = self.elsewhere(message_id, method, _wire_form(argument))
            if reply is not None:
                self.counters.passed_on += 1
                return reply
        return self._error(message_id, printable(error))

    def _error(self, message_id: int, text: str) -> bytes:
        self.counters.rpc_errors += 1
        return _encode((1, message_id, text, None))


def _argument_of(argument: Any) -> Argument:
    """Read an argument that did not come in its usual form: from an older Kong, or from nobody we know."""
    try:
        return msgspec.convert(argument, Argument, strict=False)
    except (msgspec.ValidationError, ValueError, TypeError, RecursionError):
        raise RpcError("the argument is not what this method takes") from None


def printable(value: object) -> str:
    """Return a short text of a value from outside that is safe to log and to send."""
    text = str(value) if not isinstance(value, list | dict | bytes) else type(value).__name__
    return re.sub(r"[^\x20-\x7e]", "?", text[:200])


def whereabouts(error: BaseException) -> str:
    """Say what failed and where, without the error's text: it may quote a request."""
    traceback = error.__traceback__
    place = ""
    while traceback is not None:
        code = traceback.tb_frame.f_code
        place = f" at {os.path.basename(code.co_filename)}:{traceback.tb_lineno} in {code.co_name}"  # noqa: PTH119
        traceback = traceback.tb_next
    return type(error).__name__ + place


def _wire_form(argument: object) -> object:
    """Return an argument as Kong sent it."""
    if not isinstance(argument, Argument):
        return argument
    if argument.event_id is None:
        return {"InstanceId": argument.instance_id, "EventName": argument.phase}
    return {"EventId": argument.event_id, "Data": argument.answer}


def _raise(error: Exception) -> Steps:
    raise error
    yield  # makes this a generator: the error shows up where a handler's errors do


def _nowhere(_message_id: int, _method: str, _argument: object) -> None:
    """Know no other server: the default of an engine without a socket."""


def _ignore(_where: str, _error: BaseException) -> None:
    """Tell nobody: the default of an engine in a test."""
