"""What one case costs: Celadon beside the code that a researcher would write, and what a worker needs for it."""

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from models.bundle import Bundle, shipped
from models.explain.background import background
from models.explain.shap import IMAGE
from models.networks.en_pct import INPUT, MAP_STAGE
from models.predictors.gtrnet import Gtrnet
from models.predictors.porcelain import Porcelain
from models.predictors.variants import VARIANTS
from models.preprocessing.bias_field import BiasField
from models.preprocessing.lesion import Region, prepare
from models.preprocessing.profiles import Paper
from node.domain.prediction import Attribution, Case
from tests.bench.cases import case_for
from tests.bench.straightforward import StraightforwardGtrnet, StraightforwardPorcelain
from tests.drawn import drawn

ROUNDS: Final = 7
THIRD: Final = 1 / 3
PEAK_MIB: Final = 2.5 * 1024
EQUAL: Final = 1e-4
"""Probabilities of both ways may differ by so much."""
_CHANNELS, _ROWS, _COLUMNS, _SLICES = INPUT
_BOX: Final = (_SLICES, _ROWS, _COLUMNS)
PAPER: Final = Paper(50.0, 350.0, 1.0, (-1024.0, 1024.0), BiasField(shrink=4, levels=4, iterations=50, body_hu=-300.0))
"""The paper's own chain for GTRNet, with N4."""


@dataclass(frozen=True, slots=True)
class Timed:
    """Two ways to do the same, run in turn."""

    name: str
    ours: tuple[float, ...]
    other: tuple[float, ...]
    bar: float

    @classmethod
    def paired(cls, name: str, ours: Callable[[], object], other: Callable[[], object], bar: float) -> "Timed":
        """Both warm, then in turn, in this process."""
        ours(), other()
        pairs = [(_seconds(ours), _seconds(other)) for _ in range(ROUNDS)]
        first, second = zip(*pairs, strict=True)
        return cls(name, first, second, bar)

    @property
    def ratio(self) -> float:
        """The median of the ratios of neighbours: what slows the machine for a while slows both."""
        return statistics.median(a / b for a, b in zip(self.ours, self.other, strict=True))


def predictors() -> None:
    """Both predictors, their preprocessing, and a fresh worker."""
    with tempfile.TemporaryDirectory(prefix="celadon-bench-") as name:
        cache = Path(name)
        with torch.no_grad():
            rows = [*_gtrnet(cache), *_porcelain(cache)]
        _print(rows)
        _print_workers(cache / "worker")


def _gtrnet(cache: Path) -> list[Timed]:
    predictor = Gtrnet(Bundle.open(drawn("gtrnet")), "cpu", cache)
    plain = Gtrnet(Bundle.open(drawn("gtrnet")))
    predictor.warm()
    case = case_for(predictor.anatomy)
    theirs = StraightforwardGtrnet(plain._network)

    def other() -> tuple[float, ...]:
        _, (images, *_) = plain._begin(case)
        with torch.enable_grad():
            return tuple(theirs(images)[0])

    _same([score.probability for score in predictor.predict(case).scores], other())
    _, inputs = predictor._begin(case)
    key = case.roi.largest_slice
    planes, mm = case.volume.hu[key - 1 : key + 2], case.volume.geometry.spacing_xyz_mm[:2]

    def network() -> object:
        return predictor._probabilities(predictor._trunk(*inputs))

    return [
        Timed.paired("GTRNet: one case", lambda: predictor.predict(case), other, THIRD),
        Timed.paired("GTRNet: HU to tensors / network", lambda: predictor._begin(case), network, 1.0),
        Timed.paired("GTRNet: the paper's chain, with N4 / network", lambda: PAPER.images(planes, 1, mm), network, 1.0),
    ]


