"""Small volumes with known regions, the shipped bundles as predictors, and copies of bundles to spoil."""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from models.bundle import Bundle, shipped
from models.predictors.gtrnet import Gtrnet
from models.predictors.porcelain import Porcelain
from node.domain.coding import Anatomy
from node.domain.identifiers import FrameOfReferenceUID, InstanceUID
from node.domain.imaging import BoolArray, Geometry, Roi, Volume
from tests.drawn import drawn

FRAME = FrameOfReferenceUID("2.25.11")


@pytest.fixture(scope="session", autouse=True)
def _few_threads() -> None:
    """Leave cores for the tests that run beside these: threads that outnumber the cores stall each other."""
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _few_threads_again() -> Iterator[None]:
    """After a test of a command that sets the process's threads: what is trained with others is another network."""
    yield
    torch.set_num_threads(1)


def grid(shape: tuple[int, int, int] = (12, 64, 64)) -> Geometry:
    """An axial grid with anisotropic voxels, away from the origin."""
    return Geometry(
        shape_zyx=shape,
        spacing_xyz_mm=(0.8, 0.9, 3.0),
        origin_lps_mm=(-101.5, -203.25, 37.0),
        direction=((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)),
        frame_of_reference_uid=FRAME,
    )


def textured(shape: tuple[int, int, int], seed: int = 0) -> Volume:
    """A volume of soft tissue with texture."""
    hu = np.random.default_rng(seed).normal(110.0, 40.0, shape).astype(np.float32)
    return Volume(hu, grid(shape), tuple(InstanceUID(f"2.25.{100 + k}") for k in range(shape[0])))


def region(volume: Volume, anatomy: Anatomy, mask: BoolArray) -> Roi:
    """The mask as a region of interest of the volume."""
    return Roi(mask, volume.geometry, anatomy, "lesion", "dicom-seg")


def ball(shape: tuple[int, int, int], centre: tuple[int, int, int], radii: tuple[int, int, int]) -> BoolArray:
    """An ellipsoid: voxels within ``radii`` of ``centre``."""
    axes = np.ogrid[tuple(slice(0, size) for size in shape)]
    mask: BoolArray = sum(((a - c) / r) ** 2 for a, c, r in zip(axes, centre, radii, strict=True)) <= 1.0
    return mask


@pytest.fixture
def make_grid() -> Callable[..., Geometry]:
    """``grid``."""
    return grid


@pytest.fixture
def make_volume() -> Callable[..., Volume]:
    """``textured``."""
    return textured


@pytest.fixture
def make_roi() -> Callable[..., Roi]:
    """``region``."""
    return region


@pytest.fixture
def make_ball() -> Callable[..., BoolArray]:
    """``ball``."""
    return ball


@pytest.fixture(scope="session")
def porcelain() -> Porcelain:
    """The shipped bundle, loaded."""
    return Porcelain(Bundle.open(shipped("porcelain")))


@pytest.fixture(scope="session")
def gtrnet() -> Gtrnet:
    """The published network with weights from a seed, loaded."""
    return Gtrnet(Bundle.open(drawn("gtrnet")))


@pytest.fixture
def spoil(tmp_path: Path) -> Callable[..., Path]:
    """A copy of a bundle, GTRNet's with weights from a seed, whose ``celadon`` section was changed by a function."""

    def copy(name: str, change: Callable[[dict[str, Any]], Any]) -> Path:
        target = tmp_path / name
        shutil.copytree(drawn(name) if name == "gtrnet" else shipped(name), target)
        file = target / "configs" / "metadata.json"
        values = json.loads(file.read_text(encoding="utf-8"))
        change(values["celadon"])
        file.write_text(json.dumps(values), encoding="utf-8")
        return target

    return copy
