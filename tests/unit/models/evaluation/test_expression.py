"""Expression: scores are means of the markers that are there, and what is no matrix is named."""

from pathlib import Path

import pytest

from models.evaluation.expression import NEUTROPHILS, T_CELLS, abundance, read_expression, read_signatures
from node.errors import UsageError

SIGNATURES = (
    "HUGO symbols\tCell population\tENTREZID\n"
    "G1\tNeutrophils\t1\nG2\tNeutrophils\t2\nG9\tNeutrophils\t9\nG3\tT cells\t3\n"
)


def written(folder: Path, text: str) -> Path:
    """A file with this text."""
    file = folder / "m.txt"
    file.write_text(text, encoding="utf-8")
    return file


def test_a_score_is_the_mean_of_the_markers_that_are_there(tmp_path: Path) -> None:
    """And says how many of the signature those are."""
    signatures = read_signatures(written(tmp_path, SIGNATURES))
    matrix = read_expression(written(tmp_path, "gene,S1,S2\nG1,2,10\nG2,4,0\nG3,1,7\nG8,100,100\n"))
    neutrophils = abundance(matrix, signatures, NEUTROPHILS)
    assert neutrophils.scores.tolist() == [3.0, 5.0]
    assert (neutrophils.markers_found, neutrophils.markers) == (2, 3)
    assert abundance(matrix, signatures, T_CELLS).scores.tolist() == [1.0, 7.0]
    assert neutrophils.samples == ("S1", "S2")


def test_of_a_gene_that_stands_twice_the_higher_row_counts(tmp_path: Path) -> None:
    """As is usual where several probes are of one gene; tabs are read as well as commas."""
    matrix = read_expression(written(tmp_path, "gene\tS1\nG1\t2\nG1\t9\nG1\t3\n"))
    assert (matrix.genes, matrix.values.tolist()) == (("G1",), [[9.0]])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is empty"),
        ("gene\n", "must name samples"),
        ("gene,S,S\n", "must name samples"),
        ("gene,S\n", "holds no gene"),
        ("gene,S\nG1,1,2\n", "line 2: has 3 fields"),
        ("gene,S\nG1,x\n", "line 2: 'x' is not a number"),
        ("gene,S\nG1,-1\n", "line 2: '-1' is no expression"),
        ("gene,S\nG1,inf\n", "line 2: 'inf' is no expression"),
    ],
)
def test_what_is_no_matrix_is_named(tmp_path: Path, text: str, words: str) -> None:
    """With its line; a logarithm below 0 is not TPM."""
    with pytest.raises(UsageError, match=words):
        read_expression(written(tmp_path, text))


def test_a_signature_must_fit(tmp_path: Path) -> None:
    """Its columns, its population, and at least one gene of the matrix."""
    with pytest.raises(UsageError, match="HUGO symbols"):
        read_signatures(written(tmp_path, "gene\tCell population\n"))
    with pytest.raises(UsageError, match="line 2"):
        read_signatures(written(tmp_path, "HUGO symbols\tCell population\nG1\t\n"))
    matrix = read_expression(written(tmp_path, "gene,S\nG1,1\n"))
    with pytest.raises(UsageError, match="no population 'T cells'"):
        abundance(matrix, {"B": ("G1",)}, T_CELLS)
    with pytest.raises(UsageError, match="none of the 1 marker"):
        abundance(matrix, {T_CELLS: ("G7",)}, T_CELLS)
