"""What stands for a dimension set in the digests of its events; pure."""

from hashlib import blake2b
from typing import Any

import msgspec

from tollkeeper.metering.dimensions import SetKey

_json = msgspec.json.Encoder(order="deterministic")


def set_commitment(event_type: str, subject: str, measured: int, dimensions: Any) -> bytes:
    """Return what stands for a dimension set in the digests of its events."""
    named = _json.encode([event_type, subject, measured, msgspec.to_builtins(dimensions)])
    return blake2b(named, digest_size=32).digest()


def commitment_of(key: SetKey) -> bytes:
    """Return the commitment to a set that events name."""
    return set_commitment(key.event_type, key.subject, key.measured, key.dimensions)
