"""nnU-Net by its command (Isensee et al. 2021, doi 10.1038/s41592-020-01008-z), where it is installed.

    nnUNetv2_predict -i FOLDER -o FOLDER -d DATASET -c CONFIGURATION -f FOLD… -device cpu -npp 1 -nps 1 --disable_tta

Images are named ``CASE_0000.nii.gz`` by their channel, results ``CASE.nii.gz``; trained models are found under
``nnUNet_results``. Mirroring at test time takes eight times as long, so it is off.
"""

from pathlib import Path
from typing import Final

from models.segmenters.program import ProgramSegmenter, Question

RESULTS: Final = "nnUNet_results"
_OTHER_FOLDERS: Final = ("nnUNet_raw", "nnUNet_preprocessed")
"""It asks for these as well, and uses them in training alone."""
_CASE: Final = "case"


class NnUnet(ProgramSegmenter):
    """Its trained models, on the CPU."""

    usual = "nnUNetv2_predict"
    package = "nnunetv2"

    def _question(self, folder: Path) -> Question:
        given, made = folder / "images", folder / "labels"
        given.mkdir()
        made.mkdir()
        wanted, variables = self._settings, dict.fromkeys(_OTHER_FOLDERS, str(folder))
        if wanted.models is not None:
            variables[RESULTS] = str(wanted.models.absolute())
        model = ["-d", wanted.task, "-c", wanted.configuration, "-f", *wanted.folds]
        limits = ["-device", "cpu", "-npp", "1", "-nps", "1", "--disable_tta"]
        return Question(
            given=given / f"{_CASE}_0000.nii.gz",
            made=made / f"{_CASE}.nii.gz",
            arguments=["-i", str(given), "-o", str(made), *model, *limits],
            environment=variables,
        )

    def _model(self) -> str:
        return f"nnU-Net, {self._settings.task} {self._settings.configuration}"
