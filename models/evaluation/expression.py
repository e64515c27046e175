"""MCP-counter's abundance of cell populations from a gene-expression matrix (Becht et al., Genome Biol 2016).

The score of a population is the mean expression of its marker genes; that is what the published R package 1.2.0
computes, whatever regression PORCELAIN's text speaks of (doi 10.1038/s41746-025-02303-9, methods). The markers are not
ours to ship: they are read from the authors' ``Signatures/genes.txt`` (github.com/ebecht/MCPcounter), or another file
with the columns ``HUGO symbols`` and ``Cell population``.
"""

import csv
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from models.evaluation.estimate import Floats
from node.errors import UsageError

GENE: Final = "HUGO symbols"
POPULATION: Final = "Cell population"
NEUTROPHILS: Final = "Neutrophils"
T_CELLS: Final = "T cells"


@dataclass(frozen=True, slots=True, eq=False)
class Expression:
    """How strongly genes are expressed, in TPM and not on a logarithmic scale."""

    genes: tuple[str, ...]
    samples: tuple[str, ...]
    values: Floats
    """(genes, samples)."""


@dataclass(frozen=True, slots=True, eq=False)
class Abundance:
    """The scores of one population."""

    population: str
    samples: tuple[str, ...]
    scores: Floats
    """(samples,)."""
    markers_found: int
    markers: int
    """In the signature; a score of few of them is another score."""


def read_expression(file: Path) -> Expression:
    """A matrix with genes in the first column and a sample in each other; UsageError naming the line that is none.

    Commas, or tabs where the header has any. A gene that stands twice keeps the row with the highest mean.
    """
    rows = _read(file)
    samples = tuple(rows[0][1][1:])
    if not samples or len(set(samples)) != len(samples):
        raise UsageError(f"{file}: the header must name samples, each once")
    found: dict[str, list[float]] = {}
    for line, row in rows[1:]:
        if len(row) != len(samples) + 1:
            raise UsageError(f"{file}: line {line}: has {len(row)} fields, the header {len(samples) + 1}")
        values = [_number(file, line, text) for text in row[1:]]
        if row[0] not in found or sum(values) > sum(found[row[0]]):
            found[row[0]] = values
    if not found:
        raise UsageError(f"{file}: holds no gene")
    return Expression(tuple(found), samples, np.array(list(found.values())))


def read_signatures(file: Path) -> dict[str, tuple[str, ...]]:
    """Population to its marker genes; UsageError where a column is missing."""
    rows = _read(file)
    header = rows[0][1]
    missing = [column for column in (GENE, POPULATION) if column not in header]
    if missing:
        raise UsageError(f"{file}: has no column {missing[0]!r}")
    gene, population = header.index(GENE), header.index(POPULATION)
    found: dict[str, list[str]] = {}
    for line, row in rows[1:]:
        if len(row) <= max(gene, population) or not row[gene] or not row[population]:
            raise UsageError(f"{file}: line {line}: names no gene or no population")
        found.setdefault(row[population], []).append(row[gene])
    return {name: tuple(dict.fromkeys(genes)) for name, genes in found.items()}


def abundance(expression: Expression, signatures: Mapping[str, tuple[str, ...]], population: str) -> Abundance:
    """The scores of ``population``; UsageError when the signature or every one of its genes is missing."""
    if population not in signatures:
        raise UsageError(f"the signatures have no population {population!r}; they have {', '.join(signatures)}")
    rows = {gene: index for index, gene in enumerate(expression.genes)}
    markers = signatures[population]
    here = [rows[gene] for gene in markers if gene in rows]
    if not here:
        raise UsageError(f"the matrix has none of the {len(markers)} marker genes of {population!r}")
    scores = expression.values[here].mean(axis=0)
    return Abundance(population, expression.samples, scores, len(here), len(markers))


def _read(file: Path) -> list[tuple[int, list[str]]]:
    """Line number and fields of every row."""
    try:
        with file.open(encoding="utf-8-sig", newline="") as stream:
            start = stream.readline()
            stream.seek(0)
            reader = csv.reader(stream, delimiter="\t" if "\t" in start else ",", strict=True)
            rows = [(reader.line_num, [field.strip() for field in row]) for row in reader if row]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"{file}: cannot be read: {error}") from error
    if not rows:
        raise UsageError(f"{file}: is empty")
    return rows


def _number(file: Path, line: int, text: str) -> float:
    try:
        value = float(text)
    except ValueError as error:
        raise UsageError(f"{file}: line {line}: {text[:40]!r} is not a number") from error
    if not math.isfinite(value) or value < 0:
        raise UsageError(f"{file}: line {line}: {text[:40]!r} is no expression in TPM")
    return value
