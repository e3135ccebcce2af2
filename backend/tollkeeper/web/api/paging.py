"""Pages by cursor: `?cursor=&limit=`, at most 1000; the cursor is opaque to clients."""

import base64
import binascii
import json
from collections.abc import Callable, Sequence
from typing import Annotated, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from tollkeeper.errors import InvalidInput

Row = TypeVar("Row")
Out = TypeVar("Out")

DEFAULT_LIMIT = 100
MOST_LIMIT = 1000


class PageQuery(BaseModel):
    """The query of a list; subclass it to add filters."""

    model_config = ConfigDict(extra="forbid")

    cursor: Annotated[str | None, Field(description="`next_cursor` of the page before; absent for the first.")] = None
    limit: Annotated[int, Field(ge=1, le=MOST_LIMIT, description="How many items at most.")] = DEFAULT_LIMIT

    def after(self) -> str | None:
        """Return the id that the page starts after, or None for the first page; raises InvalidInput."""
        return None if self.cursor is None else decode_cursor(self.cursor, 1)[0]


class Page(BaseModel, Generic[Out]):
    """One page of a list; `next_cursor` is null on the last."""

    items: list[Out]
    next_cursor: str | None = None


def page_of(
    rows: Sequence[Row], limit: int, describe: Callable[[Row], Out], cursor_of: Callable[[Row], str]
) -> Page[Out]:
    """Build a page from `limit + 1` rows asked for: the extra one says only that there is more."""
    shown = rows[:limit]
    next_cursor = encode_cursor(cursor_of(shown[-1])) if len(rows) > limit else None
    return Page(items=[describe(row) for row in shown], next_cursor=next_cursor)


def encode_cursor(*parts: str) -> str:
    """Wrap the sort key of the last row of a page."""
    return base64.urlsafe_b64encode(json.dumps(parts).encode()).decode().rstrip("=")


def decode_cursor(cursor: str, count: int) -> list[str]:
    """Return the parts of a cursor that we made; raises InvalidInput for anything else."""
    try:
        parts = json.loads(base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True))
    except (binascii.Error, ValueError):
        parts = None
    if not isinstance(parts, list) or len(parts) != count or not all(_is_text(part) for part in parts):
        raise InvalidInput.of("/cursor", "is no cursor of this list; leave it out to start from the first page")
    return parts


def _is_text(part: object) -> bool:
    return isinstance(part, str) and "\x00" not in part
