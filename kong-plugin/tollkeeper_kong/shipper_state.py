"""What the shipper has done, written where the plugin server and `doctor` can read it."""

from pathlib import Path

import msgspec
import structlog

from tollkeeper_kong.segments import write_atomically

STATE_NAME = "shipper.json"

log = structlog.get_logger()


class ShipperCounters(msgspec.Struct):
    """Records, but for `batches` and `errors`. In the file: since the spool was made, over all shippers."""

    shipped: int = 0
    """Answered by the backend as taken, now or before."""
    duplicates: int = 0
    """Of these, those that the backend had already."""
    set_aside: int = 0
    set_aside_forgotten: int = 0
    """Set aside and then deleted, since there were too many."""
    lost_to_damage: int = 0
    """Written and then not readable any more: a disk that fails."""
    batches: int = 0
    errors: int = 0
    last_error: str | None = None
    """None while it goes well."""


_COUNTS = ("shipped", "duplicates", "set_aside", "set_aside_forgotten", "lost_to_damage", "batches", "errors")


def load_counters(spool_dir: Path) -> ShipperCounters:
    """Return what all shippers of this spool have done; zeros if there was none."""
    try:
        return msgspec.json.decode((spool_dir / STATE_NAME).read_bytes(), type=ShipperCounters)
    except (OSError, msgspec.DecodeError):
        return ShipperCounters()


def save_counters(spool_dir: Path, now: ShipperCounters, before: ShipperCounters) -> ShipperCounters:
    """Add what happened since `before` to the file; return a copy of `now`, the next `before`.

    A disk that refuses is told and changes nothing: the difference is written next time.
    """
    total = load_counters(spool_dir)
    for name in _COUNTS:
        setattr(total, name, getattr(total, name) + getattr(now, name) - getattr(before, name))
    total.last_error = now.last_error
    try:
        write_atomically(spool_dir / STATE_NAME, msgspec.json.encode(total), sync=False)
    except OSError as error:
        log.warning("shipper_state_not_written", error=str(error))
        return before
    return msgspec.structs.replace(now)
