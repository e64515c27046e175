"""Validation: what is refused at the door, each with its reason, and what is let in."""

from collections.abc import Callable
from importlib.resources import files
from io import BytesIO

import pytest
from pydicom import Dataset, dcmread
from pydicom.dataelem import RawDataElement
from pydicom.encaps import encapsulate, generate_frames
from pydicom.sequence import Sequence
from pydicom.tag import Tag
from pydicom.uid import (
    UID,
    Comprehensive3DSRStorage,
    CTImageStorage,
    EncapsulatedPDFStorage,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    ParametricMapStorage,
    RLELossless,
    RTStructureSetStorage,
)

from node.dicom import validation
from node.dicom.reading import instance_from
from node.dicom.status import REFUSAL_STATUS
from node.dicom.structure import DEEPEST_SEQUENCE
from node.dicom.validation import validate
from node.domain.imaging import Instance
from node.domain.reasons import ReasonCode
from node.errors import RefusedAtDoor
from tests.factories import as_file, ct_slice, with_meta

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:pydicom")  # these headers are odd on purpose

REAL = files("node.demo") / "data" / "ct" / "004.dcm"
SEG = files("node.demo") / "data" / "pancreas-stand-in.dcm"


def admit(content: bytes, like: Dataset) -> Instance:
    """The verdict on ``content``, announced as ``like``."""
    return validate(content, sop_class_uid=like.SOPClassUID, sop_instance_uid=like.SOPInstanceUID)


def reason(content: bytes, like: Dataset) -> ReasonCode:
    """Why ``content`` is refused; every reason is answered with a failure status."""
    with pytest.raises(RefusedAtDoor) as refused:
        admit(content, like)
    assert REFUSAL_STATUS[refused.value.reason.code] >= 0xA700
    return refused.value.reason.code


def encoded(image: Dataset, **save_as: bool) -> bytes:
    """The data set as a file, in the encoding asked for."""
    buffer = BytesIO()
    image.preamble = bytes(128)
    image.save_as(buffer, **save_as)
    return buffer.getvalue()


def native_file() -> bytes:
    """A real slice, uncompressed."""
    image = dcmread(REAL)
    image.decompress(generate_instance_uid=False)
    return encoded(image)


def implicit_file() -> bytes:
    """A real slice without value representations."""
    image = dcmread(REAL)
    image.decompress(generate_instance_uid=False)
    image.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    return encoded(image, implicit_vr=True)


def rle_file() -> bytes:
    """A real slice, run-length encoded."""
    image = dcmread(REAL)
    image.decompress(generate_instance_uid=False)
    image.compress(RLELossless, generate_instance_uid=False)
    return encoded(image)


KINDS: dict[str, Callable[[], bytes]] = {
    "native": native_file,
    "implicit": implicit_file,
    "rle": rle_file,
    "jpeg-2000": REAL.read_bytes,
}
every_kind = pytest.mark.parametrize("make", KINDS.values(), ids=KINDS.keys())


@every_kind
def test_a_whole_image_is_let_in(make: Callable[[], bytes]) -> None:
    """A real slice comes back as the instance that it is."""
    image = dcmread(REAL)
    found = admit(make(), image)
    assert (found.uid, found.series_uid, found.rows) == (image.SOPInstanceUID, image.SeriesInstanceUID, 512)


