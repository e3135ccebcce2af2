"""Wait for a condition, not for a time: on a loaded machine anything may take a hundred times as long."""

import time
from collections.abc import Callable

PATIENCE_SECONDS = 60.0
"""After which what should come about counts as never; nobody waits that long where all is well."""


def wait_until(condition: Callable[[], object], seconds: float = PATIENCE_SECONDS) -> bool:
    """Say whether the condition came true in time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.01)
    return bool(condition())


def eventually(condition: Callable[[], object], seconds: float = PATIENCE_SECONDS) -> None:
    """Wait until the condition is true; fail the test if it never is."""
    assert wait_until(condition, seconds), "did not come about"
