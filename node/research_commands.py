"""The commands ``celadon biomarker``, ``celadon readers`` and ``celadon sample-size``. Heavy imports happen inside."""

from pathlib import Path
from typing import Annotated

import typer

biomarker = typer.Typer(help="PORCELAIN's marker: scores, ratio, cut-point and survival.", no_args_is_help=True)
readers = typer.Typer(help="A reader study: its plan, and what it found.", no_args_is_help=True)
sample_size = typer.Typer(help="How many cases a study needs.", no_args_is_help=True)

published = typer.Typer(help="What the papers' authors published, measured here.", no_args_is_help=True)

Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout and nothing else.")]
Prevalence = Annotated[float, typer.Option(help="Share of cases that are positive.")]
Width = Annotated[float, typer.Option(help="Of the 95 % interval.")]
Power = Annotated[float, typer.Option(help="Chance to see the difference, at 5 %.")]
Draws = Annotated[int, typer.Option(min=100, max=100_000, help="Bootstrap draws.")]
Seed = Annotated[int, typer.Option(min=0, help="The same one gives the same figures.")]


@biomarker.command()
def expression(
    matrix: Annotated[Path, typer.Argument(help="Genes in rows, samples in columns, TPM; CSV or tab-separated.")],
    signatures: Annotated[Path, typer.Option(help="MCP-counter's genes.txt: HUGO symbols, Cell population.")],
    out: Annotated[Path, typer.Option(help="The CSV file to write.")] = Path("ntr.csv"),
    above: Annotated[str, typer.Option(help="Population above the line.")] = "Neutrophils",
    below: Annotated[str, typer.Option(help="Population below it.")] = "T cells",
    json_output: Json = False,
) -> None:
    """MCP-counter scores of every population, and the ratio of two of them after log2(x + 1)."""
    from node.research_console import score_expression

    score_expression(matrix, signatures, above, below, out, as_json=json_output)


@biomarker.command()
def counts(
    file: Annotated[Path, typer.Argument(help="CSV with case, field, neutrophils, t_cells: a row a field.")],
    out: Annotated[Path, typer.Option(help="The CSV file to write.")] = Path("ntr.csv"),
    json_output: Json = False,
) -> None:
    """Neutrophils over T cells of each tumour, from cells counted under the microscope."""
    from node.research_console import score_counts

    score_counts(file, out, as_json=json_output)


@biomarker.command()
def survival(  # noqa: PLR0913, PLR0917 — one argument an option
    file: Annotated[Path, typer.Argument(help="CSV with case, the marker, <follow-up>_months, <follow-up>_event.")],
    marker: Annotated[str, typer.Option(help="The marker's column.")] = "ntr",
    follow_up: Annotated[str, typer.Option(help="Which follow-up: os for os_months and os_event.")] = "os",
    covariate: Annotated[
        list[str] | None, typer.Option(help="A column for the adjusted model; again for more.")
    ] = None,
    cut: Annotated[float | None, typer.Option(help="High is above; without it the best cut is looked for.")] = None,
    earliest_days: Annotated[float, typer.Option(help="Shorter follow-up is left out.")] = 30.0,
    out: Annotated[Path, typer.Option(help="Folder of the report.")] = Path("celadon-biomarker"),
    draws: Draws = 500,
    seed: Seed = 0,
    json_output: Json = False,
) -> None:
    """A marker's cut-point (maximally selected rank), Cox models and Kaplan-Meier curves, as HTML, PDF and JSON."""
    from node.research_console import Survival, study_survival

    asked = Survival(file, marker, follow_up, tuple(covariate or ()), cut, earliest_days, out, draws, seed)
    study_survival(asked, as_json=json_output)


@readers.command()
def plan(
    file: Annotated[Path, typer.Argument(help="CSV with case and label.")],
    reader: Annotated[list[str], typer.Option(help="A reader's name; again for each.")],
    out: Annotated[Path, typer.Option(help="A folder for the key and the readers' sheets.")] = Path("reader-study"),
    seed: Seed = 0,
    json_output: Json = False,
) -> None:
    """Draw who reads which case when, with or without help; sheets name cases by codes, the key stays with you."""
    from node.research_console import plan_readers

    plan_readers(file, reader, out, seed, as_json=json_output)


