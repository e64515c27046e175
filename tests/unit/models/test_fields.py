"""Checked access to metadata."""

from pathlib import Path
from typing import Any

import pytest

from models.fields import Fields
from node.errors import BundleError


def fields(**values: Any) -> Fields:
    """The values as fields of a file."""
    return Fields(Path("metadata.json"), values, "celadon.")


@pytest.mark.parametrize(
    ("method", "value"),
    [
        ("text", 3),
        ("text", " "),
        ("number", "3"),
        ("number", True),
        ("number", float("nan")),
        ("natural", -1),
        ("natural", 1.5),
        ("flag", 1),
        ("interval", [1]),
        ("interval", [2, 1]),
        ("interval", ["a", "b"]),
        ("child", []),
    ],
)
def test_a_value_of_the_wrong_kind_is_named(method: str, value: object) -> None:
    """A wrong value raises BundleError with the file and the whole name of the field."""
    with pytest.raises(BundleError, match=r"metadata\.json: field celadon\.x "):
        getattr(fields(x=value), method)("x")


def test_an_absent_field_is_named() -> None:
    """A field that is not there raises BundleError with its name."""
    with pytest.raises(BundleError, match=r"celadon\.threshold is missing"):
        fields().number("threshold")


def test_nested_fields_keep_the_whole_name() -> None:
    """Fields of objects in lists are named with their place."""
    entries = list(fields(clinical=[{"sd": "1"}]).children("clinical"))
    with pytest.raises(BundleError, match=r"celadon\.clinical\[0\]\.sd"):
        entries[0].number("sd")


def test_right_values_come_through() -> None:
    """Values of the right kind are returned as they are."""
    read = fields(a="b", n=2, i=[1, 2.5], f=False, c={"d": 1})
    assert (read.text("a"), read.number("n"), read.interval("i"), read.flag("f")) == ("b", 2.0, (1.0, 2.5), False)
    assert read.child("c").natural("d") == 1
    assert read.one_of("a", {"b": "found"}) == "found"
