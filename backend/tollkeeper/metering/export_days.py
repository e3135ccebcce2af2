"""Export whole days as Parquet, a file a day and a manifest of digests; check such a folder against the store.

A day that is written is read back, and its digest compared with what was kept when its events were accepted: what
is in the manifest was proved once. The manifest names days, numbers and digests, and nobody's name.
"""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import date, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

import msgspec
from sqlalchemy import select
from sqlalchemy.orm import Session

from tollkeeper.errors import Conflict, InvalidInput
from tollkeeper.metering.digest_tables import EventDigest
from tollkeeper.metering.digests import (
    DAY_US,
    DIGEST_BYTES,
    MODULUS_MASK,
    NOTHING,
    DigestKey,
    DigestSum,
    digests_of_day,
    unfolded_sums,
)
from tollkeeper.metering.findings import Range
from tollkeeper.metering.keeping_tables import DroppedDay, EventExport, ForgottenDay
from tollkeeper.metering.parquet_files import UnreadableFile, sum_of_file, write_day
from tollkeeper.metering.read import list_sets, read_events, source_names
from tollkeeper.storage.upsert import insert_into

MANIFEST = "manifest.json"
FORMAT = "tollkeeper-events/1"
EPOCH = date(1970, 1, 1)


class FileEntry(msgspec.Struct, frozen=True):
    """What the manifest says of a day; `digest` is the sum of docs/adr/0010 over all subjects, in hex."""

    file: str
    sha256: str
    events: int
    digest: str

    @property
    def sum(self) -> DigestSum:
        """Return number and digest of the events."""
        return DigestSum(self.events, int(self.digest, 16))


class Manifest(msgspec.Struct, frozen=True):
    """The manifest of a folder, by day."""

    days: dict[str, FileEntry]
    format: str = FORMAT


class ExportedDay(NamedTuple):
    """A day that the folder holds; `is_new` says that its file was written just now."""

    day: int
    entry: FileEntry
    is_new: bool


class State(StrEnum):
    """What checking a day's file came to."""

    EQUAL = "equal"
    GREW = "grew"  # events came since; those of the file cannot be compared by themselves
    FORGOTTEN = "forgotten"  # exported before somebody was forgotten: right, and with the names in it
    CHANGED_FILE = "changed_file"  # the file is not the one that was exported
    DIFFERS = "differs"  # the file is, but the store kept another digest
    NOT_EXPORTED = "not_exported"


class CheckedDay(NamedTuple):
    """A day, what its file came to, and why."""

    day: str
    state: State
    events: int
    detail: str


def export_days(session: Session, wanted: Range, folder: Path) -> Iterator[ExportedDay]:
    """Write each day that has events to the folder; yield the days as the folder comes to hold them.

    A day that is there already, as it is in the store now, is not written again: stopped at any point, a repeat goes
    on. Days that were dropped are passed over: their file is what is left of them. Raises Conflict for a day whose
    events are not those that were accepted: then `events verify` says more.
    """
    folder.mkdir(parents=True, exist_ok=True)
    manifest = read_manifest(folder)
    sources = source_names(session)
    sets = {facts.id: facts for facts in list_sets(session, None)}
    dropped = set(session.scalars(select(DroppedDay.day)))
    for day, kept in sums_by_day(session, wanted):
        if day in dropped:
            continue
        entry = manifest.days.get(name_of(day))
        is_new = entry is None or entry.sum != kept or not _is_file(folder, entry)
        if is_new:
            unfinished = folder / f"{name_of(day)}.part"
            with closing(read_events(session, sets, day * DAY_US, (day + 1) * DAY_US)) as events:
                write_day(unfinished, events, sources)
            entry = _entry_of(day, unfinished, kept)
            unfinished.replace(folder / entry.file)
            manifest = Manifest({**manifest.days, name_of(day): entry})
            _write_manifest(folder, manifest)
        assert entry is not None
        yield ExportedDay(day, entry, is_new)


def note_export(session: Session, exported: ExportedDay, *, now: datetime) -> None:
    """Remember that a day was exported, and as what; a repeat changes the time alone."""
    entry = exported.entry
    values = {"events": entry.events, "digest": bytes.fromhex(entry.digest), "sha256": entry.sha256, "exported_at": now}
    insert = insert_into(session, EventExport).values(day=exported.day, **values)
    session.execute(insert.on_conflict_do_update(index_elements=["day"], set_=values))


def check_days(session: Session, folder: Path) -> Iterator[CheckedDay]:
    """Recompute each file's digest from its rows; compare it with the manifest and with the digest in the store."""
    manifest = read_manifest(folder)
    kept = {name_of(day): one for day, one in sums_by_day(session, _everything(session, manifest))}
    for day in sorted(manifest.days.keys() | kept.keys()):
        entry = manifest.days.get(day)
        if entry is None:
            yield CheckedDay(
                day, State.NOT_EXPORTED, kept[day].events, "the store has events of it, the folder no file"
            )
        else:
            yield CheckedDay(day, *_check(folder, entry, _history(session, day, kept.get(day, NOTHING))))


