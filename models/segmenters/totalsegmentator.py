"""TotalSegmentator by its command (Wasserthal et al. 2023, doi 10.1148/ryai.230024), where it is installed.

    TotalSegmentator -i volume.nii.gz -o labels.nii.gz --ml --task TASK --device cpu [--fast]

``--ml`` writes one label map. The task ``total`` marks organs and vessels but no lesion; labels of a task with lesions
are named in the settings. Its weights have to be there already: a node reaches no network.
"""

from pathlib import Path
from typing import Final

from models.segmenters.program import ProgramSegmenter, Question

TASK: Final = "total"
HOME: Final = "TOTALSEG_HOME_DIR"
"""The variable that says where it keeps its weights and configuration."""


class TotalSegmentator(ProgramSegmenter):
    """One of its tasks, on the CPU."""

    usual = "TotalSegmentator"
    package = "TotalSegmentator"

    def _question(self, folder: Path) -> Question:
        wanted, given, made = self._settings, folder / "volume.nii.gz", folder / "labels.nii.gz"
        arguments = ["-i", str(given), "-o", str(made), "--ml", "--task", self._task, "--device", "cpu"]
        return Question(
            given=given,
            made=made,
            arguments=[*arguments, *(["--fast"] if wanted.fast else [])],
            environment={} if wanted.models is None else {HOME: str(wanted.models.absolute())},
        )

    def _model(self) -> str:
        return f"{self.usual}, task {self._task}"

    @property
    def _task(self) -> str:
        return self._settings.task or TASK
