"""Print a document as PDF on A4: the same document is the same bytes, whoever prints it and whenever.

Fonts are those beside this file, embedded as far as they are used. Nothing here knows what an invoice is.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

from fpdf import FPDF
from fpdf.enums import MethodReturnValue, XPos, YPos

from tollkeeper.invoices.paper import Paper, Row, readable

FONTS = Path(__file__).parent / "fonts"
FAMILY = "DejaVu"
MARGIN, WIDTH = 18, 174
FOOT = 20
LINE = 4.4
GAP = 1.4
COLUMN_GAP = 2
BODY_SIZE, SMALL_SIZE, HEAD_SIZE, TITLE_SIZE = 8.5, 7.5, 10, 18
INK, SOFT, RULE = 25, 110, 205
LACKING = "\u25a1"  # a box, for what the fonts do not have
FIRST_SHAPED = "\u0590"  # Hebrew; the scripts before it need neither joining nor ordering


def print_paper(paper: Paper) -> bytes:
    """Return the PDF. A character that the fonts lack is a box; it is no error."""
    pages = _Pages(paper)
    pages.add_page()
    _print_head(pages)
    _print_table(pages)
    _print_sums(pages)
    return bytes(pages.output())


class _Pages(FPDF):
    """Pages with a foot; texts are written by `put` alone."""

    def __init__(self, paper: Paper) -> None:
        super().__init__(format="A4")
        self.paper = paper
        self.on_new_page: Callable[[], None] | None = None
        self.add_font(FAMILY, "", FONTS / "DejaVuSansCondensed.ttf")
        self.add_font(FAMILY, "B", FONTS / "DejaVuSansCondensed-Bold.ttf")
        self.set_margins(MARGIN, MARGIN)
        self.set_auto_page_break(False)
        self.set_title(readable(f"{paper.title} {paper.number}"))
        self.set_author(readable(paper.seller[0]))
        self.set_creator("Tollkeeper")
        self.set_producer("Tollkeeper")
        self.set_creation_date(paper.made_at)
        self.set_lang("en")

    def footer(self) -> None:
        """Write whose document this is and the number of the page; fpdf2 calls it when a page ends."""
        self.set_draw_color(RULE)
        self.line(MARGIN, self.h - FOOT + 4, MARGIN + WIDTH, self.h - FOOT + 4)
        self.set_xy(MARGIN, self.h - FOOT + 6)
        label = f"{self.paper.title} {self.paper.number}"
        self.put(f"{readable(self.paper.seller[0])[:80]} · {label}", WIDTH - 40, size=SMALL_SIZE, ink=SOFT)
        # {nb} is replaced when all pages are there: it must be neither measured nor shaped
        self.put(f"Page {self.page_no()} of {{nb}}", 40, size=SMALL_SIZE, ink=SOFT, align="R")

    def use(self, size: float, ink: int, *, is_bold: bool = False, text: str = "") -> None:
        """Choose how the next text looks; only a script that needs it pays for shaping."""
        self.set_font(FAMILY, "B" if is_bold else "", size)
        self.set_text_color(ink)
        self.set_text_shaping(any(mark >= FIRST_SHAPED for mark in text))

    def known(self, text: str) -> str:
        """Return the text with a box for each character that the font of the moment lacks: it would be a blank."""
        glyphs = self.current_font.cmap  # type: ignore[union-attr] # `use` has chosen one of ours
        return "".join(mark if ord(mark) in glyphs else LACKING for mark in text)

    def put(
        self,
        text: str,
        width: float,
        *,
        size: float = BODY_SIZE,
        ink: int = INK,
        is_bold: bool = False,
        align: str = "L",
    ) -> None:
        """Write a text into one line of this width, smaller if it would not fit."""
        self.use(size, ink, is_bold=is_bold, text=text)
        text = self.known(text)
        if (needed := self.get_string_width(text)) > width:
            self.set_font_size(size * width / needed)
        self.cell(width, LINE, text, align=align, new_x=XPos.RIGHT, new_y=YPos.TOP)

    def wrap(self, text: str, width: float, *, size: float = BODY_SIZE, is_bold: bool = False) -> list[str]:
        """Break a text into lines of this width, also within a word that is longer."""
        self.use(size, INK, is_bold=is_bold)
        lines = self.multi_cell(
            width, LINE, self.known(readable(text)), align="L", dry_run=True, output=MethodReturnValue.LINES, padding=0
        )
        assert isinstance(lines, list)
        return lines or [""]

    def make_room(self, height: float) -> None:
        """Begin another page if this height is not left on this one."""
        if self.get_y() + height > self.h - FOOT:
            self.add_page()
            if self.on_new_page:
                self.on_new_page()

    def rule(self, ink: int = RULE) -> None:
        """Draw a line over the whole width."""
        self.set_draw_color(ink)
        self.set_line_width(0.2)
        self.line(MARGIN, self.get_y(), MARGIN + WIDTH, self.get_y())
        self.set_y(self.get_y() + GAP)


def _print_head(pages: _Pages) -> None:
    paper = pages.paper
    pages.put(paper.title, 110, size=TITLE_SIZE, is_bold=True)
    if paper.mark:
        pages.put(paper.mark, WIDTH - 110, size=TITLE_SIZE, is_bold=True, ink=SOFT, align="R")
    top = pages.get_y() + 12
    bottoms = [
        _print_block(pages, top, MARGIN, ["From", *paper.seller]),
        _print_block(pages, top, MARGIN + 62, ["To", *paper.buyer]),
    ]
    pages.set_y(top)
    for label, value in paper.facts:
        pages.set_x(MARGIN + 124)
        pages.put(label, 18, size=SMALL_SIZE, ink=SOFT)
        pages.put(readable(value), 32, is_bold=label == "Number", align="R")
        pages.set_y(pages.get_y() + LINE + 0.4)
    pages.set_y(max([*bottoms, pages.get_y()]) + 7)


def _print_block(pages: _Pages, top: float, left: float, lines: Sequence[str]) -> float:
    pages.set_y(top)
    for place, text in enumerate(lines):
        size, ink = (SMALL_SIZE, SOFT) if place == 0 else (BODY_SIZE, INK)
        for piece in pages.wrap(text, 56, is_bold=place == 1)[:6]:
            pages.set_x(left)
            pages.put(piece, 56, size=size, ink=ink, is_bold=place == 1)
            pages.set_y(pages.get_y() + LINE)
    return pages.get_y()


def _print_table(pages: _Pages) -> None:
    _print_columns(pages)
    pages.on_new_page = lambda: _print_columns(pages)
    for row in pages.paper.rows:
        _print_row(pages, row)
    pages.on_new_page = None


def _print_columns(pages: _Pages) -> None:
    for place, (heading, width) in enumerate(pages.paper.columns):
        pages.put(heading, width, size=SMALL_SIZE, ink=SOFT, align="L" if place < 2 else "R")
    pages.set_y(pages.get_y() + LINE + 0.6)
    pages.rule(SOFT)


def _print_row(pages: _Pages, row: Row) -> None:
    (_, text_width), (_, period_width), *figures = pages.paper.columns
    size = HEAD_SIZE if row.is_heading else BODY_SIZE
    width = WIDTH if row.is_heading else text_width
    lines = pages.wrap(row.text, width - COLUMN_GAP, size=size, is_bold=row.is_heading)
    notes = [piece for note in row.notes for piece in pages.wrap(note, text_width + period_width - 4, size=SMALL_SIZE)]
    # a heading stays with the row below it; a row of many lines may go over the end of a page
    pages.make_room(min(len(lines), 8) * LINE + min(len(notes), 3) * LINE + GAP + (3 * LINE if row.is_heading else 0))
    if row.is_heading:
        pages.set_y(pages.get_y() + GAP)
    for place, piece in enumerate(lines):
        pages.make_room(LINE)
        pages.put(piece, width, size=size, is_bold=row.is_heading)
        if place == 0 and not row.is_heading:
            pages.put(row.period, period_width, size=SMALL_SIZE, ink=SOFT)
            for figure, (_, width) in zip(row.figures, figures, strict=True):
                pages.set_x(pages.get_x() + COLUMN_GAP)
                pages.put(figure, width - COLUMN_GAP, align="R")
        pages.set_y(pages.get_y() + LINE)
    for piece in notes:
        pages.make_room(LINE)
        pages.put(piece, text_width + period_width, size=SMALL_SIZE, ink=SOFT)
        pages.set_y(pages.get_y() + LINE)
    pages.set_y(pages.get_y() + GAP / 2)
    pages.rule()


def _print_sums(pages: _Pages) -> None:
    pages.set_y(pages.get_y() + GAP)
    for one in pages.paper.sums:
        pages.make_room(LINE + GAP)
        pages.put(readable(one.label), WIDTH - 44, is_bold=one.is_strong, align="R")
        pages.put(one.amount, 44, size=HEAD_SIZE if one.is_strong else BODY_SIZE, is_bold=one.is_strong, align="R")
        pages.set_y(pages.get_y() + LINE + GAP)
    pages.set_y(pages.get_y() + 4)
    for remark in pages.paper.remarks:
        for piece in pages.wrap(remark, WIDTH - 2):
            pages.make_room(LINE)
            pages.put(piece, WIDTH, ink=SOFT)
            pages.set_y(pages.get_y() + LINE)
