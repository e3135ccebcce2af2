"""Cut a JSON array into its elements without reading them, so that one unreadable event spoils no other; pure."""

import re
from collections.abc import Iterator, Sequence
from itertools import islice

import msgspec

from tollkeeper.errors import TollkeeperError

# Whole strings are one token: brackets and commas inside them mean nothing.
TOKENS = re.compile(rb'"(?:[^"\\]|\\.)*"|[][{},]', re.DOTALL)
MOST_SCANNED_DEPTH = 10_000
BLANKS = b" \t\r\n"
BYTES_OF_A_VALUE = 10

_element = msgspec.json.Decoder(msgspec.Raw)
_elements = msgspec.json.Decoder(list[msgspec.Raw])


class MalformedBody(TollkeeperError):
    """The body as a whole is no JSON object or array."""

    code = "malformed_json"


def weight_of(body: bytes) -> int:
    """Return how many bytes of usual text take as much memory, once read, as this one; at least its own length.

    A usual text takes six times its length. A list, an object or a number takes some 60 bytes, however short it is.
    """
    return max(len(body), BYTES_OF_A_VALUE * sum(body.count(mark) for mark in (b",", b"[", b"{")))


def split_body(body: bytes, *, most: int) -> Sequence[bytes | msgspec.Raw]:
    """Return the elements of an array, or the one object; raises MalformedBody. May stop after the first `most`.

    A body with one event that is no JSON (NaN, half a surrogate pair, nested by the thousand) is cut by its
    brackets instead: that event will be refused by itself.
    """
    start = body.lstrip(BLANKS)[:1]
    try:
        if start == b"{":
            return [_element.decode(body)]
        if start == b"[":
            return _elements.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return list(islice(_cut(body.strip(BLANKS), f"the body is no JSON: {error}"), most))
    raise MalformedBody("the body is no JSON object or array of events")


def depth_of(raw: bytes) -> int:
    """Return how deep the brackets of a text are nested."""
    deepest = depth = 0
    for token in TOKENS.finditer(raw):
        depth += _step(token[0])
        deepest = max(deepest, depth)
    return deepest


def _cut(body: bytes, reason: str) -> Iterator[bytes]:
    depth, start = 0, 1
    for token in TOKENS.finditer(body):
        if depth == 1 and token[0] == b"," and body.startswith(b"["):
            yield body[start : token.start()]
            start = token.end()
            continue
        depth += _step(token[0])
        if depth == 0 or depth > MOST_SCANNED_DEPTH:
            break
    if depth != 0 or token.end() != len(body) or token[0] != {b"[": b"]", b"{": b"}"}[body[:1]]:
        raise MalformedBody(reason)
    yield body if body.startswith(b"{") else body[start : token.start()]


def _step(token: bytes) -> int:
    if token in {b"[", b"{"}:
        return 1
    return -1 if token in {b"]", b"}"} else 0
