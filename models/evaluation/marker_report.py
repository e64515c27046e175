"""The report of a marker's study, as blocks: where it was cut, Cox models, Kaplan-Meier curves."""

from collections.abc import Iterator

from models.evaluation import figures
from models.evaluation.biomarker import MarkerStudy
from models.evaluation.document import Block, Heading, Paragraph, Picture, Table, arms_table, cox_table, p_text


def compose(title: str, marker: str, follow_up: str, found: MarkerStudy) -> Iterator[Block]:
    """The blocks."""
    yield Heading(1, title)
    rows = [("cases", str(found.cases)), ("left out", str(found.left_out)), ("cut: high is above", f"{found.cut:.4g}")]
    if found.chosen_here is not None:
        chosen = found.chosen_here
        rows += [
            ("interval of the cut", chosen.value.text(4)),
            ("p of the cut, by permutation", p_text(chosen.p)),
            ("p of the cut, Lausen & Schumacher 1992", p_text(chosen.p_lausen_1992)),
            ("low and high", f"{chosen.low} and {chosen.high}"),
        ]
        yield Paragraph(
            "The cut was looked for in these cases: it is too good on them. Apply it to others with --cut.",
            is_warning=True,
        )
    yield Table(f"{marker} and {follow_up}", ("what", "value"), tuple(rows))
    yield Picture(
        f"Kaplan-Meier; log-rank p {p_text(found.log_rank.p)} {found.log_rank.note}".strip(),
        figures.kaplan_meier(found.curves, follow_up),
    )
    yield arms_table("Arms", marker, found.curves)
    models = [("alone", (found.alone,))]
    yield cox_table([*models, *([("adjusted", (found.adjusted,))] if found.adjusted is not None else [])])
