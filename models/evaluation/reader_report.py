"""The report of a reader study, as blocks: each reader with and without help, and all of them."""

from collections.abc import Iterator

from models.evaluation.document import Block, Heading, Paragraph, Table, p_text
from models.evaluation.reader_study import ArmFigures, ReaderFigures, ReaderStudy


def compose(title: str, study: ReaderStudy) -> Iterator[Block]:
    """The blocks."""
    yield Heading(1, title)
    yield Table(
        "Readings",
        ("planned", "answered", "pairs with both arms"),
        ((str(study.planned), str(study.answered), str(study.paired)),),
    )
    if study.answered < study.planned:
        yield Paragraph("The study is not complete: figures are of the pairs that both arms have.", is_warning=True)
    everyone = (*study.readers, study.all_readers)
    yield Table(
        "With the model's help less without it, on the same cases",
        ("reader", "accuracy", "quadratic kappa", "median seconds", "McNemar's p"),
        tuple(
            (one.name, one.accuracy_gain.text(), one.kappa_gain.text(), one.seconds_gain.text(1), p_text(one.mcnemar_p))
            for one in everyone
        ),
    )
    classes = tuple(name for name, _ in study.all_readers.unassisted.sensitivity)
    yield Table(
        "Each arm; sensitivity by class",
        (
            "reader", "arm", "readings", "accuracy", "quadratic kappa", *classes, "over-called", "under-called",
            "median seconds",
        ),
        tuple(row for one in everyone for row in _rows(one)),
    )  # fmt: skip


def _rows(one: ReaderFigures) -> Iterator[tuple[str, ...]]:
    yield (one.name, "without", *_cells(one.unassisted))
    yield (one.name, "with", *_cells(one.assisted))


def _cells(arm: ArmFigures) -> tuple[str, ...]:
    return (
        str(arm.readings),
        arm.accuracy.text(),
        arm.quadratic_kappa.text(),
        *(estimate.text() for _, estimate in arm.sensitivity),
        arm.over_called.text(),
        arm.under_called.text(),
        arm.median_seconds.text(1),
    )
