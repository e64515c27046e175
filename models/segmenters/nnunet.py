"""nnU-Net by its command (Isensee et al. 2021, doi 10.1038/s41592-020-01008-z), where it is installed.

    nnUNetv2_predict -i FOLDER -o FOLDER -d DATASET -c CONFIGURATION -f FOLD… -device cpu -npp 1 -nps 1 --disable_tta

Images are named ``CASE_0000.nii.gz`` by their channel, results ``CASE.nii.gz``; trained models are found under
``nnUNet_results``. Mirroring at test time takes eight times as long, so it is off.
"""

from collections.abc import Sequence
from typing import Final

from models.segmenters import command
from models.segmenters.exchange import private_folder, read_labels, write_nifti
from models.segmenters.label_map import rois_of
from node.domain.coding import Anatomy
from node.domain.imaging import Annotation, Roi, Volume
from node.settings import SegmenterSettings

COMMAND: Final = "nnUNetv2_predict"
RESULTS: Final = "nnUNet_results"
_OTHER_FOLDERS: Final = ("nnUNet_raw", "nnUNet_preprocessed")
"""It asks for these as well, and uses them in training alone."""
_CASE: Final = "case"


class NnUnet:
    """Asks the program for a label map, whose numbers the settings explain."""

    def __init__(self, name: str, settings: SegmenterSettings, threads: int = 1) -> None:
        """``name``: as the settings call it. Raises UsageError when the program is not installed."""
        self.name = name
        self._settings, self._threads = settings, threads
        self._program = command.find(
            settings.command or COMMAND, f"segmenters.{name}", "install nnunetv2 in an environment of its own"
        )

    def locate(
        self,
        volume: Volume,
        annotations: Sequence[Annotation],  # noqa: ARG002 — the port's signature
        organs: Sequence[Anatomy],
    ) -> tuple[Roi, ...]:
        """The lesions in ``organs``, largest first; empty when it sees none. Refused as ``command.run`` and the map."""
        wanted = self._settings
        with private_folder() as folder:
            given, made = folder / "images", folder / "labels"
            given.mkdir()
            made.mkdir()
            variables = dict.fromkeys(_OTHER_FOLDERS, str(folder))
            if wanted.models is not None:
                variables[RESULTS] = str(wanted.models.absolute())
            limits = command.Limits(wanted.within_s, wanted.memory_gb, self._threads, environment=variables)
            write_nifti(volume, given / f"{_CASE}_0000.nii.gz")
            command.run(self._program, self._arguments(str(given), str(made)), folder, limits)
            labels = read_labels(made / f"{_CASE}.nii.gz", volume.geometry, self.name)
        made_by = f"nnU-Net, {wanted.task} {wanted.configuration}, not validated here"
        return rois_of(labels, volume, wanted.labels, organs, self.name, made_by)

    def _arguments(self, given: str, made: str) -> list[str]:
        wanted = self._settings
        model = ["-d", wanted.task, "-c", wanted.configuration, "-f", *wanted.folds]
        return ["-i", given, "-o", made, *model, "-device", "cpu", "-npp", "1", "-nps", "1", "--disable_tta"]