@readers.command()
def evaluate(
    study: Annotated[Path, typer.Argument(help="The folder that plan wrote, with its sheets filled in.")],
    labels: Annotated[Path, typer.Option(help="CSV with case and label.")],
    sheet: Annotated[list[Path] | None, typer.Option(help="A filled-in sheet (default: those in the folder).")] = None,
    classes: Annotated[str, typer.Option(help="In order of severity, with commas (default: by the alphabet).")] = "",
    out: Annotated[Path, typer.Option(help="Folder of the report.")] = Path("celadon-readers"),
    draws: Draws = 2000,
    seed: Seed = 0,
    json_output: Json = False,
) -> None:
    """Accuracy, kappa, sensitivity by class and time, with help and without, as HTML, PDF and JSON."""
    from node.research_console import evaluate_readers

    names = [name.strip() for name in classes.split(",") if name.strip()]
    evaluate_readers(study, sheet or (), labels, names, out, draws, seed, as_json=json_output)


@sample_size.command()
def auc(expected: float, width: Width = 0.1, prevalence: Prevalence = 0.5, json_output: Json = False) -> None:
    """For the interval of an AUC."""
    _size("area", json_output, expected=expected, width=width, prevalence=prevalence)


@sample_size.command("auc-difference")
def auc_difference(
    first: float,
    second: float,
    correlation: Annotated[float, typer.Option(help="Between the two estimates.")] = 0.5,
    prevalence: Prevalence = 0.5,
    power: Power = 0.8,
    json_output: Json = False,
) -> None:
    """For two AUCs on the same cases to be told apart."""
    numbers = {"first": first, "second": second, "prevalence": prevalence, "correlation": correlation, "power": power}
    _size("area_difference", json_output, **numbers)


@sample_size.command()
def sensitivity(expected: float, width: Width = 0.1, prevalence: Prevalence = 0.5, json_output: Json = False) -> None:
    """For the interval of a sensitivity."""
    _size("sensitivity", json_output, expected=expected, width=width, prevalence=prevalence)


@sample_size.command()
def specificity(expected: float, width: Width = 0.1, prevalence: Prevalence = 0.5, json_output: Json = False) -> None:
    """For the interval of a specificity."""
    _size("specificity", json_output, expected=expected, width=width, prevalence=prevalence)


@sample_size.command("survival")
def hazard(
    hazard_ratio: float,
    high_share: Annotated[float, typer.Option(help="Share of cases in the high group.")] = 0.5,
    event_share: Annotated[float, typer.Option(help="Share of cases that will have the event.")] = 0.5,
    power: Power = 0.8,
    json_output: Json = False,
) -> None:
    """For a log-rank test to see a hazard ratio."""
    numbers = {"hazard_ratio": hazard_ratio, "high_share": high_share, "event_share": event_share, "power": power}
    _size("survival", json_output, **numbers)


@sample_size.command()
def calibration(prevalence: Prevalence = 0.5, width: Width = 0.2, json_output: Json = False) -> None:
    """For the interval of observed over expected."""
    _size("calibration", json_output, prevalence=prevalence, width=width)


@published.command()
def gtrnet(
    folder: Annotated[Path, typer.Argument(help="The authors' CSV files: predictions, train.csv, clinic_sel.csv.")],
    out: Annotated[Path, typer.Option(help="Folder of the report.")] = Path("celadon-published"),
    draws: Draws = 2000,
    seed: Seed = 0,
    config: Annotated[Path | None, typer.Option("--config", help="Settings file.")] = None,
    json_output: Json = False,
) -> None:
    """Measure GTRNet's published predictions as any other, and refit its nomogram on its published table."""
    from node.research_console import evaluate_published
    from node.settings import read_settings

    evaluate_published(read_settings(config), folder, out, draws, seed, as_json=json_output)


def _size(what: str, as_json: bool, **numbers: float) -> None:
    from node.research_console import plan_size

    plan_size(what, numbers, as_json=as_json)
