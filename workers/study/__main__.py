"""``celadon study porcelain``: seven models trained, judged and told. Exit codes: 0 done, 1 it failed, 2 usage, 130
interrupted: the same command goes on.
"""  # noqa: D205 — one sentence, one list

import argparse
import hashlib
import json
import logging
import os
import sys
import warnings
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any, Final

from models import device
from models.evaluation.variant_study import NAMES
from node import log
from node.ending import ended
from node.errors import UsageError
from node.evaluation_commands import Asked, evaluate, write_files
from node.settings import Settings, read_settings

REPORT: Final = "report"
_PACKAGES: Final = (
    "torch",
    "monai",
    "numpy",
    "pytorch-tabnet",
    "scikit-learn",
    "lifelines",
    "statsmodels",
    "matplotlib",
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse, run, say; the exit code."""
    asked = _parser().parse_args(arguments)
    log.configure("study", level=logging.WARNING)
    return ended(lambda: _say_all(asked, _study(asked)))


def _say_all(asked: argparse.Namespace, data: dict[str, Any]) -> None:
    if asked.json:
        print(json.dumps(data, indent=1, ensure_ascii=False))  # noqa: T201 — the promised document
    else:
        _show(data, asked.out)


def _study(asked: argparse.Namespace) -> dict[str, Any]:
    """Load the heavy libraries, with their threads set first; train, judge, write."""
    threads = asked.threads or device.limit_threads(1)
    os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), str(threads)))
    warnings.simplefilter("ignore")
    settings = read_settings(asked.config)
    import torch  # noqa: PLC0415 — after its threads are set

    from models.training.journal import Journal  # noqa: PLC0415 — as above
    from node.stores import open_sandbox  # noqa: PLC0415
    from workers.evaluation.manifest import read_manifest  # noqa: PLC0415
    from workers.study.porcelain import Study, run_study, write_predictions  # noqa: PLC0415

    torch.set_num_threads(threads)
    if unknown := [name for name in asked.variants if name not in NAMES]:
        raise UsageError(f"--variants: there is no {unknown[0]!r}; there are {', '.join(NAMES)}")
    study = Study(
        manifest=read_manifest(asked.cohort),
        out=asked.out.absolute(),
        variants=tuple(name for name in NAMES if name in asked.variants),
        external=asked.external,
        folds=asked.folds,
        seed=asked.seed,
        settings=tuple(asked.set),
        options={"window": asked.window},
        is_staged=asked.staged,
        device=device.choose(asked.device),
        workers=asked.workers,
    )
    decoder = open_sandbox(settings, processes=threads)
    try:
        with Journal(quiet=asked.quiet) as journal:
            runs = run_study(study, decoder, journal, _say(asked))
    finally:
        decoder.close()
    predictions, labels = write_predictions(study, runs)
    return _told(asked, settings, study, runs, predictions, labels)


def _told(
    asked: argparse.Namespace, settings: Settings, study: Any, runs: Sequence[Any], predictions: Path, labels: Path
) -> dict[str, Any]:
    """Write what the study found: the full report of all models, and the study's own page."""
    from models.evaluation import figures, variant_study  # noqa: PLC0415 — with the libraries that draw
    from models.evaluation.analysis import Choices, analyse  # noqa: PLC0415
    from models.evaluation.cohort_file import read_cohort  # noqa: PLC0415
    from models.evaluation.document import Picture  # noqa: PLC0415
    from models.evaluation.page import html  # noqa: PLC0415
    from models.evaluation.paper import pdf  # noqa: PLC0415
    from workers.study.porcelain import contributions  # noqa: PLC0415

    analysis = analyse(read_cohort(predictions, labels), Choices(draws=asked.draws, seed=asked.seed))
    examples = [example for one in runs for example in one.examples]
    failures = [(one.name, result.case, result.reason) for one in runs for result in one.results if result.reason]
    for model, case, reason in failures:
        _say(asked)(f"{model}: {case}: {reason}")
    facts = tuple(_facts(asked, study, runs))
    disclaimers = sorted({one.bundle.disclaimer for one in runs} - {""})
    blocks = tuple(variant_study.compose(analysis, contributions(study, runs), examples, failures, facts, disclaimers))
    title = "Seven models of the neutrophil-to-T-cell ratio"
    data = {
        "table2": variant_study.data(analysis),
        "warnings": disclaimers,
        "provenance": dict(facts),
        "failures": [{"model": model, "case": case, "reason": reason} for model, case, reason in failures],
        "report": str(asked.out / REPORT),
    }
    rows = "\n".join(",".join(_quoted(row.cells())) for row in variant_study.table_2(analysis))
    write_files(
        asked.out,
        {
            "study.html": html(title, blocks).encode(),
            "study.pdf": pdf(title, blocks),
            "study.json": (json.dumps(data, indent=1, ensure_ascii=False) + "\n").encode(),
            "table2.csv": f"{','.join(_quoted(variant_study.COLUMNS))}\n{rows}\n".encode(),
        },
    )
    pictures = [block for block in blocks if isinstance(block, Picture)]
    drawn = {
        f"{number:02d}-{_file_name(one.caption)}.svg": figures.svg(one.figure) for number, one in enumerate(pictures, 1)
    }
    write_files(asked.out / "figures", {name: text.encode() for name, text in drawn.items()})
    full = Asked(predictions, labels, asked.out / REPORT, "", "", "", title, asked.draws, asked.seed)
    evaluate(settings, full, as_json=False, is_quiet=True)
    return data


def _facts(asked: argparse.Namespace, study: Any, runs: Sequence[Any]) -> "list[tuple[str, str]]":
    digest = hashlib.sha256(study.manifest.file.read_bytes()).hexdigest()
    found = [
        ("made", datetime.now(UTC).isoformat(timespec="seconds")),
        ("cohort (SHA-256)", digest),
        ("cases", str(len(study.manifest.cases))),
        ("folds", str(study.folds)),
        ("seed", str(study.seed)),
        ("hyper-parameters beside the paper's", " ".join(study.settings) or "none"),
        ("window", str(study.options["window"])),
        ("image branches of multimodal models", "of the unimodal ones" if study.is_staged else "trained with them"),
        ("bootstrap draws", str(asked.draws)),
        ("device", study.device),
        ("celadon", metadata.version("celadon")),
    ]
    found += [(f"software: {name}", metadata.version(name)) for name in _PACKAGES]
    return [*found, *((f"bundle {one.name}", one.bundle.digest) for one in runs)]


def _file_name(caption: str) -> str:
    words = "".join(letter if letter.isalnum() else " " for letter in caption.lower()).split()
    return "-".join(words)[:70]


def _quoted(cells: Sequence[str]) -> list[str]:
    return ['"' + cell.replace('"', '""') + '"' for cell in cells]


def _say(asked: argparse.Namespace) -> Any:
    def say(what: str) -> None:
        if not asked.quiet:
            print(what, file=sys.stderr)  # noqa: T201 — progress

    return say


def _show(data: dict[str, Any], out: Path) -> None:
    from rich.console import Console  # noqa: PLC0415 — not needed for --json
    from rich.table import Table  # noqa: PLC0415

    table = Table("model", "set", "cases", "AUC", "accuracy", title="Table 2")
    for row in data["table2"]:
        shown = ("-" if row[name]["value"] is None else f"{row[name]['value']:.2f}" for name in ("auc", "accuracy"))
        table.add_row(NAMES[row["model"]], row["set"], str(row["cases"]), *shown)
    console = Console()
    console.print(table)
    for text in data["warnings"]:
        console.print(text, markup=False, highlight=False)
    console.print(str(out / "study.html"), markup=False, highlight=False, soft_wrap=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="celadon study porcelain", description=__doc__)
    parser.add_argument("study", choices=("porcelain",))
    parser.add_argument(
        "--cohort", type=Path, required=True, help="CSV with case, image, mask, label, set, …, or its folder"
    )
    parser.add_argument("--out", type=Path, default=Path("celadon-study"), help="the same command goes on in it")
    parser.add_argument("--external", default="external", help="sets whose names begin so are never trained on")
    parser.add_argument("--variants", type=_names, default=list(NAMES), help="some of the seven, with commas")
    parser.add_argument("--folds", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="a hyper-parameter, as in train"
    )
    parser.add_argument("--window", choices=("paper", "abdomen"), default="paper")
    parser.add_argument(
        "--staged", action="store_true", help="multimodal models take the image branch of the unimodal ones as it is"
    )
    parser.add_argument("--device", choices=(device.AUTO, device.CPU, device.CUDA), default=device.AUTO)
    parser.add_argument("--threads", type=int, help="of the computation (default: all cores)")
    parser.add_argument("--workers", type=int, default=1, help="processes that prepare the cases")
    parser.add_argument("--draws", type=int, default=2000)
    parser.add_argument("--config", type=Path)
    parser.add_argument("--json", action="store_true", help="one JSON document on standard output and nothing else")
    parser.add_argument("--quiet", action="store_true", help="no progress")
    return parser


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


if __name__ == "__main__":
    sys.exit(main())
