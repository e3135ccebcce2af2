"""Whom a request is attributed to: its consumer, its credential, a header or a claim of its JSON Web Token.

A header is what the client sent: use it only where a trusted proxy sets it. A token has been verified by Kong's jwt
plugin before us (priority 1450); here its claim is only read.
"""

import binascii
from base64 import urlsafe_b64decode
from collections.abc import Callable
from typing import Any

import msgspec

from tollkeeper_kong.pdk import Call
from tollkeeper_kong.record import ANONYMOUS

LONGEST_SUBJECT = 256  # with its prefix: the backend takes no longer one, and what it refuses is billed to nobody
LONGEST_TOKEN = 16_384


class SubjectSource(msgspec.Struct, frozen=True):
    """How a subject is found: what to ask Kong and how to read the answer."""

    ask: Call
    read: Callable[[Any], str]
    """Kong's answer -> subject."""
    is_written_down: bool
    """Whether `access` writes it into Kong's log, for every capture to find: without that a record names a consumer."""


def subject_source(subject_from: str) -> SubjectSource:
    """Return the source that a configuration names; what the schema does not allow counts as `consumer`."""
    kind, _, name = subject_from.partition(":")
    if kind == "credential":
        return SubjectSource(Call("kong.client.get_credential"), _of_id("credential"), is_written_down=True)
    if kind == "header" and name:
        return SubjectSource(
            Call("kong.request.get_header", name), _of_text(f"header:{name.lower()}"), is_written_down=True
        )
    if kind == "jwt_claim" and name:
        return SubjectSource(Call("kong.request.get_header", "authorization"), _of_claim(name), is_written_down=True)
    return SubjectSource(Call("kong.client.get_consumer"), _of_id("consumer"), is_written_down=False)


def _of_id(kind: str) -> Callable[[Any], str]:
    def read(entity: Any) -> str:
        try:
            return f"{kind}:{entity['id']}"
        except (TypeError, KeyError):
            return ANONYMOUS

    return read


def _of_text(prefix: str) -> Callable[[Any], str]:
    """Read a value that somebody sent: one that is too long or not printable ASCII names nobody."""
    longest = LONGEST_SUBJECT - len(prefix) - 1

    def read(value: Any) -> str:
        if type(value) is not str or not 0 < len(value) <= longest or not value.isascii():
            return ANONYMOUS
        return f"{prefix}:{value}" if value.isprintable() else ANONYMOUS

    return read


def _of_claim(name: str) -> Callable[[Any], str]:
    read_text = _of_text(f"jwt_claim:{name}")

    def read(authorization: Any) -> str:
        claim = claims_of(authorization).get(name)
        return read_text(str(claim) if type(claim) is int else claim)

    return read


def claims_of(authorization: Any) -> dict[str, Any]:
    """Return the claims of a bearer token, unverified; none for anything else."""
    if type(authorization) is not str or len(authorization) > LONGEST_TOKEN:
        return {}
    scheme, _, token = authorization.partition(" ")
    parts = token.strip().split(".")
    if scheme.lower() != "bearer" or len(parts) != 3:
        return {}
    try:
        payload = urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4))
        claims = msgspec.json.decode(payload)
    except (binascii.Error, ValueError, RecursionError, msgspec.DecodeError):
        return {}
    return claims if isinstance(claims, dict) else {}
