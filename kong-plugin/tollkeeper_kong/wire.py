"""Kong's requests as they nearly always come: an event or a step, in one message of its own."""

from typing import Annotated, Any, Literal

import msgspec


class Argument(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    """The argument of HandleEvent and of the steps."""

    instance_id: int | None = msgspec.field(default=None, name="InstanceId")
    phase: str | None = msgspec.field(default=None, name="EventName")
    event_id: int | None = msgspec.field(default=None, name="EventId")
    answer: Any = msgspec.field(default=None, name="Data")


class Request(msgspec.Struct, gc=False, array_like=True, forbid_unknown_fields=True):
    """`[0, message id, method, [argument]]`."""

    kind: Literal[0]
    message_id: Annotated[int, msgspec.Meta(ge=0)]
    method: str
    arguments: tuple[Argument]


decode_request = msgspec.msgpack.Decoder(Request).decode
"""Raises ValueError, TypeError or RecursionError for anything else; msgspec's own errors are among these."""