def _porcelain(cache: Path) -> list[Timed]:
    bundle = Bundle.open(shipped("porcelain"))
    predictor, plain = Porcelain(bundle, "cpu", cache), Porcelain(bundle)
    predictor.warm()
    case = case_for(predictor.anatomy)
    usual = background(bundle, plain._network)
    theirs = StraightforwardPorcelain(plain._network, usual.embeddings, usual.columns, MAP_STAGE)

    def other() -> tuple[float, np.ndarray]:
        _, (image,) = plain._begin(case)
        columns = plain._columns(plain._table.encode(case.clinical))
        with torch.enable_grad():
            probability, _, shapley = theirs(image, *columns)
        return probability, shapley

    prediction = predictor.predict(case)
    probability, shapley = other()
    _same([score.probability for score in prediction.scores], [probability])
    _print_shapley(prediction.attribution, shapley, predictor._table.groups)
    _, (image,) = predictor._begin(case)
    columns = predictor._columns(predictor._table.encode(case.clinical))

    def network() -> object:
        return predictor._network.head(predictor._network.image.tail(predictor._trunk(image)), *columns)

    regions = {variant.region: variant.name for variant in VARIANTS.values()}
    return [
        Timed.paired("PORCELAIN: one case", lambda: predictor.predict(case), other, THIRD),
        Timed.paired("PORCELAIN: HU to tensors / network", lambda: predictor._begin(case), network, 1.0),
        *(
            Timed.paired(f"PORCELAIN {name}: lesion image / network", _prepares(predictor, case, region), network, 1.0)
            for region, name in regions.items()
        ),
    ]


def _prepares(predictor: Porcelain, case: Case, region: Region) -> Callable[[], object]:
    return lambda: prepare(case.volume, case.roi.mask, region, predictor._window, _BOX)


def _same(ours: Sequence[float], theirs: Sequence[float]) -> None:
    """A comparison of times means something only when both give the same."""
    difference = max(abs(a - b) for a, b in zip(ours, theirs, strict=True))
    if not difference <= EQUAL:
        raise SystemExit(f"the probabilities differ by {difference:.1e}")


def _print_shapley(attribution: Attribution, theirs: np.ndarray, groups: Sequence[int]) -> None:
    """How far the Shapley values of both ways are apart: both are estimates, over different players."""
    ours = {each.name: each.logits for each in attribution.contributions}
    apart = abs(ours[IMAGE] - theirs[-1])
    largest = max(abs(value) for value in ours.values())
    added = attribution.base_logit + sum(ours.values()) - attribution.logit
    Console().print(
        f"SHAP: the image's value is {ours[IMAGE]:+.3f} here and {theirs[-1]:+.3f} there ({apart:.3f} apart; the "
        f"largest is {largest:.3f}); ours add up to within {abs(added):.0e}. Players: {len(groups) + 1} here, "
        f"{len(theirs)} there."
    )


def _print(rows: Sequence[Timed]) -> None:
    table = Table(
        "what", "ours, ms", "other, ms", "ratio (quartiles)", "bar", "", title="Predictors: medians of one run, in turn"
    )
    for row in rows:
        ratios = sorted(a / b for a, b in zip(row.ours, row.other, strict=True))
        quartiles = f"{ratios[len(ratios) // 4]:.2f} to {ratios[-1 - len(ratios) // 4]:.2f}"
        table.add_row(
            row.name,
            f"{1000 * statistics.median(row.ours):.0f}",
            f"{1000 * statistics.median(row.other):.0f}",
            f"{row.ratio:.2f} ({quartiles})",
            f"{row.bar:.2f}",
            "kept" if row.ratio <= row.bar else "missed",
        )
    Console().print(table)


def _print_workers(cache: Path) -> None:
    """A fresh process with nothing compiled, then with what the first one kept."""
    table = Table("start", "ready after, s", "peak memory, MiB", "bar", "", title="A worker with both predictors")
    for start in ("nothing compiled", "compiled before", "compiled before"):
        command = [sys.executable, "-m", "tests.bench.fresh_worker", str(cache)]
        answer = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1])
        verdict = "kept" if answer["peak_mib"] <= PEAK_MIB else "missed"
        table.add_row(start, f"{answer['ready_s']:.1f}", f"{answer['peak_mib']:.0f}", f"{PEAK_MIB:.0f}", verdict)
    Console().print(table)


def _seconds(call: Callable[[], object]) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started
