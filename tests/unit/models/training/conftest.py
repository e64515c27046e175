"""Two small trainings, from a manifest to a bundle, that several tests look at."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from models.bundle import Bundle
from models.training.journal import Journal
from models.training.run import Wish, train
from tests.unit.models.training.manifests import case_files, clinical, manifest, series_files


@dataclass(frozen=True)
class Trained:
    """A finished training."""

    wish: Wish
    summary: Mapping[str, Any]

    @property
    def bundle(self) -> Bundle:
        """What came out."""
        return Bundle.open(self.wish.out / "bundle")

    @property
    def card(self) -> str:
        """Its card, with one line a paragraph."""
        return (self.wish.out / "bundle" / "docs" / "README.md").read_text(encoding="utf-8")


def finished(wish: Wish) -> Trained:
    """Train quietly."""
    with Journal(quiet=True) as journal:
        return Trained(wish, train(wish, journal))


@pytest.fixture(scope="session")
def porcelain_training(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """PORCELAIN on eight cases, one of them a DICOM series: one run, with a rough mask a case."""
    folder = tmp_path_factory.mktemp("ntr")
    files = [case_files(folder, f"c{index}", index, coarse=bool(index % 2)) for index in range(7)]
    files.append(series_files(folder, "c7"))
    rows = [row | {"label": str(index % 2)} | clinical(index) for index, row in enumerate(files)]
    return finished(
        Wish(
            task="porcelain",
            out=folder / "out",
            seed=4,
            cohort=manifest(folder, rows),
            settings=("epochs=2", "batch_size=4", "patience=2"),
            options={"rough": 1},
            folds=2,
            is_single=True,
            tries_bundle=False,
        )
    )


@pytest.fixture(scope="session")
def gtrnet_training(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """GTRNet on twelve cases, cross-validated: the small network with two streams."""
    folder = tmp_path_factory.mktemp("t")
    files = [case_files(folder, f"c{index}", index, coarse=bool(index % 2)) for index in range(12)]
    rows = [row | {"label": f"T{1 + index % 4}"} for index, row in enumerate(files)]
    return finished(
        Wish(
            task="gtrnet",
            out=folder / "out",
            seed=4,
            cohort=manifest(folder, rows),
            settings=("epochs=1", "batch_size=4", "learning_rate=1e-3"),
            options={"network": "small-two-stream", "rough": 1},
            folds=2,
            tries_bundle=False,
        )
    )
