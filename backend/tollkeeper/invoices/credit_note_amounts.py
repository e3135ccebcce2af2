"""What may be taken back of an invoice, and how it is split into net and tax: pure arithmetic (docs/money.md)."""

from dataclasses import dataclass
from fractions import Fraction


@dataclass(frozen=True, slots=True)
class Room:
    """An invoice's net and tax in minor units, and what its credit notes have taken back of each so far."""

    net: int
    tax: int
    net_credited: int = 0
    tax_credited: int = 0

    @property
    def net_left(self) -> int:
        """Return what may still be taken back before tax."""
        return self.net - self.net_credited

    @property
    def tax_left(self) -> int:
        """Return what tax may still be taken back."""
        return self.tax - self.tax_credited

    @property
    def left(self) -> int:
        """Return what may still be taken back in all."""
        return self.net_left + self.tax_left

    def after(self, net: int, tax: int) -> "Room":
        """Return the room that is left after one more credit note."""
        return Room(self.net, self.tax, self.net_credited + net, self.tax_credited + tax)


def tax_on(room: Room, net: int) -> int:
    """Return the tax that goes back with so much net; all notes together are rounded once, the last takes the rest."""
    if net > room.net_left:
        raise ValueError("more net than the invoice has left")
    return _tax_due(room, room.net_credited + net, room.net, most=room.tax_left)


def split_gross(room: Room, gross: int) -> tuple[int, int]:
    """Return the net and the tax of an amount with tax in it; they add up to it, and the last takes the rest."""
    if gross > room.left:
        raise ValueError("more than the invoice has left")
    credited = room.net_credited + room.tax_credited
    tax = _tax_due(room, credited + gross, room.net + room.tax, most=min(room.tax_left, gross))
    tax = max(tax, gross - room.net_left)
    return gross - tax, tax


def _tax_due(room: Room, credited: int, whole: int, *, most: int) -> int:
    if whole == 0:
        return 0
    together = _half_up(Fraction(room.tax * credited, whole))
    return min(max(together - room.tax_credited, 0), most)


def _half_up(number: Fraction) -> int:
    return (2 * number.numerator + number.denominator) // (2 * number.denominator)
