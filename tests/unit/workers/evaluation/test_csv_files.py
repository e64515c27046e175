"""CSV files of a run."""

from pathlib import Path

import pytest

from workers.evaluation.csv_files import write_rows


def test_rows_have_the_columns_of_all(tmp_path: Path) -> None:
    """Those that are named first come first, rows or not."""
    file = write_rows(tmp_path / "x.csv", [{"a": "1"}, {"b": "2, 3", "a": "4"}], ["c"])
    assert file.read_text(encoding="utf-8") == 'c,a,b\n,1,\n,4,"2, 3"\n'
    assert write_rows(file, (), ["case"]).read_text(encoding="utf-8") == "case\n"


def test_a_file_is_whole_or_as_it_was(tmp_path: Path) -> None:
    """A run that ends while it writes leaves the old one."""
    file = write_rows(tmp_path / "x.csv", [{"a": "1"}])
    with pytest.raises(UnicodeEncodeError):
        write_rows(file, [{"a": "2"}, {"a": "\udcff"}])
    assert file.read_text(encoding="utf-8") == "a\n1\n"
