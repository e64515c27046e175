"""The ratio: of transformed scores, or of mean counts, and nothing where there is no T cell."""

from pathlib import Path

import numpy as np
import pytest

from models.evaluation.expression import Abundance
from models.evaluation.ntr import CUT_COUNT, CUT_EXPRESSION, of_expression, read_counts
from node.errors import UsageError

HEAD = "case,field,neutrophils,t_cells\n"


def scored(population: str, *scores: float) -> Abundance:
    """Scores of samples S0, S1, …"""
    return Abundance(population, tuple(f"S{index}" for index in range(len(scores))), np.array(scores), 3, 3)


def counted(folder: Path, text: str) -> Path:
    """A file of counts."""
    file = folder / "c.csv"
    file.write_text(HEAD + text, encoding="utf-8")
    return file


def test_scores_are_transformed_before_they_are_divided() -> None:
    """log2(7 + 1) over log2(1 + 1) is 3; without T cells there is no ratio, and that is said."""
    found = of_expression(scored("Neutrophils", 7.0, 1.0, 3.0), scored("T cells", 1.0, 3.0, 0.0))
    assert found.values[:2].tolist() == [3.0, 0.5]
    assert np.isnan(found.values[2])
    assert found.notes == ("", "", "no T cell: the ratio has no value")
    assert found.is_high(CUT_EXPRESSION).tolist() == [True, False, False]


def test_counts_are_means_over_fields(tmp_path: Path) -> None:
    """Of means, not a mean of ratios; fewer than five fields are pointed out."""
    fields = "".join(f"a,{index},{index},10\n" for index in range(5))
    found = read_counts(counted(tmp_path, fields + "b,1,6,10\nb,2,0,0\nc,1,4,0\n"))
    assert found.cases == ("a", "b", "c")
    assert found.values[:2].tolist() == pytest.approx([0.2, 0.6])
    assert found.notes[0] == ""
    assert found.notes[1] == "2 fields counted, not 5"
    assert "no T cell" in found.notes[2]
    assert found.is_high(CUT_COUNT).tolist() == [False, True, False]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a,1,x,3\n", "line 2: 'x' is no count"),
        ("a,1,-1,3\n", "line 2: '-1' is no count"),
        ("a,1,nan,3\n", "line 2: 'nan' is no count"),
        ("a,1,1,3\na,1,2,3\n", "line 3: names no case or field, or one twice"),
        (",1,1,3\n", "line 2: names no case"),
        ("", "holds no count"),
    ],
)
def test_what_is_no_count_is_named(tmp_path: Path, text: str, words: str) -> None:
    """With its line."""
    with pytest.raises(UsageError, match=words):
        read_counts(counted(tmp_path, text))


def test_the_populations_must_be_of_the_same_samples() -> None:
    """Or the ratio is of nobody."""
    with pytest.raises(UsageError, match="same samples"):
        of_expression(scored("Neutrophils", 1.0), scored("T cells", 1.0, 2.0))
