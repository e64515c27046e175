"""The cases of a cohort as arrays, made once in several processes and kept on disk.

A file of the cache is named for what it was made from: the case, seed and version of a phantom, size and time of the
files, and the parameters of the preprocessing. What changes is made anew; nothing is ever stale.
"""

import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from models import device
from models.phantoms import draw
from models.training.cohort import Cohort, PhantomSource, TrainingCase
from node.errors import CeladonError, UsageError

Arrays = Mapping[str, npt.NDArray[Any]]
_FORMAT: Final = 1
"""Of the arrays: another number makes every file of the cache anew."""
_MOST_SHOWN: Final = 50


class Preparation(Protocol):
    """From a case to arrays; can be sent to another process, and its ``repr`` tells its parameters."""

    def __call__(self, case: TrainingCase) -> Arrays:
        """Raises a CeladonError saying why a case cannot be read, ValueError for a phantom that shows no lesion."""
        ...


@dataclass(frozen=True, slots=True)
class Prepared:
    """The arrays of one case, on disk."""

    file: Path

    def read(self, name: str) -> npt.NDArray[Any]:
        """One whole array."""
        with safe_open(self.file, "np") as opened:
            array: npt.NDArray[Any] = opened.get_tensor(name)
            return array

    def row(self, name: str, index: int) -> npt.NDArray[Any]:
        """One entry of an array along its first axis, without reading the others."""
        with safe_open(self.file, "np") as opened:
            array: npt.NDArray[Any] = opened.get_slice(name)[index]
            return array


def prepare(
    cohort: Cohort, preparation: Preparation, cache: Path, workers: int, done: Callable[[], None]
) -> tuple[Cohort, list[Prepared], int]:
    """The cohort without phantoms that show no lesion, its arrays, and how many phantoms were left out.

    ``done`` is called after each case. Raises UsageError naming every case that cannot be read, with its reason.
    """
    cache.mkdir(parents=True, exist_ok=True)
    task = partial(_prepare_one, preparation, cache)
    answers = _answers(task, cohort.cases, workers, done)
    faults = [f"  {case.id}: {why}" for case, (_, why, is_fault) in zip(cohort.cases, answers, strict=True) if is_fault]
    if faults:
        more = [f"  and {len(faults) - _MOST_SHOWN} more"] if len(faults) > _MOST_SHOWN else []
        raise UsageError("\n".join((f"{len(faults)} case(s) cannot be used", *faults[:_MOST_SHOWN], *more)))
    kept = [(case, Prepared(file)) for case, (file, why, _) in zip(cohort.cases, answers, strict=True) if not why]
    if not kept:
        raise UsageError("no case is left")
    left = Cohort(tuple(case for case, _ in kept), cohort.status, cohort.origin, cohort.digest)
    return left, [prepared for _, prepared in kept], len(answers) - len(kept)


_Answer = tuple[Path, str, bool]
"""The file, why there is none, and whether that is somebody's fault."""


def _answers(
    task: Callable[[TrainingCase], _Answer], cases: Sequence[TrainingCase], workers: int, done: Callable[[], None]
) -> list[_Answer]:
    answers = []
    if workers <= 1:
        for case in cases:
            answers.append(task(case))
            done()
        return answers
    # A fork of a process that has threads may hang; a spawned one reads its share of the cores before torch loads.
    with ProcessPoolExecutor(
        workers, get_context("spawn"), initializer=device.limit_threads, initargs=(workers,)
    ) as pool:
        for answer in pool.map(task, cases, chunksize=2):
            answers.append(answer)
            done()
    return answers


def _prepare_one(preparation: Preparation, cache: Path, case: TrainingCase) -> _Answer:
    """Make the arrays of a case, unless they are there."""
    file = cache / f"{_name(preparation, case)}.safetensors"
    if _is_whole(file):
        return file, "", False
    try:
        arrays = preparation(case)
    except CeladonError as error:
        return file, str(error), True
    except ValueError as error:
        return file, str(error), not isinstance(case.source, PhantomSource)
    content = save({name: np.ascontiguousarray(array) for name, array in arrays.items()})
    part = file.with_suffix(f".{os.getpid()}.part")
    part.write_bytes(content)
    part.replace(file)
    return file, "", False


def _is_whole(file: Path) -> bool:
    """Whether the file is there and was written to its end: its length is checked when it is opened."""
    try:
        with safe_open(file, "np"):
            return True
    except (OSError, SafetensorError):
        return False


def _name(preparation: Preparation, case: TrainingCase) -> str:
    source = case.source
    version = draw(source.seed, source.wanted).kind.version if isinstance(source, PhantomSource) else 0
    made_from = f"{_FORMAT}|{version}|{preparation!r}|{case.id}|{case.source.fingerprint()}"
    return hashlib.sha256(made_from.encode()).hexdigest()[:40]
