"""TotalSegmentator by its command (Wasserthal et al. 2023, doi 10.1148/ryai.230024), where it is installed.

    TotalSegmentator -i volume.nii.gz -o labels.nii.gz --ml --task TASK --device cpu [--fast]

``--ml`` writes one label map. The task ``total`` marks organs and vessels but no lesion; labels of a task with lesions
are named in the settings. Its weights have to be there already: a node reaches no network.
"""

from collections.abc import Sequence
from typing import Final

from models.segmenters import command
from models.segmenters.exchange import private_folder, read_labels, write_nifti
from models.segmenters.label_map import rois_of
from node.domain.coding import Anatomy
from node.domain.imaging import Annotation, Roi, Volume
from node.settings import SegmenterSettings

COMMAND: Final = "TotalSegmentator"
TASK: Final = "total"
HOME: Final = "TOTALSEG_HOME_DIR"
"""The variable that says where it keeps its weights and configuration."""


class TotalSegmentator:
    """Asks the program for a label map, whose numbers the settings explain."""

    def __init__(self, name: str, settings: SegmenterSettings, threads: int = 1) -> None:
        """``name``: as the settings call it. Raises UsageError when the program is not installed."""
        self.name = name
        self._settings, self._threads = settings, threads
        self._program = command.find(
            settings.command or COMMAND, f"segmenters.{name}", "install TotalSegmentator in an environment of its own"
        )
        self._task = settings.task or TASK

    def locate(
        self,
        volume: Volume,
        annotations: Sequence[Annotation],  # noqa: ARG002 — the port's signature
        organs: Sequence[Anatomy],
    ) -> tuple[Roi, ...]:
        """The lesions in ``organs``, largest first; empty when it sees none. Refused as ``command.run`` and the map."""
        wanted = self._settings
        variables = {} if wanted.models is None else {HOME: str(wanted.models.absolute())}
        limits = command.Limits(wanted.within_s, wanted.memory_gb, self._threads, environment=variables)
        with private_folder() as folder:
            given, made = folder / "volume.nii.gz", folder / "labels.nii.gz"
            write_nifti(volume, given)
            arguments = ["-i", str(given), "-o", str(made), "--ml", "--task", self._task, "--device", "cpu"]
            command.run(self._program, [*arguments, *(["--fast"] if wanted.fast else [])], folder, limits)
            labels = read_labels(made, volume.geometry, self.name)
        made_by = f"{COMMAND}, task {self._task}, not validated here"
        return rois_of(labels, volume, wanted.labels, organs, self.name, made_by)
