"""Annotations as readers give them, made from masks; volumes with organs and lesions; bundles and tiny networks."""

import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pytest
import torch
from safetensors.torch import save_file

from models.networks.segmenter import CoarseToFine
from models.segmenters import packaging
from models.segmenters.plan import DEFAULT, Plan
from node.domain.coding import Anatomy
from node.domain.identifiers import FrameOfReferenceUID, InstanceUID, StudyUID
from node.domain.imaging import (
    AnnotatedRegion,
    Annotation,
    AnnotationKind,
    BoolArray,
    Contour,
    Geometry,
    MaskPlane,
    PatientIdentity,
    Volume,
)
from node.domain.prediction import TrainingStatus


def planes_of(geometry: Geometry, mask: BoolArray, crop: tuple[int, int, int, int] | None = None) -> Any:
    """One frame for each slice with set voxels; ``crop`` (first row, end row, first column, end column) cuts each."""
    top, bottom, left, right = crop or (0, mask.shape[1], 0, mask.shape[2])
    column, row, _ = geometry.direction
    frames = []
    for index in np.flatnonzero(mask.any(axis=(1, 2))):
        position = geometry.to_lps_mm(np.array([[left, top, index]], dtype=np.float64))[0]
        frames.append(
            MaskPlane(
                mask=mask[index, top:bottom, left:right],
                position_lps_mm=tuple(position.tolist()),
                orientation=(*column, *row),
                spacing_mm=(geometry.spacing_xyz_mm[1], geometry.spacing_xyz_mm[0]),
            )
        )
    return tuple(frames)


def contour_of(geometry: Geometry, points: Sequence[tuple[float, float, float]]) -> Contour:
    """A contour through points given as indices x, y, z."""
    return Contour(geometry.to_lps_mm(np.array(points, dtype=np.float64)))


def region_of(number: int = 1, anatomy: Anatomy | None = Anatomy.PANCREAS, **changes: Any) -> AnnotatedRegion:
    """A lesion in the pancreas, unless said otherwise."""
    values: dict[str, Any] = {"label": f"lesion {number}", "anatomy_is_coded": True, "is_lesion": True} | changes
    return AnnotatedRegion(number=number, anatomy=anatomy, **values)


def annotation_of(*regions: AnnotatedRegion, **changes: Any) -> Annotation:
    """A segmentation in the frame of reference of the test grids, unless said otherwise."""
    values: dict[str, Any] = {
        "instance_uid": InstanceUID("2.25.900"),
        "kind": AnnotationKind.SEG,
        "study_uid": StudyUID("2.25.1"),
        "patient": PatientIdentity("p"),
        "referenced_series": (),
        "frame_of_reference_uid": "2.25.11",
        "manufacturer": "",
        "created_at": "20250101120000",
    } | changes
    return Annotation(regions=regions, **values)


@pytest.fixture
def make_planes() -> Callable[..., Any]:
    """``planes_of``."""
    return planes_of


@pytest.fixture
def make_contour() -> Callable[..., Contour]:
    """``contour_of``."""
    return contour_of


@pytest.fixture
def make_region() -> Callable[..., AnnotatedRegion]:
    """``region_of``."""
    return region_of


@pytest.fixture
def make_annotation() -> Callable[..., Annotation]:
    """``annotation_of``."""
    return annotation_of


HU: Final = {0: -100.0, 1: 60.0, 2: 140.0}
"""Of what the made-up programs and bundles tell apart by brightness alone: nothing, organ, lesion."""


@dataclass(frozen=True)
class Scene:
    """A volume with an organ, a large and a small lesion in it, and which voxels are which."""

    volume: Volume
    labels: npt.NDArray[np.uint8]


def scene(spacing_mm: tuple[float, float, float] = (1.0, 1.0, 2.0), tilted: bool = False) -> Scene:
    """40 x 48 x 44 voxels; ``tilted`` stores rows and columns the other way round, as feet-first series are."""
    labels = np.zeros((40, 48, 44), dtype=np.uint8)
    labels[10:30, 12:36, 8:36] = 1
    labels[14:22, 16:26, 12:20] = 2
    labels[24:28, 28:34, 28:33] = 2
    direction = (
        ((-1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)) if tilted else tuple(map(tuple, np.eye(3).tolist()))
    )
    geometry = Geometry(labels.shape, spacing_mm, (-20.0, 13.5, 77.0), direction, FrameOfReferenceUID("2.25.11"))
    hu = np.vectorize(HU.__getitem__)(labels).astype(np.float32)
    return Scene(Volume(hu, geometry, tuple(InstanceUID(f"2.25.{100 + k}") for k in range(len(hu)))), labels)


@pytest.fixture
def make_scene() -> Callable[..., Scene]:
    """``scene``."""
    return scene


