"""nnU-Net by its command, with a made-up program in its place."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.segmenters.nnunet import NnUnet
from node.domain.coding import Anatomy
from node.domain.parts import Part
from node.domain.reasons import ReasonCode
from node.errors import Refused, UsageError
from node.settings import SegmenterKind, SegmenterSettings

ORGANS = (Anatomy.PANCREAS,)


def installed(command: Path, **changes: Any) -> NnUnet:
    """The program as a segmenter of the pancreas."""
    values: dict[str, Any] = {
        "kind": SegmenterKind.NNUNET,
        "command": str(command),
        "task": "Dataset007_Pancreas",
        "labels": {1: Part.PANCREAS, 2: Part.PANCREAS_LESION},
        "within_s": 60.0,
    }
    return NnUnet("nn", SegmenterSettings(**(values | changes)), threads=2)


@pytest.mark.parametrize("tilted", [False, True])
def test_what_the_program_marks_is_where_it_marked_it(
    tmp_path: Path, make_program: Callable[..., Any], make_scene: Callable[..., Any], tilted: bool
) -> None:
    """On the series' own voxels, the larger lesion first; its maker is named as not validated."""
    scene = make_scene(tilted=tilted)
    first, second = installed(make_program(tmp_path).path).locate(scene.volume, (), ORGANS)
    assert np.array_equal(first.mask | second.mask, scene.labels == 2)
    assert first.mask.sum() > second.mask.sum()
    assert "Dataset007_Pancreas" in first.made_by
    assert "not validated" in first.made_by


def test_the_command_is_nnunets_own(
    tmp_path: Path, make_program: Callable[..., Any], make_scene: Callable[..., Any]
) -> None:
    """Data set, configuration, folds and the place of its models, as its documentation has them."""
    program = make_program(tmp_path)
    wanted = {"configuration": "2d", "folds": ("0", "1"), "models": tmp_path / "results"}
    installed(program.path, **wanted).locate(make_scene().volume, (), ORGANS)
    arguments, environment = program.asked()
    assert arguments[4:] == (
        "-d Dataset007_Pancreas -c 2d -f 0 1 -device cpu -npp 1 -nps 1 --disable_tta".split()  # noqa: SIM905 — as typed
    )
    assert environment["nnUNet_results"] == str(tmp_path / "results")
    assert environment["OMP_NUM_THREADS"] == "2"


@pytest.mark.parametrize(
    ("spoil", "code"),
    [
        ("sys.exit(3)", ReasonCode.SEGMENTER_FAILED),
        ("time.sleep(600)", ReasonCode.SEGMENTER_FAILED),
        ("sys.exit(0)", ReasonCode.SEGMENTER_FAILED),
        ("made = made.with_name('other.nii.gz')", ReasonCode.SEGMENTER_FAILED),
        ("labels.SetOrigin((0.0, 0.0, 0.0))", ReasonCode.ROI_GEOMETRY),
        ("labels = labels[:, :, 1:]", ReasonCode.ROI_GEOMETRY),
        ("labels = sitk.Cast(image, sitk.sitkFloat32)", ReasonCode.SEGMENTER_FAILED),
    ],
    ids=["fails", "slow", "nothing", "misnamed", "elsewhere", "smaller", "no labels"],
)
def test_a_program_that_gives_no_usable_answer_is_a_coded_reason(
    tmp_path: Path, make_program: Callable[..., Any], make_scene: Callable[..., Any], spoil: str, code: ReasonCode
) -> None:
    """Never a guess, and never the end of the worker."""
    slow = {"within_s": 8.0} if "sleep" in spoil else {}
    with pytest.raises(Refused) as refused:
        installed(make_program(tmp_path, spoil).path, **slow).locate(make_scene().volume, (), ORGANS)
    assert refused.value.reason.code is code


def test_it_is_missed_when_the_node_starts() -> None:
    """With the setting that asks for it."""
    with pytest.raises(UsageError, match=r"segmenters\.nn"):
        installed(Path("no-such-nnunet"))
