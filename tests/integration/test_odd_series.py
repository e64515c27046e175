"""Whole series that are odd, each sent to a running node: analysed, not analysed for its reason, held, or refused."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Final

import numpy as np
import pytest
from pydicom import Dataset, dcmread
from pydicom.encaps import encapsulate
from pydicom.sequence import Sequence as Items
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    EnhancedCTImageStorage,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
    SecondaryCaptureImageStorage,
)

from node.dicom.sending import send_files
from node.domain.identifiers import InstanceUID, SeriesUID, StudyUID
from node.domain.lifecycle import JobState
from node.domain.reasons import ReasonCode
from node.store.jobs import JobStore
from node.store.session import Database
from tests.factories import STUDY, ct_slices, with_meta
from tests.faults.judge import Archive
from tests.faults.kills import Node, wait_for
from tests.faults.processes import Site

PYDICOM: Final = Path(str(files("pydicom.data") / "test_files"))
ENDS_WITHIN_S: Final = 60.0
_AFTER_A_VERDICT: Final = (JobState.DONE, JobState.NOT_ANALYSED, JobState.QUARANTINED)
Slices = list[Dataset]
Make = Callable[[SeriesUID], Slices]


@dataclass(frozen=True)
class Ended:
    """How a series ended."""

    statuses: frozenset[int | None]
    """What its sender was told."""
    state: JobState | None
    reason: str = ""


DONE: Final = Ended(frozenset({0}), JobState.DONE)
NOT_NEGOTIATED: Final = Ended(frozenset({None}), None)


def not_analysed(code: ReasonCode) -> Ended:
    """Taken, and not analysed."""
    return Ended(frozenset({0}), JobState.NOT_ANALYSED, code.name)


def held(code: ReasonCode) -> Ended:
    """Taken, and held for a person."""
    return Ended(frozenset({0}), JobState.QUARANTINED, code.name)


def refused(status: int) -> Ended:
    """Refused at the door, every object of it."""
    return Ended(frozenset({status}), None)


@dataclass(frozen=True)
class Place:
    """A running node, and the archive behind it."""

    site: Site
    jobs: JobStore
    folder: Path

    def send(self, name: str, slices: Slices, series: SeriesUID) -> Ended:
        """What becomes of a series."""
        folder = self.folder / name
        folder.mkdir()
        for one in slices:
            if one.get("StudyInstanceUID") == STUDY:
                # Of one study only the best series would be analysed.
                one.StudyInstanceUID = StudyUID.derived("odd", name)
        paths = []
        for number, one in enumerate(slices):
            paths.append(folder / f"{number:03d}.dcm")
            one.save_as(paths[-1], enforce_file_format=True)
        statuses = frozenset(result.status for result in send_files(paths, self.site.listener, "SENDER"))
        if 0 not in statuses:
            assert not self._of(series), "a series that was refused has a job"
            return Ended(statuses, None)
        assert wait_for(lambda: self._is_over(series), ENDS_WITHIN_S), f"{name} never came to an end"
        (job,) = self._of(series)
        return Ended(statuses, job.state, job.reason)

    def _of(self, series: SeriesUID) -> list:  # type: ignore[type-arg]  # of JobRecord, whose name says no more here
        return [job for job in self.jobs.jobs() if job.series_uid == series]

    def _is_over(self, series: SeriesUID) -> bool:
        return all(job.state in _AFTER_A_VERDICT for job in self._of(series))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """A node that is there for all of them, and has to live through them all."""
    folder = tmp_path_factory.mktemp("odd")
    with Archive() as archive:
        site = Site(folder / "node", f"sqlite:///{folder / 'node' / 'celadon.db'}", archive.peer)
        node, database = Node(site), Database(site.url)
        try:
            node.start_all()
            made = Place(site, JobStore(database), folder)
            yield made
            assert all(process.is_alive() for process in node.processes.values()), "a process died"
            logs = "".join(path.read_text(errors="replace") for path in folder.glob("node.*.log"))
            assert "Traceback" not in logs
        finally:
            node.stop()
            database.close()


def made(**changes: object) -> Make:
    """A series with attributes set, None deletes them."""
    return lambda uid: ct_slices(6, series=uid, **changes)


def each(change: Callable[[Dataset, int], object], **changes: object) -> Make:
    """A series in which every slice is changed by its index."""

    def make(uid: SeriesUID) -> Slices:
        slices = ct_slices(6, series=uid, **changes)
        for index, one in enumerate(slices):
            change(one, index)
        return slices

    return make


def encoded(syntax: UID) -> Make:
    """A series in another transfer syntax."""

    def change(one: Dataset, _: int) -> None:
        if syntax.is_compressed and syntax != DeflatedExplicitVRLittleEndian:
            one.compress(syntax, generate_instance_uid=False)
            return
        if syntax == ExplicitVRBigEndian:
            one.PixelData = np.frombuffer(one.PixelData, "<u2").astype(">u2").tobytes()
        one.file_meta.TransferSyntaxUID = syntax

    # As large as JPEG 2000 needs for its resolutions.
    return each(change, rows=64, columns=64)


def of_file(name: str) -> Make:
    """A series made of one of pydicom's files: the same pixels six times, 2 mm apart."""

    def make(uid: SeriesUID) -> Slices:
        slices = []
        for index in range(6):
            one = dcmread(PYDICOM / name)
            one.SeriesInstanceUID, one.SOPInstanceUID = uid, InstanceUID.derived("odd", uid, str(index))
            one.file_meta.MediaStorageSOPInstanceUID = one.SOPInstanceUID
            one.ImagePositionPatient = [*one.ImagePositionPatient[:2], 2.0 * index]
            one.InstanceNumber = index + 1
            slices.append(one)
        return slices

    return make