def zoo_config() -> dict[str, Any]:
    """An inference configuration as the model zoo writes them."""
    image = {"keys": "image"}
    before = [
        {"_target_": "LoadImaged", **image},
        {"_target_": "EnsureChannelFirstd", **image},
        {"_target_": "Orientationd", **image, "axcodes": "RAS", "labels": None},
        {"_target_": "Spacingd", **image, "pixdim": [1.0, 1.0, 2.0], "mode": "bilinear"},
        {
            "_target_": "ScaleIntensityRanged",
            **image,
            "a_min": -100,
            "a_max": 140,
            "b_min": 0,
            "b_max": 1,
            "clip": True,
        },
        {"_target_": "EnsureTyped", **image},
    ]
    after = [
        {"_target_": "Activationsd", "keys": "pred", "softmax": True},
        {
            "_target_": "Invertd",
            "keys": "pred",
            "transform": "@preprocessing",
            "orig_keys": "image",
            "nearest_interp": False,
            "to_tensor": True,
        },
        {"_target_": "AsDiscreted", "keys": "pred", "argmax": True},
        {"_target_": "SaveImaged", "keys": "pred", "output_dir": "@output_dir"},
    ]
    return {
        "imports": ["$import glob"],
        "bundle_root": ".",
        "output_dir": "$@bundle_root + '/eval'",
        "datalist": "$list(sorted(glob.glob('/nowhere/*.nii.gz')))",
        "device": "$torch.device('cuda:0' if torch.cuda.is_available() else 'cpu')",
        "network_def": {"_target_": "torch.nn.Conv3d", "in_channels": 1, "out_channels": 3, "kernel_size": 1},
        "network": "$@network_def.to(@device)",
        "preprocessing": {"_target_": "Compose", "transforms": before},
        "inferer": {"_target_": "SlidingWindowInferer", "roi_size": [32, 32, 32], "sw_batch_size": 2, "overlap": 0.25},
        "postprocessing": {"_target_": "Compose", "transforms": after},
        "evaluator": {"_target_": "SupervisedEvaluator", "device": "@device", "network": "@network"},
    }


def zoo_bundle(folder: Path, weights: str = "model.safetensors", **changes: Any) -> Path:
    """A bundle that calls voxels from -20 HU on organ and from 100 HU on lesion; ``changes`` replace parts of it."""
    for part in ("configs", "models"):
        (folder / part).mkdir(parents=True)
    tensors = {
        "weight": torch.tensor([0.0, 30.0, 60.0]).reshape(3, 1, 1, 1, 1),
        "bias": torch.tensor([0.0, -10.0, -35.0]),
    }
    file = folder / "models" / weights
    if weights.endswith(".safetensors"):
        save_file(tensors, file)
    elif weights.endswith(".pt"):
        torch.save({"model": tensors}, file)
    else:
        network = torch.nn.Conv3d(1, 3, 1)
        network.load_state_dict(tensors)
        torch.jit.trace(network.eval(), torch.zeros(1, 1, 8, 8, 8)).save(str(file))
    config = {name: value for name, value in (zoo_config() | changes).items() if value is not None}
    (folder / "configs" / "inference.json").write_text(json.dumps(config), encoding="utf-8")
    (folder / "configs" / "metadata.json").write_text(json.dumps({"version": "0.1.0"}), encoding="utf-8")
    return folder


@pytest.fixture
def make_zoo_bundle() -> Callable[..., Path]:
    """``zoo_bundle``."""
    return zoo_bundle


TINY: Final = (4, 4, 4, 6)
"""Channels of a network that is built in milliseconds."""


def tiny_plan(**changes: Any) -> Plan:
    """A plan with small windows."""
    plan = replace(
        DEFAULT,
        coarse=replace(DEFAULT.coarse, window_zyx=(16, 32, 32)),
        fine=replace(DEFAULT.fine, window_zyx=(16, 32, 32)),
    )
    return replace(plan, **changes)


def tiny_bundle(folder: Path, plan: Plan | None = None, **about: Any) -> Path:
    """A coarse-to-fine bundle of a network that has learnt nothing, to which everything is familiar."""
    plan = plan or tiny_plan()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = CoarseToFine(plan.coarse.classes, plan.fine.classes, TINY, TINY)
    network.outliers.threshold.fill_(1e6)
    words: dict[str, Any] = {
        "name": "tiny",
        "version": "1.0.0",
        "status": TrainingStatus.PHANTOM,
        "disclaimer": "trained on nothing: for tests only",
        "data_source": "none",
        "description": "a tiny network",
        "intended_use": "tests",
        "card": "# tiny\n",
    }
    packaging.write(folder, network, plan, packaging.Widths(TINY, TINY), packaging.About(**(words | about)))
    return folder


@pytest.fixture
def make_tiny_plan() -> Callable[..., Plan]:
    """``tiny_plan``."""
    return tiny_plan


@pytest.fixture
def make_tiny_bundle() -> Callable[..., Path]:
    """``tiny_bundle``."""
    return tiny_bundle


PROGRAM: Final = """#!{python}
import json, os, sys, time
from pathlib import Path
import SimpleITK as sitk

arguments = sys.argv[1:]
Path({said!r}).write_text(json.dumps([arguments, dict(os.environ)]))
given, made = Path(arguments[arguments.index("-i") + 1]), Path(arguments[arguments.index("-o") + 1])
if given.is_dir():  # nnU-Net: folders, channels numbered
    given, made = given / "case_0000.nii.gz", made / "case.nii.gz"
image = sitk.ReadImage(str(given))
labels = sitk.Cast(image > -20, sitk.sitkUInt8) + sitk.Cast(image > 100, sitk.sitkUInt8)
{spoil}
sitk.WriteImage(labels, str(made))
"""
"""What it was asked goes into a file; then it tells organ and lesion by brightness."""


@dataclass(frozen=True)
class Program:
    """A made-up segmentation program."""

    path: Path
    said: Path

    def asked(self) -> tuple[list[str], dict[str, str]]:
        """The arguments and the environment of its last run."""
        arguments, environment = json.loads(self.said.read_text(encoding="utf-8"))
        return arguments, environment


def program(folder: Path, spoil: str = "") -> Program:
    """A program that does ``spoil`` before it writes its answer."""
    made = Program(folder / "program", folder / "said.json")
    text = PROGRAM.format(python=sys.executable, said=str(made.said), spoil=spoil)
    made.path.write_text(text, encoding="utf-8")
    made.path.chmod(0o700)
    return made


@pytest.fixture
def make_program() -> Callable[..., Program]:
    """``program``."""
    return program
