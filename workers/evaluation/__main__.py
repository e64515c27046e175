"""``celadon evaluate --cohort``: a cohort's images through the node's steps, and the report. Exit codes: 0 done, 1 it
failed, 2 usage, 130 interrupted: the same command goes on.
"""  # noqa: D205 — one sentence, one list

import argparse
import fcntl
import logging
import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from models import device
from models.bundle_store import Library, shipped_digests
from node import log
from node.ending import ended
from node.errors import CeladonError, UsageError
from node.evaluation_commands import library_needed
from node.settings import Settings, read_settings

if TYPE_CHECKING:
    from models.bundle import Bundle
    from workers.evaluation.results import CaseResult

CASES: Final = "cases"
LABELS: Final = "labels.csv"
_LOCK: Final = ".running"
_MOST_SHOWN: Final = 20


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse, run, say; the exit code."""
    asked = _parser().parse_args(arguments)
    log.configure("evaluation", level=logging.WARNING)
    return ended(lambda: _evaluate(asked))


def _evaluate(asked: argparse.Namespace) -> None:
    """Load the heavy libraries, with their threads set first; run the cases; have the report written."""
    os.environ.setdefault("OMP_NUM_THREADS", str(device.limit_threads(1)))
    warnings.simplefilter("ignore")
    settings = read_settings(asked.config)
    # What the last step needs is missed now rather than after the last case.
    with library_needed():
        import torch  # noqa: F401, PLC0415

        from models.evaluation import report  # noqa: F401, PLC0415

    bundle = Library(settings.models_dir).entry(asked.bundle).open()
    from models.evaluation.answers import question_of  # noqa: PLC0415 — after the bundle is known to be there
    from workers.evaluation.manifest import read_manifest, write_labels  # noqa: PLC0415 — as above
    from workers.evaluation.run import FAILURES, PREDICTIONS, write_failures, write_predictions  # noqa: PLC0415

    manifest, question = read_manifest(asked.cohort), question_of(bundle.predictor)
    folder: Path = asked.out
    folder.mkdir(parents=True, exist_ok=True)
    with _alone(folder):
        write_labels(manifest, question, folder / LABELS)
        results = _run(asked, settings, bundle, manifest.cases)
        write_predictions(results, question, folder / PREDICTIONS)
        failed = write_failures(results, folder / FAILURES)
        _show_failures(failed, len(results), folder / FAILURES)
        _report(asked, settings, folder, results)


def _run(
    asked: argparse.Namespace, settings: Settings, bundle: "Bundle", cases: Sequence[Any]
) -> "tuple[CaseResult, ...]":
    from workers.bootstrap import open_bench  # noqa: PLC0415 — torch loads with it
    from workers.evaluation.examine import Bench  # noqa: PLC0415
    from workers.evaluation.results import ResultFolder  # noqa: PLC0415
    from workers.evaluation.run import Run, run  # noqa: PLC0415

    predictor, segmenters, decoder = open_bench(settings, bundle)
    bench = Bench(predictor, segmenters, decoder, ignores_masks=asked.regions == "segmenter")
    how = Run(bench, _facts(settings, bundle, asked.regions), ResultFolder(asked.out / CASES))
    try:
        with _bar(len(cases), quiet=asked.quiet) as said:
            return run(cases, how, said)
    finally:
        decoder.close()


def _facts(settings: Settings, bundle: "Bundle", regions: str) -> dict[str, Any]:
    """What every result rests on besides its case."""
    return {
        "celadon": metadata.version("celadon"),
        "bundle": bundle.digest,
        "regions": regions,
        "segmenter": list(settings.segmenter.get(bundle.anatomy.key, ())),
        "segmenters": {name: one.model_dump(mode="json") for name, one in settings.segmenters.items()},
        "shipped": dict(shipped_digests()),
    }


def _report(asked: argparse.Namespace, settings: Settings, folder: Path, results: "Sequence[CaseResult]") -> None:
    """The same report as of recorded predictions: it reads the files that were just written."""
    from node.evaluation_commands import Asked, evaluate  # noqa: PLC0415
    from workers.evaluation.run import FAILURES, PREDICTIONS  # noqa: PLC0415

    if not any(one.called for one in results):
        raise CeladonError(f"no case has an answer: {folder / FAILURES} says why of each")
    asked_for = Asked(
        predictions=folder / PREDICTIONS,
        labels=folder / LABELS,
        out=folder,
        positive_from=asked.positive_from,
        cut_from=asked.cut_from,
        bundle=asked.bundle,
        title=asked.title,
        draws=asked.draws,
        seed=asked.seed,
    )
    evaluate(settings, asked_for, as_json=asked.json)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """One run at a time in a folder; UsageError when another is at work."""
    with (folder / _LOCK).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise UsageError(f"{folder}: another run is at work in it") from error
        yield


@contextmanager
def _bar(total: int, *, quiet: bool) -> "Iterator[Any]":
    """A bar on stderr, and where that is no terminal, a line a case that was analysed."""
    from rich.console import Console  # noqa: PLC0415
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn  # noqa: PLC0415

    console = Console(stderr=True, quiet=quiet)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=quiet or not console.is_terminal) as progress:
        task = progress.add_task("cases", total=total)

        def said(result: "CaseResult", was_known: bool) -> None:
            progress.advance(task)
            # What failed is told at the end, all of it together.
            if not console.is_terminal and not was_known and not result.reason:
                console.print(
                    f"{result.case}: {result.called} in {result.seconds:.1f} s", markup=False, highlight=False
                )

        yield said


def _show_failures(failed: "Sequence[CaseResult]", total: int, file: Path) -> None:
    for one in failed[:_MOST_SHOWN]:
        print(f"{one.case}: {one.reason} {one.detail}".rstrip(), file=sys.stderr)  # noqa: T201 — what a person reads
    if failed:
        print(f"{len(failed)} of {total} cases have no answer: {file}", file=sys.stderr)  # noqa: T201


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="celadon evaluate", description=__doc__)
    parser.add_argument(
        "--cohort", type=Path, required=True, help="CSV with case, image, mask, label, …, or its folder"
    )
    parser.add_argument("--bundle", required=True, help="the bundle that predicts, as celadon models list names it")
    parser.add_argument("--out", type=Path, default=Path("celadon-evaluation"), help="the same command goes on in it")
    parser.add_argument(
        "--regions",
        choices=("masks", "segmenter"),
        default="masks",
        help="masks: as the node, a segmenter where there is no mask; segmenter: masks are compared with its regions",
    )
    parser.add_argument("--positive-from", default="")
    parser.add_argument("--cut-from", default="")
    parser.add_argument("--title", default="")
    parser.add_argument("--draws", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--config", type=Path)
    parser.add_argument("--json", action="store_true", help="one JSON document on standard output and nothing else")
    parser.add_argument("--quiet", action="store_true", help="no progress")
    return parser


if __name__ == "__main__":
    sys.exit(main())
