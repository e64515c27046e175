"""A segmentation program that is installed beside Celadon, as a segmenter: a NIfTI file there, a label map back."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from models.segmenters import command
from models.segmenters.exchange import private_folder, read_labels, write_nifti
from models.segmenters.label_map import rois_of
from node.domain.coding import Anatomy
from node.domain.imaging import Annotation, Roi, Volume
from node.settings import SegmenterSettings


@dataclass(frozen=True, slots=True)
class Question:
    """How a program is asked about one volume."""

    given: Path
    """Where it looks for the volume."""
    made: Path
    """Where it leaves its label map."""
    arguments: Sequence[str]
    environment: Mapping[str, str]


class ProgramSegmenter(ABC):
    """Asks a program for a label map, whose numbers the settings explain; subclasses say which, and how."""

    usual: ClassVar[str]
    """The command where the settings name no other."""
    package: ClassVar[str]
    """What is to be installed where it is missing."""

    def __init__(self, name: str, settings: SegmenterSettings, threads: int = 1) -> None:
        """``name``: as the settings call it. Raises UsageError when the program is not installed."""
        self.name = name
        self._settings, self._threads = settings, threads
        self._program = command.find(
            settings.command or self.usual,
            f"segmenters.{name}",
            f"install {self.package} in an environment of its own",
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
            question = self._question(folder)
            limits = command.Limits(wanted.within_s, wanted.memory_gb, self._threads, environment=question.environment)
            write_nifti(volume, question.given)
            command.run(self._program, question.arguments, folder, limits)
            labels = read_labels(question.made, volume.geometry, self.name)
        return rois_of(labels, volume, wanted.labels, organs, self.name, f"{self._model()}, not validated here")

    @abstractmethod
    def _question(self, folder: Path) -> Question:
        """How it is asked, with its files in ``folder``; makes the folders that it looks into."""

    @abstractmethod
    def _model(self) -> str:
        """Program and model, as every result names them."""
