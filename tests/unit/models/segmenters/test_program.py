"""Programs as segmenters: asked by a file, answered by a label map, each named with its model."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.segmenters.program import ProgramSegmenter, Question
from node.domain.coding import Anatomy
from node.domain.parts import Part
from node.errors import UsageError
from node.settings import SegmenterKind, SegmenterSettings


class Made(ProgramSegmenter):
    """A program that nobody ships."""

    usual = "no-such-segmenter"
    package = "made"
    asked: Question | None = None

    def _question(self, folder: Path) -> Question:
        given, made = folder / "volume.nii.gz", folder / "labels.nii.gz"
        question = Question(given, made, ["-i", str(given), "-o", str(made)], {"MADE": "yes"})
        type(self).asked = question
        return question

    def _model(self) -> str:
        return "Made, model 7"


def settings(command: str = "") -> SegmenterSettings:
    """Of a pancreas."""
    meaning = {1: Part.PANCREAS, 2: Part.PANCREAS_LESION}
    return SegmenterSettings(kind=SegmenterKind.TOTALSEGMENTATOR, command=command, labels=meaning, within_s=60.0)


def test_a_program_is_asked_and_its_folder_is_gone_afterwards(
    tmp_path: Path, make_program: Callable[..., Any], make_scene: Callable[..., Any]
) -> None:
    """With what its subclass adds to the environment; results name model and lack of validation."""
    scene, program = make_scene(), make_program(tmp_path)
    found = Made("made", settings(str(program.path))).locate(scene.volume, (), (Anatomy.PANCREAS,))
    assert np.array_equal(found[0].mask | found[1].mask, scene.labels == 2)
    assert (found[0].source, found[0].made_by) == ("made", "Made, model 7, not validated here")
    assert program.asked()[1]["MADE"] == "yes"
    assert Made.asked is not None
    assert not Made.asked.given.parent.exists()


def test_the_usual_command_is_looked_for_where_the_settings_name_none() -> None:
    """And missed at the start, with what to install."""
    assert shutil.which(Made.usual) is None
    with pytest.raises(UsageError, match=r"segmenters\.made.*no-such-segmenter.*install made in an environment"):
        Made("made", settings())
