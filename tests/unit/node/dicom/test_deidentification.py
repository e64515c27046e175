"""De-identified CT images: judged by table E.1-1 of PS3.15 as others have written it down."""

from datetime import date
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from dicomanonymizer.dicomfields_selector import dicom_anonymization_database_selector
from pydicom import Dataset, dcmread
from pydicom.datadict import dictionary_has_tag, dictionary_VR
from pydicom.dataelem import DataElement
from pydicom.sequence import Sequence as Items
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, RLELossless

from node.dicom.deidentification import DATES, NotExported, deidentify
from node.domain.pseudonyms import Pseudonyms
from tests.factories import PATIENT, ct_slice, ct_slices, write

TABLE = dicom_anonymization_database_selector("dicomfields_2026c")
PSEUDONYMS = Pseudonyms(b"k" * 32)
SECRET = "Xyzzy"  # noqa: S105 — a word to look for
"""What must be nowhere in the result."""
DUMMIES = {"PatientID", "PatientName"}
"""Replaced by the pseudonym."""


def covers(rows: list[tuple[int, ...]], element: DataElement) -> bool:
    """Whether an element is in rows of the table, some of which are masks."""
    group, number = element.tag.group, element.tag.element
    return any(
        (group & row[2], number & row[3]) == (row[0] & row[2], row[1] & row[3])
        if len(row) == 4
        else (group, number) == row
        for row in rows
    )


def laden(**changes: object) -> Dataset:
    """An image with every attribute of the table that text can be put into, a private block, an overlay and a curve."""
    image = ct_slice()
    secret = Dataset()
    secret.PatientName = SECRET
    for rows in TABLE.values():
        for row in rows:
            if len(row) == 2 and row[0] > 2 and row not in image:
                _fill(image, row, secret)
    image.private_block(0x0019, f"{SECRET} vendor", create=True).add_new(1, "LO", SECRET)
    image.add_new((0x6000, 0x3000), "OW", SECRET.encode() + b"!")
    image.add_new((0x6000, 0x4000), "LT", SECRET)
    image.RequestAttributesSequence = Items([secret])
    image.SeriesDescription = image.ProtocolName = SECRET
    for keyword in DATES:
        setattr(image, keyword, "20240506")
    for keyword, value in changes.items():
        setattr(image, keyword, value)
    return image


def _fill(image: Dataset, row: tuple[int, ...], secret: Dataset) -> None:
    """Put something secret into an attribute, in its own VR where that can hold text."""
    vr = dictionary_VR(row) if dictionary_has_tag(row) else "LO"
    if vr == "SQ":
        image.add_new(row, vr, Items([secret]))
    elif vr == "UI":
        image.add_new(row, vr, "1.2.3.4")
    elif vr in ("LO", "SH", "LT", "ST", "PN", "UT", "UC", "AE", "CS"):
        image.add_new(row, vr, SECRET)


def result(tmp_path: Path, image: Dataset) -> Dataset:
    """The image as it leaves, read back."""
    (path,) = write([image], tmp_path)
    buffer = BytesIO()
    deidentify(path, PATIENT.key(), PSEUDONYMS).save_as(buffer, enforce_file_format=True)
    assert SECRET.encode() not in buffer.getvalue()
    assert PATIENT.patient_id.encode() not in buffer.getvalue()
    buffer.seek(0)
    return dcmread(buffer)


def test_every_attribute_is_as_the_profile_wants_it(tmp_path: Path) -> None:
    """Removed, emptied, replaced or, with the option for dates, moved: whatever the image was laden with."""
    made = result(tmp_path, laden())
    seen = 0
    for element in made:
        if element.keyword in (*DATES, *DUMMIES):
            continue
        if covers(TABLE["U_TAGS"], element):
            assert element.value.startswith("2.25."), element
            seen += 1
        elif any(covers(TABLE[name], element) for name in ("X_TAGS", "Z_TAGS", "X_Z_TAGS", "Z_D_TAGS", "D_TAGS")):
            assert element.is_empty, element
            seen += 1
        else:
            assert not any(covers(rows, element) for rows in TABLE.values()), element
    assert seen > 5
    assert not any(element.tag.is_private or element.tag.group in range(0x5000, 0x7000) for element in made)