def rows_along(row: tuple[float, ...], column: tuple[float, ...], along: tuple[float, ...]) -> Make:
    """A series whose rows and columns run so, stacked along ``along``."""

    def change(one: Dataset, index: int) -> None:
        one.ImageOrientationPatient = [*row, *column]
        one.ImagePositionPatient = [round(2.0 * index * part, 6) for part in along]

    return each(change)


def signed(one: Dataset, _: int) -> None:
    """Pixels below nought, as scanners pad with -2000."""
    pixels = np.frombuffer(one.PixelData, "<u2").astype(np.int16) - 1024
    pixels[:4] = -2000
    one.PixelData, one.PixelRepresentation, one.RescaleIntercept = pixels.tobytes(), 1, 0
    one.BitsStored, one.HighBit = 16, 15


def wide(one: Dataset, _: int) -> None:
    """All of sixteen bits."""
    one.PixelData = (np.frombuffer(one.PixelData, "<u2") + 60_000).astype("<u2").tobytes()
    one.BitsStored, one.HighBit, one.RescaleIntercept = 16, 15, -61_024


def private(one: Dataset, _: int) -> None:
    """Two blocks of a vendor's own, one of them of a kind that nobody knows."""
    block = one.private_block(0x0029, "SOMEBODY INC", create=True)
    block.add_new(0x10, "OB", bytes(1000))
    block.add_new(0x11, "UN", b"\x01\x02\x03\x04")
    one.private_block(0x0009, "ÜBER", create=True).add_new(0x01, "LO", "häufig")


def nested(one: Dataset, _: int) -> None:
    """Sequences without a length, one in the other."""
    inner, outer = Dataset(), Dataset()
    inner.CodeValue, inner.CodingSchemeDesignator, inner.CodeMeaning = "T-D4000", "SRT", "Abdomen"
    inner.is_undefined_length_sequence_item = True
    outer.PurposeOfReferenceCodeSequence = Items([inner])
    outer["PurposeOfReferenceCodeSequence"].is_undefined_length = True
    outer.ReferencedSOPClassUID, outer.ReferencedSOPInstanceUID = "1.2.840.10008.5.1.4.1.1.2", "2.25.9"
    outer.is_undefined_length_sequence_item = True
    one.SourceImageSequence = Items([outer])
    one["SourceImageSequence"].is_undefined_length = True


def palette(one: Dataset, _: int) -> None:
    """Numbers of colours: no Hounsfield units, whatever the rescale says."""
    one.PhotometricInterpretation = "PALETTE COLOR"
    for colour in ("Red", "Green", "Blue"):
        setattr(one, f"{colour}PaletteColorLookupTableDescriptor", [4, 0, 16])
        setattr(one, f"{colour}PaletteColorLookupTableData", bytes(8))


