"""The paper: a PDF that opens, the same each time, whatever stands in its cells."""

from models.evaluation.document import Heading, Paragraph, Table, Verbatim
from models.evaluation.paper import pdf
from models.evaluation.report import Report

BLOCKS = (
    Heading(1, "A <b>title"),
    Paragraph("Doubtful & said so", is_warning=True),
    Table("Many rows", ("a", "b"), tuple((str(index), "long words " * 20) for index in range(120))),
    Verbatim("# Card\n" + "x" * 400),
)


def test_it_is_a_pdf_of_several_pages(made: Report) -> None:
    """With its figures in it."""
    assert made.pdf.startswith(b"%PDF-")
    assert made.pdf.rstrip().endswith(b"%%EOF")
    assert made.pdf.count(b"/Subtype /Image") >= 6


def test_a_long_table_goes_over_pages() -> None:
    """And marks in cells are letters."""
    assert pdf("t", BLOCKS).count(b"/Type /Page\n") > 3


def test_the_same_blocks_give_the_same_bytes() -> None:
    """No date, no chance."""
    assert pdf("t", BLOCKS) == pdf("t", BLOCKS)
