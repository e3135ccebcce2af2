"""Say what differs between two plan versions, by phase and rate card rather than by position."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tollkeeper.catalog.versions import Spec

ABSENT = object()


@dataclass(frozen=True, slots=True)
class Change:
    """One difference. In `path` phases and rate cards stand by key: /phases/trial/rate_cards/seats/price/amount.

    `before` or `after` is None where nothing stood.
    """

    path: str
    before: Any
    after: Any


def diff_specs(before: Spec, after: Spec) -> list[Change]:
    """Return the differences in the order of the older document, then what is new."""
    return list(_differences("", before.model_dump(mode="json"), after.model_dump(mode="json")))


def _differences(path: str, before: Any, after: Any) -> Iterator[Change]:
    left, right = _children(before), _children(after)
    if left is not None and right is not None:
        for name in [*left, *(name for name in right if name not in left)]:
            yield from _differences(f"{path}/{name}", left.get(name, ABSENT), right.get(name, ABSENT))
        yield from _order_change(path, list(left), list(right))
    elif before != after:
        yield Change(path, None if before is ABSENT else before, None if after is ABSENT else after)


def _children(value: Any) -> dict[str, Any] | None:
    """Return what is inside an object or a list: list items by their key where they have one."""
    if isinstance(value, dict):
        return value
    if isinstance(value, list):
        return {_name_of(item, place): item for place, item in enumerate(value)}
    return None


def _name_of(item: Any, place: int) -> str:
    return str(item["key"]) if isinstance(item, dict) and "key" in item else str(place)


def _order_change(path: str, left: list[str], right: list[str]) -> Iterator[Change]:
    # The order of phases is what they mean; that of other keyed lists is how they are shown.
    both_left = [name for name in left if name in right]
    both_right = [name for name in right if name in left]
    if path.endswith(("/phases", "/rate_cards")) and both_left != both_right:
        yield Change(path, both_left, both_right)
