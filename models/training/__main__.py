"""``celadon train``: a model from a cohort, or from phantoms, to a bundle. Exit codes: 0 done, 1 it failed, 2 usage."""

import argparse
import json
import os
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from models import device
from models.training.tasks import TASKS
from node.ending import ended
from node.errors import UsageError

VARIANTS: Final = (
    "cuboid", "roi", "roiex-3mm", "roiex-5mm", "multimodal-cuboid", "multimodal-roiex", "multimodal-roi",
)  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse, train, say; the exit code."""
    asked = _parser().parse_args(arguments)
    return ended(lambda: _say(asked, _train(asked)))


def _say(asked: argparse.Namespace, summary: dict[str, Any]) -> None:
    if asked.json:
        print(json.dumps(summary, indent=2, ensure_ascii=False))  # noqa: T201  the promised document
    else:
        _show(summary)


def _train(asked: argparse.Namespace) -> dict[str, Any]:
    """Load the heavy libraries, with their threads set first, and train."""
    threads = device.limit_threads(1)
    threads = threads if asked.threads is None else asked.threads
    os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), str(threads)))
    # cuBLAS is deterministic with a workspace of its own; it reads this once.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    warnings.simplefilter("ignore")
    try:
        import torch  # noqa: PLC0415  after its threads are set

        from models.training.journal import Journal  # noqa: PLC0415
        from models.training.run import train  # noqa: PLC0415
    except ImportError as error:
        raise UsageError(f"training needs the package {error.name}: pip install 'celadon[models]'") from error
    torch.set_num_threads(threads)
    wish = _wish(asked)
    with Journal(quiet=asked.quiet) as journal:
        return train(wish, journal)


def _wish(asked: argparse.Namespace) -> Any:
    """What was asked for."""
    from models.training.run import Wish  # noqa: PLC0415  torch loads with it
    from models.training.search import read_space  # noqa: PLC0415

    if (asked.cohort is None) == (asked.phantoms is None):
        raise UsageError("give either --cohort or --phantoms")
    if asked.search_space is not None and not asked.search:
        raise UsageError("--search-space needs --search")
    if asked.single and asked.search:
        raise UsageError("a search compares by cross-validation; leave out --single")
    options = {name: getattr(asked, name) for name in asked.own if getattr(asked, name) is not None}
    if options.get("embed") and not options.get("network", "small").startswith("small"):
        raise UsageError("--embed puts a small network into a ResNet-152; it needs --network small or small-two-stream")
    return Wish(
        task=asked.task,
        out=asked.out.absolute(),
        seed=asked.seed,
        cohort=asked.cohort,
        phantoms=asked.phantoms or 0,
        settings=tuple(asked.set),
        options=options,
        folds=asked.folds,
        is_single=asked.single,
        search=asked.search or "",
        space=read_space(asked.search_space) if asked.search_space else None,
        device=device.choose(asked.device),
        workers=asked.workers,
        checkpoint_every_s=asked.checkpoint_every,
        cache=asked.cache.absolute() if asked.cache else None,
        tries_bundle=not asked.no_trial,
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="celadon train", description=__doc__)
    tasks = parser.add_subparsers(dest="task", required=True)
    for name in TASKS:
        one = tasks.add_parser(name, help=f"train {name}")
        _common(one)
        one.set_defaults(own=_OWN[name](one))
    return parser


def _common(parser: argparse.ArgumentParser) -> None:
    """The options that every task has."""
    parser.add_argument("--cohort", type=Path, help="a manifest (CSV), or a folder with cohort.csv")
    parser.add_argument("--phantoms", type=_natural, help="train on this many phantoms instead")
    parser.add_argument(
        "--out", type=Path, required=True, help="folder of this training; the same command goes on in it"
    )
    parser.add_argument("--seed", type=_natural, default=0)
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="a hyper-parameter")
    parser.add_argument("--folds", type=_natural, default=3)
    parser.add_argument(
        "--single", action="store_true", help="one run, stopped and judged by the first fold, and no cross-validation"
    )
    parser.add_argument("--search", metavar="grid|random:N", help="search hyper-parameters by cross-validation")
    parser.add_argument(
        "--search-space", type=Path, help="JSON: lists of values by name, instead of the built-in space"
    )
    parser.add_argument("--device", choices=(device.AUTO, device.CPU, device.CUDA), default=device.AUTO)
    parser.add_argument("--threads", type=_positive, help="of the computation (default: all cores)")
    parser.add_argument("--workers", type=_positive, default=1, help="processes that prepare the cases")
    parser.add_argument("--cache", type=Path, help="folder for prepared cases that several trainings may share")
    parser.add_argument("--checkpoint-every", type=float, default=60.0, metavar="SECONDS")
    parser.add_argument("--start", type=Path, help="weights (safetensors) of the same network to begin from")
    parser.add_argument("--no-trial", action="store_true", help="do not try the bundle in a process of its own")
    parser.add_argument("--json", action="store_true", help="one JSON document on standard output and nothing else")
    parser.add_argument("--quiet", action="store_true", help="no progress")


def _porcelain(parser: argparse.ArgumentParser) -> tuple[str, ...]:
    parser.add_argument("--variant", choices=VARIANTS, default="multimodal-roi")
    parser.add_argument("--window", choices=("paper", "abdomen"), default="paper")
    parser.add_argument(
        "--max-imputed", type=_natural, help="how many variables may be missing (default: as in the cohort)"
    )
    parser.add_argument("--rough", type=_natural, help="rough masks a case that training sees beside its own (0)")
    parser.add_argument(
        "--image-from",
        type=Path,
        metavar="OUT",
        help="take the image branch, as it is, of a training without clinical variables: same cohort, seed, folds",
    )
    return "variant", "window", "max_imputed", "rough", "image_from", "start"


def _gtrnet(parser: argparse.ArgumentParser) -> tuple[str, ...]:
    parser.add_argument("--network", choices=("small", "small-two-stream", "plain", "two-stream"), default="small")
    parser.add_argument("--profile", choices=("published-checkpoint", "paper"), default="published-checkpoint")
    parser.add_argument("--embed", action="store_true", help="ship the small network embedded in a ResNet-152 (233 MB)")
    parser.add_argument(
        "--rough",
        type=_natural,
        help="slices a case that training sees beside the key slice, as rough masks choose (0)",
    )
    return "network", "profile", "rough", "embed", "start"


def _segmenter(parser: argparse.ArgumentParser) -> tuple[str, ...]:
    """One run: its cross-validation would cost what three trainings do, and phantoms to judge it on cost nothing."""
    parser.add_argument(
        "--held-out", type=_natural, help="phantoms beside the cohort's, for limits and figures (default: 180)"
    )
    parser.add_argument(
        "--only", choices=("fine",), help="train this network alone, and leave the other as --start has it"
    )
    parser.add_argument("--hard", type=_natural, help="of the phantoms, the first so many are of what is missed most")
    parser.add_argument("--empty", type=_natural, help="of the phantoms, the last so many have an empty stomach")
    parser.add_argument("--small", type=_natural, help="of the phantoms, so many more at the end have a small lesion")
    parser.set_defaults(folds=_SEGMENTER_FOLDS, single=True)
    return "held_out", "start", "only", "hard", "empty", "small"


_SEGMENTER_FOLDS: Final = 8
_OWN: Final = {"porcelain": _porcelain, "gtrnet": _gtrnet, "segmenter": _segmenter}


def _natural(text: str) -> int:
    """A whole number of at least 0."""
    number = int(text)
    if number < 0:
        raise argparse.ArgumentTypeError(f"{text} is below zero")
    return number


def _positive(text: str) -> int:
    """A whole number of at least 1."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is below one")
    return number


def _show(summary: dict[str, Any]) -> None:
    from rich.console import Console  # noqa: PLC0415  not needed for --json
    from rich.table import Table  # noqa: PLC0415

    judged = f"{summary['judged']} of {summary['cases']} cases" if summary["judged"] < summary["cases"] else "all cases"
    table = Table("figure", "held out", title=f"{summary['task']}: judged on {judged}, {summary['status']}")
    for name, value in summary["held_out"].items():
        table.add_row(name, "-" if value is None else f"{value:.3f}")
    console = Console()
    console.print(table)
    for line in (
        f"every result will say: {summary['disclaimer']}",
        f"bundle {summary['bundle']}",
        f"sha256 {summary['digest']}",
    ):
        console.print(line, soft_wrap=True, highlight=False, markup=False)


if __name__ == "__main__":
    device.keep_freed_memory()
    sys.exit(main())