def test_what_the_pixels_need_stays(tmp_path: Path) -> None:
    """Geometry, rescaling and every pixel."""
    image = laden()
    made = result(tmp_path, image)
    assert made.PixelData == image.PixelData
    for keyword in ("Rows", "Columns", "PixelSpacing", "ImagePositionPatient", "ImageOrientationPatient"):
        assert made[keyword].value == image[keyword].value
    assert (made.RescaleIntercept, made.RescaleSlope, made.SliceThickness) == (-1024, 1, 2.0)


def test_it_says_what_was_done(tmp_path: Path) -> None:
    """By code (PS3.16 CID 7050), and that dates were moved."""
    made = result(tmp_path, laden())
    assert (made.PatientIdentityRemoved, made.LongitudinalTemporalInformationModified) == ("YES", "MODIFIED")
    assert [code.CodeValue for code in made.DeidentificationMethodCodeSequence] == ["113100", "113107"]
    assert made.StudyDate == f"{PSEUDONYMS.moved(date(2024, 5, 6), PATIENT.key()):%Y%m%d}"
    assert made.PatientID == PSEUDONYMS.patient(PATIENT.key())


def test_images_of_one_series_stay_one_series(tmp_path: Path) -> None:
    """One study, series and frame of reference; as many images; none of the old identifiers."""
    images = ct_slices(3)
    made = [deidentify(path, PATIENT.key(), PSEUDONYMS) for path in write(images, tmp_path)]
    for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID"):
        assert len({one[keyword].value for one in made}) == 1
        assert made[0][keyword].value != images[0][keyword].value
    assert len({one.SOPInstanceUID for one in made}) == 3


def test_compressed_images_leave_uncompressed(tmp_path: Path) -> None:
    """A codestream can hold comments that nobody sees."""
    image = ct_slice()
    plain = np.array(image.pixel_array)
    image.compress(RLELossless, generate_instance_uid=False)
    made = result(tmp_path, image)
    assert made.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
    assert np.array_equal(made.pixel_array, plain)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"BurnedInAnnotation": "YES"}, "BURNED_IN"),
        ({"ImageType": ["DERIVED", "SECONDARY"]}, "NOT_ORIGINAL_CT"),
        ({"ImageType": ["ORIGINAL", "SECONDARY", "AXIAL"]}, "NOT_ORIGINAL_CT"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.7"}, "NOT_ORIGINAL_CT"),
    ],
)
def test_what_may_have_text_in_its_pixels_is_kept_back(tmp_path: Path, changes: dict[str, object], why: str) -> None:
    """Screenshots, dose sheets, reformats and what says so itself."""
    (path,) = write([ct_slice(**changes)], tmp_path)
    with pytest.raises(NotExported, match=why):
        deidentify(path, PATIENT.key(), PSEUDONYMS)


def test_what_cannot_be_decoded_is_kept_back(tmp_path: Path) -> None:
    """A codestream that is none, and bytes in the other order."""
    broken = ct_slice()
    broken.compress(RLELossless, generate_instance_uid=False)
    broken.PixelData = broken.PixelData[:20]
    broken["PixelData"].is_undefined_length = True
    (path,) = write([broken], tmp_path)
    with pytest.raises(NotExported, match="UNDECODABLE"):
        deidentify(path, PATIENT.key(), PSEUDONYMS)
    swapped = ct_slice()
    swapped.file_meta.TransferSyntaxUID = ExplicitVRBigEndian
    swapped.save_as(tmp_path / "swapped.dcm", little_endian=False, implicit_vr=False, enforce_file_format=True)
    with pytest.raises(NotExported, match="UNDECODABLE"):
        deidentify(tmp_path / "swapped.dcm", PATIENT.key(), PSEUDONYMS)
