"""When a limit's numbers go out to the nodes: at once when it matters, else now and then; pure.

Every request changes `used`, and a feed that told every node of every request would cost more than the
gateway. Nodes count down their own passes, so they need the others' only as the end comes near.
"""

from datetime import datetime, timedelta
from decimal import Decimal

from tollkeeper.entitlements.tables import EntitlementLimit
from tollkeeper.entitlements.verdict import State

STEP_PER_CENT = 1
NEAR_END_PER_CENT = 10
AT_LEAST_EVERY = timedelta(seconds=5)


def is_due(limit: EntitlementLimit, *, now: datetime) -> bool:
    """Tell whether the limit is to be published.

    Yes: for every change of state; near the end of a hard limit for every change; else once `used` moved by a
    hundredth of the limit, or after five seconds.
    """
    if limit.state != limit.published_state:
        return True
    moved = abs(limit.used - limit.published_used)
    if moved == 0:
        return False
    if limit.published_at is None or now - limit.published_at >= AT_LEAST_EVERY or now < limit.published_at:
        return True
    left = limit.quota - limit.used
    is_near_end = limit.is_hard and limit.state != State.DENY and left * 100 <= limit.quota * NEAR_END_PER_CENT
    return is_near_end or moved * 100 >= limit.quota * Decimal(STEP_PER_CENT)
