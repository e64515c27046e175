"""CSV files: rows with their lines, and what is no table is told."""

from pathlib import Path

import pytest

from models.evaluation.csv_rows import read_rows
from node.errors import UsageError


def test_rows_have_their_lines(tmp_path: Path) -> None:
    """A byte-order mark does no harm; a field may hold a line break."""
    file = tmp_path / "x.csv"
    file.write_text('\ufeffa,b\n1,"2\n3"\n4,\n', encoding="utf-8")
    found = read_rows(file)
    assert found.columns == ("a", "b")
    assert found.rows == ((3, {"a": "1", "b": "2\n3"}), (4, {"a": "4", "b": ""}))


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"a,a\n1,2\n", "two columns a"),
        (b"a,b\n1\n", "line 2: has not the 2 fields"),
        (b"a,b\n1,2,3\n", "line 2: has not the 2 fields"),
        (b"a,b\n\xff,2\n", "cannot be read"),
        (b'a,b\n"1"x,2\n', "cannot be read"),
    ],
)
def test_what_is_no_table_is_told(tmp_path: Path, content: bytes, why: str) -> None:
    """With the file's name."""
    file = tmp_path / "x.csv"
    file.write_bytes(content)
    with pytest.raises(UsageError, match=rf"x\.csv: .*{why}"):
        read_rows(file)
