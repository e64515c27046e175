"""The bundled case: ten real CT slices and a region that stands in for a lesion, as a new patient each time.

Only identity and references are rewritten; geometry, scan parameters and the compressed pixel stream are those of the
scanner (see ``data/README.md`` and NOTICE). There is no tumour in the data: the region is called a stand-in.
"""

from dataclasses import dataclass
from importlib.resources import as_file, files
from pathlib import Path
from typing import Final, Literal

from pydicom import dcmread
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset, FileDataset
from pydicom.multival import MultiValue

from node.domain.coding import Anatomy
from node.domain.identifiers import InstanceUID, SeriesUID, StudyUID, Uid

Organ = Literal["pancreas", "stomach"]

_STANDARD_UIDS: Final = "1.2.840.10008."


@dataclass(frozen=True, slots=True)
class DemoCase:
    """One case on disk, ready to be sent."""

    organ: Anatomy
    patient_id: str
    accession_number: str
    study_uid: StudyUID
    series_uid: SeriesUID
    """The CT series."""
    ct_paths: tuple[Path, ...]
    """From the lowest slice up."""
    seg_path: Path
    """The SEG that references the series and marks the stand-in region."""
    seg_uid: InstanceUID

    @property
    def paths(self) -> tuple[Path, ...]:
        """Everything, in the order in which a PACS would route it."""
        return (*self.ct_paths, self.seg_path)


def make_case(organ: Organ, folder: Path, suffix: str = "1") -> DemoCase:
    """Write a case into ``folder``; the same organ and suffix give the same UIDs and bytes.

    ``suffix`` makes another patient with another study.
    """
    anatomy = Anatomy[organ.upper()]
    identity = _Identity(organ, suffix)
    folder.mkdir(parents=True, exist_ok=True)
    with as_file(files("node.demo") / "data") as data:
        ct_paths = tuple(identity.rewrite(path, folder / path.name) for path in sorted((data / "ct").glob("*.dcm")))
        seg_path = identity.rewrite(data / f"{organ}-stand-in.dcm", folder / "stand-in-seg.dcm")
    image = dcmread(ct_paths[0], stop_before_pixels=True)
    return DemoCase(
        organ=anatomy,
        patient_id=identity.patient_id,
        accession_number=identity.accession_number,
        study_uid=StudyUID(str(image.StudyInstanceUID)),
        series_uid=SeriesUID(str(image.SeriesInstanceUID)),
        ct_paths=ct_paths,
        seg_path=seg_path,
        seg_uid=InstanceUID(str(dcmread(seg_path, stop_before_pixels=True).SOPInstanceUID)),
    )


@dataclass(frozen=True, slots=True)
class _Identity:
    """Who a case is of."""

    organ: str
    suffix: str

    @property
    def patient_id(self) -> str:
        return f"DEMO-{self.organ.upper()}-{self.suffix}"

    @property
    def accession_number(self) -> str:
        digits = int(Uid.derived("demo", self.organ, self.suffix, "accession").rpartition(".")[2]) % 10**8
        return f"DEMO{digits:08d}"

    def rewrite(self, source: Path, target: Path) -> Path:
        """Copy ``source`` as this patient's; the same UID becomes the same new UID in every file."""
        dataset = dcmread(source)
        dataset.walk(self._renumber)
        dataset.PatientID = self.patient_id
        dataset.PatientName = f"Demo^{self.organ.capitalize()}^{self.suffix}"
        dataset.AccessionNumber = self.accession_number
        _announce(dataset)
        dataset.save_as(target, enforce_file_format=True)
        return target

    def _renumber(self, _: Dataset, element: DataElement) -> None:
        """Replace the UIDs of an element, but not those that the standard assigns."""
        if element.VR != "UI" or not element.value:
            return
        if isinstance(element.value, MultiValue):
            element.value = [self._renumbered(str(uid)) for uid in element.value]
        else:
            element.value = self._renumbered(str(element.value))

    def _renumbered(self, uid: str) -> str:
        return uid if uid.startswith(_STANDARD_UIDS) else Uid.derived("demo", self.organ, self.suffix, uid)


def _announce(dataset: FileDataset) -> None:
    """Make the file meta information name the new instance (PS3.10 section 7.1)."""
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
