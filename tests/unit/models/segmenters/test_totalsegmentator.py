"""TotalSegmentator by its command, with a made-up program in its place."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.segmenters.totalsegmentator import HOME, TotalSegmentator
from node.domain.coding import Anatomy
from node.domain.parts import Part
from node.domain.reasons import ReasonCode
from node.errors import Refused, UsageError
from node.settings import SegmenterKind, SegmenterSettings

ORGANS = (Anatomy.PANCREAS,)


def installed(command: Path, **changes: Any) -> TotalSegmentator:
    """The program as a segmenter of the pancreas."""
    values: dict[str, Any] = {
        "kind": SegmenterKind.TOTALSEGMENTATOR,
        "command": str(command),
        "labels": {1: Part.PANCREAS, 2: Part.PANCREAS_LESION},
        "within_s": 60.0,
    }
    return TotalSegmentator("total", SegmenterSettings(**(values | changes)))


def test_what_the_program_marks_is_where_it_marked_it(
    tmp_path: Path, make_program: Callable[..., Any], make_scene: Callable[..., Any]
) -> None:
    """On the series' own voxels; its maker is named as not validated."""
    scene = make_scene()
    found = installed(make_program(tmp_path).path).locate(scene.volume, (), ORGANS)
    assert np.array_equal(found[0].mask | found[1].mask, scene.labels == 2)
    assert "not validated" in found[0].made_by


def test_the_command_is_totalsegmentators_own(
    tmp_path: Path, make_program: Callable[..., Any], make_scene: Callable[..., Any]
) -> None:
    """One label map, its task, and the place of its weights, as its documentation has them."""
    program = make_program(tmp_path)
    wanted = {"task": "liver_lesions", "fast": True, "models": tmp_path / "home"}
    installed(program.path, **wanted).locate(make_scene().volume, (), ORGANS)
    arguments, environment = program.asked()
    assert arguments[4:] == ["--ml", "--task", "liver_lesions", "--device", "cpu", "--fast"]
    assert environment[HOME] == str(tmp_path / "home")


@pytest.mark.parametrize(
    ("spoil", "code"),
    [("sys.exit(1)", ReasonCode.SEGMENTER_FAILED), ("labels = labels[1:]", ReasonCode.ROI_GEOMETRY)],
)
def test_a_program_that_gives_no_usable_answer_is_a_coded_reason(
    tmp_path: Path, make_program: Callable[..., Any], make_scene: Callable[..., Any], spoil: str, code: ReasonCode
) -> None:
    """As of every program."""
    with pytest.raises(Refused) as refused:
        installed(make_program(tmp_path, spoil).path).locate(make_scene().volume, (), ORGANS)
    assert refused.value.reason.code is code


def test_it_is_missed_when_the_node_starts() -> None:
    """With the setting that asks for it."""
    with pytest.raises(UsageError, match=r"segmenters\.total"):
        installed(Path("no-such-program"))
