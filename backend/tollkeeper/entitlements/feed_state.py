"""The one row that orders the feed: lock it to change the feed, read it to follow."""

import secrets

from sqlalchemy import select
from sqlalchemy.orm import Session

from tollkeeper.entitlements.tables import VerdictFeed
from tollkeeper.storage.upsert import insert_ignoring

FIRST_ROW = {"id": 1, "version": 0, "oldest_version": 0, "read_sequence": 0, "change_count": -1, "desired_digest": ""}


def lock_feed(session: Session) -> VerdictFeed:
    """Return the feed's row, held until the transaction ends; made at the first call.

    The epoch is random: a node that followed another database's feed is told everything anew.
    """
    query = select(VerdictFeed).where(VerdictFeed.id == 1).with_for_update().execution_options(populate_existing=True)
    feed = session.scalar(query)
    if feed is None:
        insert_ignoring(session, VerdictFeed, [{**FIRST_ROW, "epoch": secrets.token_hex(4)}])
        feed = session.scalars(query).one()
    return feed


def find_feed(session: Session) -> VerdictFeed | None:
    """Return the feed's row as it is committed, or None before the first refresh."""
    return session.get(VerdictFeed, 1)


def cursor_of(feed: VerdictFeed) -> str:
    """Return the cursor of the feed's present version; opaque to nodes."""
    return f"{feed.epoch}.{feed.version}"


def version_of(feed: VerdictFeed, cursor: str | None) -> int | None:
    """Return the version that a cursor names, or None when only a full snapshot will do.

    That is: no cursor, none of ours, one of another database, one from the future (a backup was restored), or
    one from before what removals are remembered.
    """
    epoch, _, digits = (cursor or "").partition(".")
    if epoch != feed.epoch or not digits.isdecimal() or len(digits) > 18:
        return None
    version = int(digits)
    return version if feed.oldest_version <= version <= feed.version else None
