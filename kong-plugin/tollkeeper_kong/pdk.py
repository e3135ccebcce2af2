"""PDK calls as values: a handler yields them, the engine sends them to Kong and returns Kong's answer."""

from collections.abc import Generator

import msgpack
import msgspec

# kong-pdk's non_return_methods: Kong ends the request in them and never answers.
_ENDING_METHODS = frozenset({"kong.response.exit", "kong.response.error"})
_packer = msgpack.Packer(unicode_errors="surrogateescape")


class PdkError(Exception):
    """Kong answered a PDK call with an error (it does so by `plugin.StepError` only)."""


class Call:
    """One PDK call, packed once however often it is sent.

    Strings may hold lone surrogates for bytes that are not UTF-8; they travel as the bytes that they were.
    """

    __slots__ = ("ends_event", "method", "packed")

    def __init__(self, method: str, *args: object) -> None:
        self.method = method
        self.ends_event = method in _ENDING_METHODS
        self.packed = msgspec.Raw(_packer.pack({"Method": method, "Args": args}))

    def __repr__(self) -> str:
        return f"Call({self.method})"


Steps = Generator[Call, object, None]


def response_exit(status: int, body: str, headers: dict[str, str]) -> Call:
    """Return the call that answers the client in place of the upstream; the event ends with it."""
    return Call("kong.response.exit", status, body, headers)
