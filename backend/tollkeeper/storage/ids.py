"""Make identifiers that sort by time of making and say what they name: `cus_0693f0...`."""

import secrets
import time


def new_id(prefix: str) -> str:
    """Return `prefix_` and 26 hex digits: 12 of milliseconds since 1970, 14 of randomness."""
    return f"{prefix}_{time.time_ns() // 1_000_000:012x}{secrets.token_hex(7)}"