@every_kind
def test_a_file_that_ends_early_is_never_let_in(make: Callable[[], bytes]) -> None:
    """Wherever an image is cut, it is refused as unparseable or incomplete, never with another exception."""
    content, image = make(), dcmread(REAL)
    before_pixels = content.index(b"\xe0\x7f\x10\x00")
    cuts = [*range(0, before_pixels + 24, 3), *range(before_pixels + 24, len(content), len(content) // 60)]
    # The last four bytes of encapsulated pixels are the length of their delimiter, always 0: nothing of the image.
    cuts += range(len(content) - 20, len(content) - 4)
    expected = {ReasonCode.NOT_PARSEABLE, ReasonCode.PIXEL_DATA_LENGTH, ReasonCode.UID_INVALID}
    assert {reason(content[:cut], image) for cut in cuts} <= expected


def test_a_sequence_that_ends_early_inside_is_refused() -> None:
    """An element of an item that says it is longer than the item is refused."""
    item = Dataset()
    item.CodeMeaning = "Pancreas"
    image = ct_slice(AnatomicRegionSequence=Sequence([item]))
    content = as_file(image).replace(b"LO\x08\x00Pancreas", b"LO\x18\x00Pancreas")
    assert reason(content, image) is ReasonCode.NOT_PARSEABLE


@pytest.mark.parametrize("size", [0, 100, 132, 1000])
def test_what_is_no_dicom_is_refused(size: int) -> None:
    """Other bytes are not parseable."""
    assert reason(b"\x7f" * size, ct_slice()) is ReasonCode.NOT_PARSEABLE


def test_an_object_that_was_not_announced_is_refused() -> None:
    """The UIDs in the data set must be those of the request."""
    assert reason(as_file(ct_slice(0)), ct_slice(1)) is ReasonCode.UID_MISMATCH
    other_class = ct_slice()
    other_class.SOPClassUID = RTStructureSetStorage
    assert reason(as_file(ct_slice()), other_class) is ReasonCode.UID_MISMATCH


@pytest.mark.parametrize("keyword", ["SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID"])
@pytest.mark.parametrize("written", [None, b"", b"1..2", b"1.02.3", b"uid!", b"1." * 35 + b"12", b"1.2\\1.3"])
def test_identifiers_must_be_there_and_well_formed(keyword: str, written: bytes | None) -> None:
    """A missing, empty, malformed, overlong or repeated UID is refused."""
    image = ct_slice()
    if written is None:
        del image[keyword]
    else:
        image[keyword] = RawDataElement(Tag(keyword), "UI", len(written), written, 0, False, True)  # noqa: FBT003
    assert reason(encoded(image), ct_slice()) is ReasonCode.UID_INVALID


def test_a_file_of_all_that_this_node_accepts_is_not_too_large() -> None:
    """The largest CT slice in use is far below the limit."""
    assert validation.LARGEST_PIXELS_BYTES > 2 * 2048 * 2048


@pytest.mark.parametrize("encapsulated", [False, True])
def test_more_pixels_than_this_node_accepts_are_refused_unread(*, encapsulated: bool) -> None:
    """65535 x 65535 is refused by what the header says, whatever lies in the pixel data."""
    image = dcmread(REAL) if encapsulated else ct_slice()
    image.Rows = image.Columns = 65535
    assert reason(encoded(image), image) is ReasonCode.TOO_LARGE


@pytest.mark.parametrize("syntax", [JPEG2000Lossless, JPEGLSLossless])
def test_a_code_stream_larger_than_its_header_is_refused(syntax: UID) -> None:
    """A compressed image that claims to be larger than Rows x Columns never gets to a decoder."""
    image = ct_slice(rows=64, columns=64)
    image.compress(syntax, generate_instance_uid=False)
    stream = next(generate_frames(image.PixelData, number_of_frames=1))
    assert stream.count(b"\x00\x40\x00\x40") or stream.count(b"\x00\x00\x00\x40")
    grown = stream.replace(b"\x00\x00\x00\x40", b"\x00\x00\xff\xff").replace(b"\x00\x40\x00\x40", b"\xff\xff\xff\xff")
    image.PixelData = encapsulate([grown])
    assert reason(as_file(image), image) is ReasonCode.PIXEL_DATA_LENGTH


@pytest.mark.parametrize("lie", [-8, 8, 1000])
def test_a_fragment_must_be_as_long_as_it_says(lie: int) -> None:
    """A length that reaches beyond the element, or ends before it, is refused (PS3.5 section A.4)."""
    image = ct_slice(rows=64, columns=64)
    image.compress(JPEG2000Lossless, generate_instance_uid=False)
    pixels = image.PixelData
    start = pixels.index(b"\xff\x4f\xff\x51")
    length = int.from_bytes(pixels[start - 4 : start], "little")
    lying = pixels[: start - 4] + (length + lie).to_bytes(4, "little") + pixels[start:]
    assert reason(as_file(image).replace(pixels, lying), image) is ReasonCode.PIXEL_DATA_LENGTH


def test_pixels_that_are_not_of_their_transfer_syntax_are_refused() -> None:
    """Fragments without any code stream are refused."""
    image = ct_slice(PixelData=encapsulate([b"anything"]))
    image["PixelData"].is_undefined_length = True
    image["PixelData"].VR = "OB"
    assert reason(as_file(with_meta(image, JPEG2000Lossless)), image) is ReasonCode.PIXEL_DATA_LENGTH


@pytest.mark.parametrize("keyword", ["Rows", "Columns", "BitsAllocated"])
def test_pixels_without_their_size_are_refused(keyword: str) -> None:
    """Pixel data that nobody can make an image of are refused."""
    image = ct_slice(**{keyword: None})
    assert reason(as_file(image), image) is ReasonCode.PIXEL_DATA_LENGTH


@pytest.mark.parametrize(
    "changes", [{"Rows": 0}, {"Columns": 0}, {"NumberOfFrames": "-1"}, {"NumberOfFrames": "2"}, {"Rows": 17}], ids=str
)
def test_pixels_of_another_size_than_the_header_says_are_refused(changes: dict[str, object]) -> None:
    """Too few, too many and negative are refused alike."""
    image = ct_slice(**changes)
    assert reason(as_file(image), image) is ReasonCode.PIXEL_DATA_LENGTH


def test_an_image_without_pixels_is_refused() -> None:
    """An image SOP class without pixel data is incomplete, whether or not its size is there."""
    without = ct_slice(PixelData=None)
    assert reason(as_file(without), without) is ReasonCode.PIXEL_DATA_LENGTH
    cut_off = ct_slice(PixelData=None, Rows=None, Columns=None)
    assert reason(as_file(cut_off), cut_off) is ReasonCode.PIXEL_DATA_LENGTH


def test_an_odd_number_of_bytes_may_be_padded() -> None:
    """Eight-bit pixels of an odd number carry one byte of padding (PS3.5 section 8.1.1)."""
    image = ct_slice(rows=3, columns=3, PixelData=bytes(10))
    image.BitsAllocated, image.BitsStored, image.HighBit = 8, 8, 7
    assert admit(as_file(image), image).rows == 3


def test_a_rows_element_of_the_wrong_representation_is_refused() -> None:
    """A header that lies about its own types raises nothing but a refusal."""
    image = ct_slice()
    content = as_file(image).replace(b"\x28\x00\x10\x00US\x02\x00\x10\x00", b"\x28\x00\x10\x00LO\x02\x00ab")
    assert reason(content, image) is ReasonCode.PIXEL_DATA_LENGTH


def nested(levels: int, *, undefined: bool) -> Dataset:
    """A CT image whose content sequence is ``levels`` deep."""
    image = ct_slice()
    inner = Dataset()
    inner.TextValue = "x"
    for _ in range(levels):
        outer = Dataset()
        outer.ContentSequence = Sequence([inner])
        inner.is_undefined_length_sequence_item = undefined
        outer["ContentSequence"].is_undefined_length = undefined
        inner = outer
    image["ContentSequence"] = inner["ContentSequence"]
    return image


@pytest.mark.parametrize("undefined", [False, True])
def test_sequences_deeper_than_anyone_needs_are_refused(*, undefined: bool) -> None:
    """Nesting is allowed to a limit, whether the lengths are given or not."""
    deepest = nested(DEEPEST_SEQUENCE, undefined=undefined)
    assert admit(as_file(deepest), deepest).rows == 16
    deeper = nested(DEEPEST_SEQUENCE + 1, undefined=undefined)
    assert reason(as_file(deeper), deeper) is ReasonCode.TOO_DEEP


def test_sequences_without_bottom_are_refused() -> None:
    """Two thousand levels, none of which ends, are not followed to the bottom."""
    image = ct_slice()
    opening = b"\x40\x00\x30\xa7SQ\x00\x00\xff\xff\xff\xff\xfe\xff\x00\xe0\xff\xff\xff\xff"
    content = as_file(image)
    at = content.index(b"\xe0\x7f\x10\x00")
    assert reason(content[:at] + opening * 2000 + content[at:], image) is ReasonCode.TOO_DEEP


def test_a_segmentation_is_let_in() -> None:
    """Contours come as SEG, with the series that they reference."""
    seg = dcmread(SEG)
    found = admit(SEG.read_bytes(), seg)
    assert found.modality == "SEG"
    assert found.references == (seg.ReferencedSeriesSequence[0].SeriesInstanceUID,)


@pytest.mark.parametrize(
    ("sop_class", "modality"),
    [(RTStructureSetStorage, "RTSTRUCT"), (Comprehensive3DSRStorage, "SR"), (EncapsulatedPDFStorage, "DOC")],
)
def test_objects_that_are_no_images_are_let_in(sop_class: str, modality: str) -> None:
    """Structure sets, reports and documents have no pixels to miss."""
    absent = dict.fromkeys(("PixelData", "Rows", "Columns", "BitsAllocated"))
    made = with_meta(ct_slice(SOPClassUID=sop_class, Modality=modality, **absent))
    assert admit(as_file(made), made).modality == modality


def test_floating_point_pixels_are_pixels() -> None:
    """A parametric map keeps its pixels in an element of its own (PS3.3 section C.7.6.24)."""
    made = with_meta(ct_slice(SOPClassUID=ParametricMapStorage, Modality="OT", PixelData=None, BitsAllocated=32))
    made.FloatPixelData = bytes(16 * 20 * 4)
    assert admit(as_file(made), made).sop_class_uid == ParametricMapStorage
    made.FloatPixelData = bytes(16 * 20 * 2)
    assert reason(as_file(made), made) is ReasonCode.PIXEL_DATA_LENGTH


def test_a_refusal_says_nothing_of_the_patient() -> None:
    """The detail of a refusal names attributes and counts, never values."""
    image = ct_slice(PatientName="Secret^Person", PatientID="HIDDEN")
    for broken in (as_file(image)[:-9], as_file(image)[:600], as_file(image)[:-9] + b"HIDDEN"):
        with pytest.raises(RefusedAtDoor) as refused:
            admit(broken, image)
        assert "HIDDEN" not in str(refused.value)
        assert "Secret" not in str(refused.value)


def test_the_patient_of_a_ct_is_in_the_instance() -> None:
    """Identity is taken from the data set, whatever the file is called."""
    image = ct_slice()
    assert admit(as_file(image), image).patient.key() == ("PAT-1", "HOSPITAL")
    assert admit(as_file(image), image).sop_class_uid == CTImageStorage


def test_uncompressed_pixels_may_share_their_colours() -> None:
    """YBR_FULL_422 has four bytes for two pixels, and no other number (PS3.3 section C.7.6.3.1.2)."""
    changes = {"SamplesPerPixel": 3, "BitsAllocated": 8, "PhotometricInterpretation": "YBR_FULL_422"}
    image = ct_slice(rows=4, columns=6, PixelData=bytes(4 * 6 * 2), **changes)
    assert admit(as_file(image), image)
    image.PixelData = bytes(4 * 6 * 3)
    assert reason(as_file(image), image) is ReasonCode.PIXEL_DATA_LENGTH


def test_references_without_end_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is read at the door is bounded by itself: its elements become objects."""
    monkeypatch.setattr(validation, "MOST_READ_ELEMENTS", 200)
    image = ct_slice()
    item = b"\xfe\xff\x00\xe0\x00\x00\x00\x00"
    content = as_file(image)
    at = content.index(b"\x10\x00\x10\x00PN")

    def references(count: int) -> bytes:
        head = b"\x08\x00\x15\x11SQ\x00\x00" + (8 * count).to_bytes(4, "little")
        return content[:at] + head + item * count + content[at:]

    assert admit(references(100), image)
    assert reason(references(200), image) is ReasonCode.TOO_LARGE


def test_an_image_with_a_jp2_header_begins_with_it() -> None:
    """However long that header is, the code stream behind it is found (ITU-T T.800 annex I)."""
    image = ct_slice(rows=64, columns=64)
    image.compress(JPEG2000Lossless, generate_instance_uid=False)
    stream = next(generate_frames(image.PixelData, number_of_frames=1))
    image.PixelData = encapsulate([b"\x00\x00\x00\x0cjP  \r\n\x87\n" + bytes(2000) + stream])
    assert admit(as_file(image), image)


@pytest.mark.parametrize("implicit", [False, True])
def test_a_header_of_plain_text_is_read_as_pydicom_reads_it(implicit: bool) -> None:
    """Element by element from the bytes, or by pydicom as a whole: the same instance."""
    content = implicit_file() if implicit else native_file()
    dataset = dcmread(BytesIO(content))
    assert admit(content, dataset) == instance_from(dataset, dataset.file_meta.TransferSyntaxUID)


def test_one_value_that_is_not_plain_spoils_no_other() -> None:
    """A name in another repertoire is decoded, and the rest is as it was."""
    image = ct_slice(SpecificCharacterSet="ISO_IR 100", PatientName="M\xfcller^Zo\xeb")
    made = admit(as_file(image), image)
    assert made.patient.name == "M\xfcller^Zo\xeb"
    assert (made.rows, made.modality) == (image.Rows, "CT")


def test_no_samples_are_no_pixels() -> None:
    """Zero is a value, and not the absence of one."""
    image = ct_slice(SamplesPerPixel=0)
    assert reason(as_file(image), image) is ReasonCode.PIXEL_DATA_LENGTH


def test_a_vr_that_there_is_not_is_refused() -> None:
    """Even where nothing else hangs on the element."""
    image = ct_slice(AcquisitionTime="")
    content = as_file(image)
    at = content.index(b"\x08\0\x32\0TM")
    broken = content[: at + 4] + b"T\x0c" + content[at + 6 :]
    assert reason(broken, image) is ReasonCode.NOT_PARSEABLE