def enhanced(uid: SeriesUID) -> Slices:
    """One object with all slices as frames."""
    (one,) = ct_slices(1, series=uid, SOPClassUID=EnhancedCTImageStorage)
    one.NumberOfFrames, one.PixelData = 6, one.PixelData * 6
    return [with_meta(one)]


def frames(uid: SeriesUID) -> Slices:
    """Several frames in each object of a class that has one."""
    return each(lambda one, _: one.update({"NumberOfFrames": 2, "PixelData": one.PixelData * 2}))(uid)


def not_run_lengths(one: Dataset, _: int) -> None:
    """Says RLE, and is not."""
    one.PixelData = encapsulate([b"no run lengths" * 10])
    one["PixelData"].VR = "OB"
    with_meta(one, RLELossless)


def thickness_beside_gap(uid: SeriesUID) -> Slices:
    """A slice in the middle is missing."""
    slices = ct_slices(7, series=uid)
    del slices[3]
    return slices


ODD: Final[dict[str, tuple[Make, Ended]]] = {
    # transfer syntaxes
    "implicit": (encoded(ImplicitVRLittleEndian), DONE),
    "big-endian": (encoded(ExplicitVRBigEndian), DONE),
    "rle": (encoded(RLELossless), DONE),
    "jpeg-ls": (encoded(JPEGLSLossless), DONE),
    "jpeg-2000": (encoded(JPEG2000Lossless), DONE),
    "deflated": (encoded(DeflatedExplicitVRLittleEndian), NOT_NEGOTIATED),
    # pixels
    "signed": (each(signed), DONE),
    "sixteen-bits": (each(wide), DONE),
    "palette": (each(palette), not_analysed(ReasonCode.NO_RESCALE)),
    "monochrome-1": (made(PhotometricInterpretation="MONOCHROME1"), DONE),
    "not-run-lengths": (each(not_run_lengths), held(ReasonCode.UNDECODABLE)),
    "frames": (frames, held(ReasonCode.UNDECODABLE)),
    "enhanced": (enhanced, NOT_NEGOTIATED),
    "pixels-missing": (made(PixelData=None), refused(0xC000)),
    # what is not there
    "sparse": (
        made(
            **dict.fromkeys(
                (
                    "ReferringPhysicianName",
                    "StudyID",
                    "AccessionNumber",
                    "Manufacturer",
                    "SliceThickness",
                    "RescaleType",
                    "SeriesNumber",
                    "StudyDate",
                    "StudyTime",
                    "PatientBirthDate",
                    "PatientSex",
                    "SpecificCharacterSet",
                )
            )
        ),
        DONE,
    ),
    "no-image-type": (made(ImageType=None), DONE),
    "no-instance-number": (made(InstanceNumber=None), DONE),
    "empty-instance-number": (made(InstanceNumber=""), DONE),
    "negative-instance-number": (each(lambda one, index: setattr(one, "InstanceNumber", -index)), DONE),
    "one-instance-number": (made(InstanceNumber=7), DONE),
    "no-rescale": (made(RescaleSlope=None), not_analysed(ReasonCode.NO_RESCALE)),
    "no-position": (made(ImagePositionPatient=None), not_analysed(ReasonCode.NO_GEOMETRY)),
    "no-patient": (made(PatientID="", PatientName=""), DONE),
    # what is there besides
    "private": (each(private), DONE),
    "nested": (each(nested), DONE),
    # names
    "chinese": (made(SpecificCharacterSet="GB18030", PatientName="Wang^XiaoDong=王^小东"), DONE),
    "japanese": (
        made(SpecificCharacterSet=["", "ISO 2022 IR 87"], PatientName="Yamada^Tarou=山田^太郎=やまだ^たろう"),
        DONE,
    ),
    "unknown-characters": (made(SpecificCharacterSet="ISO_IR 999"), DONE),
    # UIDs
    "longest-uids": (made(FrameOfReferenceUID="1.2." + "3" * 60), DONE),
    "leading-noughts": (made(StudyInstanceUID="1.2.003.4"), refused(0xC000)),
    "words-for-uids": (made(StudyInstanceUID="../../study"), refused(0xC000)),
    # geometry
    "hair-off": (made(ImageOrientationPatient=[1, 0.0001, 0, -0.0001, 1, 0]), DONE),
    "shaking": (
        each(lambda one, index: setattr(one, "ImageOrientationPatient", [1, index * 1e-6, 0, -index * 1e-6, 1, 0])),
        DONE,
    ),
    "decubitus": (rows_along((0, 1, 0), (-1, 0, 0), (0, 0, 1)), DONE),
    "feet-first": (rows_along((-1, 0, 0), (0, 1, 0), (0, 0, 1)), DONE),
    "prone-downwards": (rows_along((-1, 0, 0), (0, -1, 0), (0, 0, -1)), DONE),
    "tilted-gantry": (
        rows_along((1, 0, 0), (0, 0.9848, 0.1736), (0, 0, 1)),
        not_analysed(ReasonCode.MIXED_ORIENTATION),
    ),
    "coronal": (rows_along((1, 0, 0), (0, 0, -1), (0, 1, 0)), not_analysed(ReasonCode.NOT_AXIAL)),
    "gap": (thickness_beside_gap, not_analysed(ReasonCode.MISSING_SLICE)),
    "same-position": (
        each(lambda one, index: setattr(one, "ImagePositionPatient", [-10.0, -8.0, 2.0 * (index // 2)])),
        not_analysed(ReasonCode.DUPLICATE_POSITION),
    ),
    "thick": (
        each(lambda one, index: setattr(one, "ImagePositionPatient", [-10.0, -8.0, 8.0 * index])),
        not_analysed(ReasonCode.SLICE_THICKNESS),
    ),
    "one-slice": (lambda uid: ct_slices(1, series=uid), not_analysed(ReasonCode.TOO_FEW_SLICES)),
    "two-frames-of-reference": (
        each(lambda one, index: setattr(one, "FrameOfReferenceUID", f"2.25.{index // 3 + 1}")),
        not_analysed(ReasonCode.MIXED_GEOMETRY),
    ),
    # no CT
    "localizer": (made(ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"]), not_analysed(ReasonCode.LOCALIZER)),
    "reformat": (made(ImageType=["DERIVED", "SECONDARY", "MPR"]), not_analysed(ReasonCode.DERIVED_IMAGE)),
    "capture": (made(SOPClassUID=SecondaryCaptureImageStorage), not_analysed(ReasonCode.SECONDARY_CAPTURE)),
    "two-patients": (
        each(lambda one, index: setattr(one, "PatientID", f"PAT-{index // 3}")),
        held(ReasonCode.PATIENT_CONFLICT),
    ),
    # of pydicom's own files
    "CT_small": (of_file("CT_small.dcm"), DONE),
    "MR_small": (of_file("MR_small.dcm"), not_analysed(ReasonCode.NOT_CT)),
    "MR_small_bigendian": (of_file("MR_small_bigendian.dcm"), not_analysed(ReasonCode.NOT_CT)),
    "MR_small_RLE": (of_file("MR_small_RLE.dcm"), not_analysed(ReasonCode.NOT_CT)),
    "MR_small_jpeg_ls": (of_file("MR_small_jpeg_ls_lossless.dcm"), not_analysed(ReasonCode.NOT_CT)),
    "MR_small_jp2k": (of_file("MR_small_jp2klossless.dcm"), not_analysed(ReasonCode.NOT_CT)),
    "MR_small_padded": (of_file("MR_small_padded.dcm"), refused(0xC000)),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ODD)
def test_each_series_ends_as_it_should(place: Place, name: str) -> None:
    """Analysed and delivered, or not, with the code that a person can act on; the sender is told the truth."""
    make, due = ODD[name]
    uid = SeriesUID.derived("odd", name)
    assert place.send(name, make(uid), uid) == due


def test_a_good_series_after_them_is_analysed(place: Place) -> None:
    """The node has not been harmed."""
    uid = SeriesUID.derived("odd", "good")
    begun = time.monotonic()
    assert place.send("good", ct_slices(6, series=uid), uid) == DONE
    assert time.monotonic() - begun < ENDS_WITHIN_S
