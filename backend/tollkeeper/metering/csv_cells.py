"""Write rows of a CSV that people open in a spreadsheet: a text of a client's must not become a formula there."""

import csv
import io
from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal

# What a spreadsheet takes for the beginning of a formula; the last four are the wide forms of the first.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
Cell = str | int | Decimal | datetime | None


def csv_row(cells: Iterable[Cell]) -> str:
    """Return one row with its end; texts come from anybody and are made harmless, numbers and times are ours."""
    written = io.StringIO()
    csv.writer(written, lineterminator="\r\n").writerow([_written(cell) for cell in cells])
    return written.getvalue()


def csv_time(instant: datetime) -> str:
    """Return an instant in UTC as the API writes it: with a Z."""
    return instant.isoformat().replace("+00:00", "Z")


def _written(cell: Cell) -> str:
    if isinstance(cell, str):
        return f"'{cell}" if cell.startswith(_FORMULA) else cell
    if isinstance(cell, datetime):
        return cell.isoformat()
    if isinstance(cell, Decimal):
        return format(cell, "f")
    return "" if cell is None else str(cell)
