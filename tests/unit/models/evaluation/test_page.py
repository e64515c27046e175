"""The page: complete in itself, and what others wrote is text on it."""

import re
from html.parser import HTMLParser

from models.evaluation.document import Table
from models.evaluation.page import html
from models.evaluation.report import Report


class Tags(HTMLParser):
    """Counts what opens and closes."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: set[str] = set()

    def handle_starttag(self, tag: str, _: list[tuple[str, str | None]]) -> None:
        """One opens."""
        self.seen.add(tag)
        if tag not in {"meta", "br"}:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, _: list[tuple[str, str | None]]) -> None:
        """One opens and closes."""
        self.seen.add(tag)

    def handle_endtag(self, tag: str) -> None:
        """The last that opened closes."""
        assert self.open.pop() == tag


def test_it_needs_nothing_else(made: Report) -> None:
    """No script, pictures within it, and no address but the names of XML's vocabularies."""
    assert "<script" not in made.html
    assert set(re.findall(r'(?:href|src)="(?!#|data:image/)([^"]+)"', made.html)) == set()
    assert all("w3.org" in address for address in re.findall(r"https?://[^\"'\s<)]+", made.html))


def test_it_is_well_formed(made: Report) -> None:
    """Whatever opens closes, in order."""
    tags = Tags()
    tags.feed(made.html)
    assert tags.open == []
    assert {"table", "svg", "figure", "pre", "h1"} <= tags.seen


def test_what_others_wrote_is_text(made: Report) -> None:
    """A model card cannot run in the page, nor a title close one."""
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in made.html
    assert "<title>Silent run &lt;2026&gt;</title>" in made.html
    assert "<td>&lt;b&gt;</td>" in html("t", [Table("c", ("<i>",), (("<b>",),))])
