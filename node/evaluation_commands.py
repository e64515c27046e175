"""What ``celadon evaluate`` does: reads recorded predictions, has them analysed, writes the report."""

import csv
import hashlib
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from models.bundle_store import Library
from node.errors import UsageError
from node.settings import Settings

PAGE: Final = "report.html"
PAPER: Final = "report.pdf"
DATA: Final = "report.json"
MASKS: Final = "masks"
REGIONS: Final = (MASKS, "segmenter")
_TITLE: Final = "Evaluation"
_CARD: Final = Path("docs") / "README.md"
_EXTRA: Final = "this needs libraries that a node does without: pip install 'celadon[models,evaluation]'"


@dataclass(frozen=True, slots=True)
class Asked:
    """What a person typed."""

    predictions: Path | None
    labels: Path | None
    out: Path
    positive_from: str
    cut_from: str
    bundle: str
    title: str
    draws: int
    seed: int
    cohort: Path | None = None
    """Images that are to be analysed first."""
    from_node: bool = False
    regions: str = MASKS
    flow: tuple[tuple[str, int], ...] = ()
    """(step, number): how the cohort came about, before there were cases."""


def check(asked: Asked) -> None:
    """Raise UsageError unless exactly one source of predictions is named, with what it needs."""
    if (asked.predictions is not None) + (asked.cohort is not None) + asked.from_node != 1:
        raise UsageError("give one of --predictions, --cohort and --from-node")
    if asked.cohort is not None and not asked.bundle:
        raise UsageError("--cohort needs --bundle: celadon models list names them")
    if asked.regions not in REGIONS:
        raise UsageError(f"--regions {asked.regions}: choose {' or '.join(REGIONS)}")
    if asked.labels is not None and asked.predictions is None:
        raise UsageError("--labels belongs to --predictions; --cohort has them in its file, --from-node in --outcomes")


def check_recorded(asked: Asked, given: Mapping[str, object]) -> None:
    """Raise UsageError when anything is ``given``, by its option, that only what the node has recorded is chosen by."""
    named = [option for option, value in given.items() if value not in (None, "")]
    if named and not asked.from_node:
        belong = "belongs" if len(named) == 1 else "belong"
        raise UsageError(f"{' and '.join(named)} {belong} to --from-node, which is missing")


def arguments(asked: Asked, config: Path | None, *, as_json: bool) -> tuple[str, ...]:
    """The same for ``python -m workers.evaluation``, which analyses images: a node does without torch."""
    named: dict[str, object] = {
        "--cohort": asked.cohort,
        "--bundle": asked.bundle,
        "--out": asked.out,
        "--regions": asked.regions,
        "--positive-from": asked.positive_from,
        "--cut-from": asked.cut_from,
        "--title": asked.title,
        "--draws": asked.draws,
        "--seed": asked.seed,
        "--config": config,
    }
    # One word each, so that a title may begin with a dash.
    words = (f"{name}={value}" for name, value in named.items() if value not in (None, ""))
    return (*words, *(("--json",) if as_json else ()))


def evaluate(settings: Settings, asked: Asked, *, as_json: bool, is_quiet: bool = False) -> int:
    """Write the report of recorded predictions into ``asked.out``; 0. ``is_quiet``: and say nothing of it."""
    with library_needed():
        from models.evaluation.analysis import Choices, analyse  # noqa: PLC0415 — an extra that may be missing
        from models.evaluation.cohort_file import read_cohort  # noqa: PLC0415 — as above
        from models.evaluation.report import report, software  # noqa: PLC0415 — as above
    if asked.predictions is None:
        raise UsageError("--predictions is missing")
    cohort = read_cohort(asked.predictions, asked.labels)
    facts = _bundle_facts(settings, asked.bundle, {variant.digest for variant in cohort.variants})
    choices = Choices(asked.positive_from, asked.cut_from, asked.draws, asked.seed)
    with _progress() as say:
        analysis = analyse(cohort, choices, say)
        say("report")
        made = report(analysis, _provenance(asked, facts, software(analysis)))
    write_files(asked.out, {PAGE: made.html.encode(), PAPER: made.pdf, DATA: made.json().encode()})
    if as_json:
        print(json.dumps(made.data, indent=1, ensure_ascii=False))  # noqa: T201 — the promised document
    elif not is_quiet:
        _print(made.data, asked.out)
    return 0