def _check(folder: Path, entry: FileEntry, history: Sequence[DigestSum]) -> tuple[State, int, str]:
    is_there = _is_file(folder, entry)
    held = sum_of_file(folder / entry.file) if is_there else UnreadableFile("gone, or not the one that was exported")
    if isinstance(held, UnreadableFile):
        return State.CHANGED_FILE, entry.events, f"{entry.file}: {held.reason}"
    if held != entry.sum:
        return State.CHANGED_FILE, held.events, f"the manifest has another digest than the rows of {entry.file}"
    kept, *earlier = history
    if held == kept:
        return State.EQUAL, held.events, ""
    if held in earlier:
        return State.FORGOTTEN, held.events, "somebody was forgotten since; export again, or delete the file"
    if kept.events > held.events:
        more = kept.events - held.events
        return State.GREW, held.events, f"{more} events came since the export; export again"
    return State.DIFFERS, held.events, f"the store kept the digest of {kept.events} other events"


def _history(session: Session, day: str, kept: DigestSum) -> list[DigestSum]:
    """Return what a day's digest is, and what it was before each act of forgetting, the last act first."""
    number = (date.fromisoformat(day) - EPOCH).days
    query = select(ForgottenDay.delta).where(ForgottenDay.day == number).order_by(ForgottenDay.act_id.desc())
    history = [kept]
    for delta in session.scalars(query):
        total = history[-1].total - int.from_bytes(delta, "big") & MODULUS_MASK
        history.append(DigestSum(kept.events, total))
    return history


def sums_by_day(session: Session, wanted: Range) -> Iterator[tuple[int, DigestSum]]:
    """Yield the days with accepted events, and what their digests come to over all subjects."""
    parts = unfolded_sums(session)
    kept = session.scalars(select(EventDigest.day).distinct())
    days = {*kept, *(key.day for key in parts)}
    for day in sorted(one for one in days if wanted.first_day <= one < wanted.end_day):
        total = sum_of_day(session, day, parts)
        if total.events:
            yield day, total


def sum_of_day(session: Session, day: int, parts: dict[DigestKey, DigestSum]) -> DigestSum:
    """Return what a day's digests come to over all subjects; `parts` are those of `unfolded_sums`."""
    total = NOTHING
    for one in digests_of_day(session, day, parts).values():
        total = total.plus(one)
    return total


def read_manifest(folder: Path) -> Manifest:
    """Return the folder's manifest, an empty one if it has none; raises InvalidInput if it cannot be read."""
    path = folder / MANIFEST
    if not path.exists():
        return Manifest({})
    try:
        manifest = msgspec.json.decode(path.read_bytes(), type=Manifest)
        digests = [bytes.fromhex(one.digest) for one in manifest.days.values()]
        if manifest.format == FORMAT and all(len(one) == DIGEST_BYTES for one in digests):
            return manifest
    except (msgspec.DecodeError, OSError, ValueError):
        pass
    raise InvalidInput.of("/path", f"{path} is no manifest of an export; take another folder")


def name_of(day: int) -> str:
    """Return a day since 1970 as people write it."""
    return (EPOCH + timedelta(days=day)).isoformat()


def _everything(session: Session, manifest: Manifest) -> Range:
    named = [(date.fromisoformat(day) - EPOCH).days for day in manifest.days]
    stored = list(session.scalars(select(EventDigest.day).distinct())) + [key.day for key in unfolded_sums(session)]
    days = named + stored
    return Range(min(days), max(days) + 1) if days else Range(0, 0)


def _entry_of(day: int, path: Path, kept: DigestSum) -> FileEntry:
    held = sum_of_file(path)
    if held != kept:
        path.unlink()
        raise Conflict(f"the events of {name_of(day)} are not those that were accepted; run `tollkeeper events verify`")
    digest = kept.total.to_bytes(DIGEST_BYTES).hex()
    return FileEntry(f"{name_of(day)}.parquet", _sha256(path), kept.events, digest)


def _is_file(folder: Path, entry: FileEntry) -> bool:
    path = folder / entry.file
    return path.parent == folder and path.is_file() and _sha256(path) == entry.sha256


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _write_manifest(folder: Path, manifest: Manifest) -> None:
    unfinished = folder / f"{MANIFEST}.part"
    text = msgspec.json.format(msgspec.json.encode(manifest, order="sorted"), indent=1)
    unfinished.write_bytes(text + b"\n")
    unfinished.replace(folder / MANIFEST)
