"""A printed document: the same bytes each time, whatever names are on it and however long it is."""

import hashlib
import io
import os
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime

from pypdf import PdfReader

from tollkeeper.invoices.pages import print_paper
from tollkeeper.invoices.paper import Paper, Row, Sum, readable

PAPER = Paper(
    title="Invoice",
    number="INV-000001",
    seller=["Toll GmbH", "10119 Berlin"],
    buyer=["Acme"],
    facts=[("Number", "INV-000001")],
    columns=[("Description", 74), ("Period", 36), ("Quantity", 20), ("Unit price", 20), ("Amount", 24)],
    rows=[Row("Fee", "2026-01-01 – 2026-01-31", ("1", "€20.00", "€20.00"))],
    sums=[Sum("Total", "€20.00", is_strong=True)],
    made_at=datetime(2026, 2, 1, tzinfo=UTC),
)
PROGRAM = """
import hashlib
from tests.invoices.test_paper import PAPER, print_paper
print(hashlib.sha256(print_paper(PAPER)).hexdigest())
"""


def pages(paper: Paper) -> list[str]:
    return [page.extract_text() for page in PdfReader(io.BytesIO(print_paper(paper))).pages]


def test_another_process_prints_the_same_bytes() -> None:
    environment = {**os.environ, "PYTHONHASHSEED": "7", "TZ": "Asia/Tokyo"}
    told = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True, env=environment, timeout=60
    )
    assert told.stdout.strip() == hashlib.sha256(print_paper(PAPER)).hexdigest()


def test_the_fonts_travel_with_the_document() -> None:
    fonts = PdfReader(io.BytesIO(print_paper(PAPER))).pages[0]["/Resources"]["/Font"].values()
    for font in fonts:
        descriptor = font.get_object()["/DescendantFonts"][0].get_object()["/FontDescriptor"]
        assert "/FontFile2" in descriptor


def test_two_hundred_lines_go_over_numbered_pages_each_with_the_columns() -> None:
    rows = [Row(f"Line no {n}.", "", ("1", "€1.00", "€1.00")) for n in range(1, 201)]
    told = pages(replace(PAPER, rows=rows))
    assert len(told) > 2
    for number, text in enumerate(told, start=1):
        assert f"Page {number} of {len(told)}" in text
        assert "Unit price" in text
    assert [n for text in told for n in range(1, 201) if f"Line no {n}.\n" in text or f"Line no {n}. " in text] == list(
        range(1, 201)
    )
    assert told[-1].count("Total") == 1


def test_a_row_that_is_longer_than_a_page_is_printed_to_its_end() -> None:
    told = pages(replace(PAPER, rows=[Row("word " * 2000 + "end", "", ("1", "–", "€1.00"))]))
    assert "".join(told).count("word") == 2000
    assert "end" in told[-1]


def test_a_name_without_a_space_and_a_long_number_stay_within_their_columns() -> None:
    (text,) = pages(replace(PAPER, buyer=["x" * 120], rows=[Row("z" * 120, "", ("1" * 38, "KWD 0.001", "KWD 0.001"))]))
    assert text.count("x") == 120
    assert text.count("z") == 120
    assert "1" * 38 in text


def test_letters_of_many_scripts_are_read_back() -> None:
    (text,) = pages(replace(PAPER, buyer=["Łódź Ελλάδα Москва", "شركة الكويت"]))
    assert "Łódź Ελλάδα Москва" in text
    assert "شركة الكويت" in text


def test_letters_that_the_fonts_lack_are_boxes() -> None:
    (text,) = pages(replace(PAPER, seller=["東京 K.K. 🎉"], buyer=["Ogawa 小川"]))
    assert "□□ K.K. □" in text
    assert "Ogawa □□" in text


def test_characters_that_steer_a_text_are_not_printed() -> None:
    assert readable("Ac\u202eme\n\tLtd\x00\u200b") == "Ac me Ltd"
    assert readable("می\u200cخواهم") == "می\u200cخواهم"