@dataclass(frozen=True, slots=True)
class _BundleFacts:
    """What a report says of the bundle; empty when none is named."""

    name: str = ""
    digest: str = ""
    card: str = ""
    disclaimer: str = ""


def _bundle_facts(settings: Settings, name: str, digests: set[str]) -> _BundleFacts:
    """The bundle's card and digest; UsageError when the predictions are recorded as another's."""
    if not name:
        return _BundleFacts()
    entry = Library(settings.models_dir).entry(name)
    bundle = entry.open()
    if other := digests - {"", bundle.digest}:
        raise UsageError(f"the predictions are of the bundle {min(other)[:12]}…, {name} is {bundle.digest[:12]}…")
    card = entry.path / _CARD
    text = card.read_text(encoding="utf-8") if card.is_file() else ""
    return _BundleFacts(name, bundle.digest, text, bundle.disclaimer)


def _provenance(asked: Asked, facts: _BundleFacts, software: tuple[tuple[str, str], ...]) -> Any:
    from models.evaluation.document import Provenance  # noqa: PLC0415 — an extra that may be missing

    files = [file for file in (asked.predictions, asked.labels) if file is not None]
    return Provenance(
        title=asked.title or _TITLE,
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
        software=software,
        inputs=tuple((file.name, hashlib.sha256(file.read_bytes()).hexdigest()) for file in files),
        bundle=facts.name,
        digest=facts.digest,
        model_card=facts.card,
        disclaimer=facts.disclaimer,
        flow=asked.flow,
    )


@contextmanager
def library_needed() -> Iterator[None]:
    """Turn a library that is not installed into a UsageError that says how to get it."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise UsageError(f"{_EXTRA} (there is no {error.name})") from error


@contextmanager
def _progress() -> Iterator[Any]:
    """Say what is being computed, on the terminal's stderr and nowhere else."""
    console = Console(stderr=True)
    with console.status("reading") as status:

        def say(what: str) -> None:
            status.update(what)
            if not console.is_terminal:
                console.print(what, highlight=False, markup=False)

        yield say


def write_files(folder: Path, files: dict[str, bytes]) -> None:
    """Write all of the files, each whole or as it was before; UsageError when that is impossible."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            part = folder / f".{name}.part"
            part.write_bytes(content)
            part.replace(folder / name)
    except OSError as error:
        raise UsageError(f"{folder}: cannot be written: {error.strerror}") from error


def write_rows(file: Path, rows: Sequence[Mapping[str, str]]) -> None:
    """Write a CSV file, whole or as it was before: a column for every name in any row; UsageError when impossible."""
    columns = list(dict.fromkeys(column for row in rows for column in row))
    text = io.StringIO(newline="")
    if columns:
        writer = csv.DictWriter(text, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    write_files(file.parent, {file.name: text.getvalue().encode()})


def _print(data: dict[str, Any], folder: Path) -> None:
    table = Table("set", "model", "cases", "accuracy", "macro AUC", "AUC, positive", "kappa", title="Evaluation")
    for part in data["analysis"]["sets"]:
        for variant in part["variants"]:
            found = variant["figures"]
            estimates = (found["accuracy"], found["macro_auc"], variant["positive"]["auc"], found["quadratic_kappa"])
            table.add_row(part["name"], variant["name"], str(found["cases"]), *map(_text, estimates))
    console = Console()
    console.print(table, markup=False)
    for warning in data["warnings"]:
        console.print(warning, markup=False, highlight=False)
    for name in (PAGE, PAPER, DATA):
        console.print(str(folder / name), markup=False, highlight=False, soft_wrap=True)


def _text(estimate: dict[str, Any]) -> str:
    if estimate["value"] is None:
        return "-"
    if estimate["low"] is None:
        return f"{estimate['value']:.3f}"
    return f"{estimate['value']:.3f} ({estimate['low']:.3f} to {estimate['high']:.3f})"
