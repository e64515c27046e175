"""Reading: headers as domain values, pixels as Hounsfield units, and whether two files hold the same object."""

import shutil
import subprocess
from collections.abc import Callable, Sequence
from importlib.resources import as_file, files
from pathlib import Path

import numpy as np
import pytest
import SimpleITK
from pydicom import Dataset, dcmread
from pydicom.dataelem import RawDataElement
from pydicom.encaps import encapsulate
from pydicom.sequence import Sequence as Items
from pydicom.tag import Tag
from pydicom.uid import (
    UID,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from node.dicom.reading import AIR_HU, instance_from, parse, read_header, read_hounsfield, same_content
from node.domain.imaging import PatientIdentity
from node.domain.reasons import ReasonCode
from node.domain.stacking import Stack, stack
from node.errors import Quarantined, Refused, Retryable
from tests.factories import SERIES, STUDY, ct_slice, ct_slices, instance, with_meta, write
from tests.factories import as_file as file_of
from tests.fakes import HERE
from tests.servers import require
from workers.steps.assemble import assemble

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:pydicom")  # these headers are odd on purpose

Transcode = Callable[[Path, Path], None]


def native(syntax: UID) -> Transcode:
    """Uncompressed, in little endian (PS3.5 annexes A.1 and A.2)."""

    def transcode(source: Path, target: Path) -> None:
        image = dcmread(source)
        if image.file_meta.TransferSyntaxUID.is_encapsulated:
            image.decompress(generate_instance_uid=False)
        image.file_meta.TransferSyntaxUID = syntax
        image.save_as(target, implicit_vr=syntax.is_implicit_VR)

    return transcode


def dcmtk(program: str, *options: str) -> Transcode:
    """Transcoded by DCMTK."""

    def transcode(source: Path, target: Path) -> None:
        native(ExplicitVRLittleEndian)(source, target)
        subprocess.run([require(program, shutil.which(program)), *options, target, target], check=True, timeout=30)

    return transcode


def pydicom(syntax: UID) -> Transcode:
    """Compressed by pydicom with the encoders that come with Celadon's decoders."""

    def transcode(source: Path, target: Path) -> None:
        image = dcmread(source)
        if image.file_meta.TransferSyntaxUID.is_encapsulated:
            image.decompress(generate_instance_uid=False)
        image.compress(syntax, generate_instance_uid=False)
        image.save_as(target)

    return transcode


ENCODERS = {
    "implicit-vr": (ImplicitVRLittleEndian, native(ImplicitVRLittleEndian)),
    "explicit-vr": (ExplicitVRLittleEndian, native(ExplicitVRLittleEndian)),
    "big-endian": (ExplicitVRBigEndian, dcmtk("dcmconv", "+tb")),
    "rle-dcmtk": (RLELossless, dcmtk("dcmcrle")),
    "rle-pydicom": (RLELossless, pydicom(RLELossless)),
    "jpeg-57-dcmtk": (JPEGLossless, dcmtk("dcmcjpeg", "+el")),
    "jpeg-70-dcmtk": (JPEGLosslessSV1, dcmtk("dcmcjpeg", "+e1")),
    "jpeg-ls-dcmtk": (JPEGLSLossless, dcmtk("dcmcjpls")),
    "jpeg-ls-pydicom": (JPEGLSLossless, pydicom(JPEGLSLossless)),
    "jpeg-2000-pydicom": (JPEG2000Lossless, pydicom(JPEG2000Lossless)),
}
every_syntax = pytest.mark.parametrize(("syntax", "transcode"), ENCODERS.values(), ids=ENCODERS.keys())


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The bundled real CT slices (JPEG 2000 lossless), from the lowest up."""
    folder = tmp_path_factory.mktemp("real")
    with as_file(files("node.demo") / "data" / "ct") as data:
        return sorted(Path(shutil.copytree(data, folder / "ct")).glob("*.dcm"))


@pytest.fixture(scope="module")
def real_hu(real: list[Path]) -> np.ndarray:
    """What the middle bundled slice holds, decoded by GDCM inside SimpleITK rather than by us."""
    return SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(real[5])))[0].astype(np.float32)


def stored(dataset: Dataset, folder: Path) -> Path:
    """The data set as a file."""
    return write([dataset], folder)[0]


def signed_slice(values: np.ndarray, **changes: object) -> Dataset:
    """A slice of 16-bit signed pixels."""
    image = ct_slice(rows=values.shape[0], columns=values.shape[1], PixelData=values.astype("<i2").tobytes())
    image.BitsStored, image.HighBit, image.PixelRepresentation = 16, 15, 1
    for keyword, value in changes.items():
        setattr(image, keyword, value)
    return image


@every_syntax
def test_a_real_slice_gives_the_same_hounsfield_units_in_every_transfer_syntax(
    syntax: UID, transcode: Transcode, real: list[Path], real_hu: np.ndarray, tmp_path: Path
) -> None:
    """Lossless transfer syntaxes change nothing: each decodes to what another toolkit reads from the original."""
    transcode(real[5], tmp_path / "image.dcm")
    assert dcmread(tmp_path / "image.dcm").file_meta.TransferSyntaxUID == syntax
    np.testing.assert_array_equal(read_hounsfield(tmp_path / "image.dcm"), real_hu)


@every_syntax
def test_negative_stored_values_survive_every_transfer_syntax(
    syntax: UID, transcode: Transcode, tmp_path: Path
) -> None:
    """Signed pixels over their whole range, with a slope that is not one, come out exactly."""
    values = np.random.default_rng(1).integers(-32768, 32768, (33, 47))
    source = stored(signed_slice(values, RescaleSlope="0.5", RescaleIntercept="-10"), tmp_path / "source")
    transcode(source, tmp_path / "image.dcm")
    assert dcmread(tmp_path / "image.dcm").file_meta.TransferSyntaxUID == syntax
    np.testing.assert_array_equal(read_hounsfield(tmp_path / "image.dcm"), values.astype(np.float32) * 0.5 - 10)


def test_bits_above_the_stored_ones_are_not_part_of_the_value(tmp_path: Path) -> None:
    """Overlay bits in the unused high bits (PS3.5 section 8.1.1) do not change a pixel."""
    values = np.random.default_rng(2).integers(0, 4096, (16, 20)).astype("<u2")
    path = stored(ct_slice(PixelData=(values | 0xA000).tobytes()), tmp_path)
    np.testing.assert_array_equal(read_hounsfield(path), values.astype(np.float32) - 1024)


def test_the_bundled_series_is_the_volume_that_simpleitk_reads(real: list[Path]) -> None:
    """GDCM inside SimpleITK gives the same voxels, spacing, origin and direction as stack and assemble."""
    instances = [instance_from(read_header(path), "", path) for path in reversed(real)]
    made = stack(instances)
    assert isinstance(made, Stack)
    volume = assemble(made, HERE)
    reader = SimpleITK.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(real[0].parent)))
    image = reader.Execute()
    np.testing.assert_array_equal(volume.hu, SimpleITK.GetArrayFromImage(image))
    np.testing.assert_allclose(volume.geometry.spacing_xyz_mm, image.GetSpacing(), atol=1e-4)
    np.testing.assert_allclose(volume.geometry.origin_lps_mm, image.GetOrigin(), atol=1e-4)
    direction = np.reshape(image.GetDirection(), (3, 3)).T
    np.testing.assert_allclose(volume.geometry.direction, direction, atol=1e-4)


def test_stacking_does_not_depend_on_the_order_of_arrival(real: list[Path]) -> None:
    """Slices are ordered by their position in space, whatever order they came in."""
    instances = [instance_from(read_header(path), "", path) for path in real]
    shuffled = [instances[index] for index in np.random.default_rng(3).permutation(len(instances))]
    first, second = stack(instances), stack(shuffled)
    assert isinstance(first, Stack)
    assert isinstance(second, Stack)
    assert (first.instances, first.geometry) == (second.instances, second.geometry)


def test_padding_becomes_air(tmp_path: Path) -> None:
    """Pixels that hold the padding value are air, not what the rescale makes of them."""
    values = np.array([[-2000, 0], [40, -2000]])
    path = stored(signed_slice(values, RescaleIntercept="0", PixelPaddingValue=-2000), tmp_path)
    np.testing.assert_array_equal(read_hounsfield(path), [[AIR_HU, 0], [40, AIR_HU]])


def test_padding_written_as_unsigned_for_signed_pixels_is_understood(tmp_path: Path) -> None:
    """63536 in VR US is the same sixteen bits as -2000: some scanners write it so."""
    image = signed_slice(np.array([[-2000, 40]]), RescaleIntercept="0")
    image.add_new("PixelPaddingValue", "US", 63536)
    np.testing.assert_array_equal(read_hounsfield(stored(image, tmp_path)), [[AIR_HU, 40]])


@pytest.mark.parametrize(("value", "limit"), [(-2000, -1990), (-1990, -2000)])
def test_a_range_of_padding_becomes_air(value: int, limit: int, tmp_path: Path) -> None:
    """With a Pixel Padding Range Limit everything between, both ends included, is padding."""
    image = signed_slice(np.array([[-2001, -2000, -1995, -1990, -1989]]), RescaleIntercept="0")
    image.PixelPaddingValue, image.PixelPaddingRangeLimit = value, limit
    np.testing.assert_array_equal(read_hounsfield(stored(image, tmp_path)), [[-2001, AIR_HU, AIR_HU, AIR_HU, -1989]])


@pytest.mark.parametrize("keyword", ["RescaleSlope", "RescaleIntercept"])
@pytest.mark.parametrize("written", [None, b"    ", b"abcd", b"1\\2 ", b"nan ", b"inf "])
def test_without_a_usable_rescale_there_are_no_hounsfield_units(
    keyword: str, written: bytes | None, tmp_path: Path
) -> None:
    """A slope or intercept that is missing, empty, several or no finite number is refused with NO_RESCALE."""
    if written is None:
        content = file_of(ct_slice(**{keyword: None}))
    else:
        content = file_of(ct_slice(**{keyword: "1234"})).replace(b"DS\x04\x001234", b"DS\x04\x00" + written)
        assert written in content
    (tmp_path / "image.dcm").write_bytes(content)
    with pytest.raises(Refused) as refused:
        read_hounsfield(tmp_path / "image.dcm")
    assert refused.value.reason.code is ReasonCode.NO_RESCALE


def test_a_slope_of_zero_is_no_rescale(tmp_path: Path) -> None:
    """A slope that makes every voxel the same is refused."""
    with pytest.raises(Refused) as refused:
        read_hounsfield(stored(ct_slice(RescaleSlope=0), tmp_path))
    assert refused.value.reason.code is ReasonCode.NO_RESCALE


@pytest.mark.parametrize("syntax", [JPEG2000Lossless, JPEGLosslessSV1, JPEGLSLossless, RLELossless])
def test_undecodable_pixels_are_held_for_a_person(syntax: UID, tmp_path: Path) -> None:
    """What no decoder can read is quarantined; the reason names the transfer syntax and nothing of the patient."""
    image = ct_slice(PixelData=encapsulate([b"\xff\xd8Made^Up PAT-1\xff\xd9"]))
    image["PixelData"].VR = "OB"
    image["PixelData"].is_undefined_length = True
    path = stored(with_meta(image, syntax), tmp_path)
    with pytest.raises(Quarantined) as held:
        read_hounsfield(path)
    assert held.value.reason.code is ReasonCode.UNDECODABLE
    assert held.value.reason.detail.startswith(UID(syntax).name)
    assert "PAT-1" not in str(held.value)
    assert "Made" not in str(held.value)


@pytest.mark.parametrize("interpretation", ["PALETTE COLOR", "RGB", "YBR_FULL"])
def test_colours_are_no_hounsfield_units(interpretation: str, tmp_path: Path) -> None:
    """Whatever rescale stands beside them."""
    path = write([ct_slice(PhotometricInterpretation=interpretation)], tmp_path)[0]
    with pytest.raises(Refused) as refused:
        read_hounsfield(path)
    assert refused.value.reason.code is ReasonCode.NO_RESCALE


def test_a_stored_file_that_is_broken_is_held_for_a_person(tmp_path: Path) -> None:
    """A file that the disk gives back as something else than DICOM is quarantined as undecodable."""
    (tmp_path / "image.dcm").write_bytes(b"no DICOM at all")
    with pytest.raises(Quarantined) as held:
        read_hounsfield(tmp_path / "image.dcm")
    assert held.value.reason.code is ReasonCode.UNDECODABLE


def test_a_disk_that_does_not_give_the_file_is_tried_again(tmp_path: Path) -> None:
    """What the operating system cannot read now says nothing against the image."""
    with pytest.raises(Retryable):
        read_hounsfield(tmp_path)


def test_the_header_becomes_a_domain_value() -> None:
    """Identity, geometry, modality and the attributes that rules look at are taken over."""
    found = instance(ct_slice(3))
    assert (found.series_uid, found.study_uid, found.modality) == (SERIES, STUDY, "CT")
    assert found.patient == PatientIdentity("PAT-1", "HOSPITAL", "Made^Up", "19600101", "F")
    assert found.image_position_mm == (-10.0, -8.0, 106.0)
    assert found.image_orientation == (1, 0, 0, 0, 1, 0)
    assert (found.pixel_spacing_mm, found.rows, found.columns) == ((0.8, 0.8), 16, 20)
    assert found.attributes["ImageType"] == "ORIGINAL\\PRIMARY\\AXIAL"
    assert float(found.attributes["RescaleIntercept"]) == -1024


def test_a_private_or_unlisted_attribute_stays_in_the_file() -> None:
    """Only listed attributes are copied out: comments, which may name people, are not."""
    assert "PatientComments" not in instance(ct_slice(PatientComments="calls herself Anna")).attributes


@pytest.mark.parametrize(
    ("keyword", "field", "values"),
    [
        (
            "ImagePositionPatient",
            "image_position_mm",
            [b"1\\2 ", b"a\\b\\c ", b"1\\2\\nan", b"1\\2\\inf", b"1\\2\\3\\4", b""],
        ),
        ("PixelSpacing", "pixel_spacing_mm", [b"0.8 ", b"a\\b ", b"0.8\\0.8\\1"]),
        ("ImageOrientationPatient", "image_orientation", [b"1\\0\\0\\0\\1 ", b"1\\0\\0\\0\\1\\x "]),
    ],
    ids=["position", "spacing", "orientation"],
)
def test_a_value_that_its_own_representation_does_not_allow_counts_as_absent(
    keyword: str, field: str, values: Sequence[bytes]
) -> None:
    """Too few, too many, not finite, not numbers: such geometry is no geometry, and raises nothing."""
    for written in values:
        image = ct_slice()
        image[keyword] = RawDataElement(Tag(keyword), "DS", len(written), written, 0, False, True)  # noqa: FBT003
        assert getattr(instance(image), field) is None, written


@pytest.mark.parametrize("keyword", ["Rows", "Columns"])
def test_a_size_that_is_no_number_counts_as_none(keyword: str) -> None:
    """Rows and columns that cannot be read are 0: the instance is not an image."""
    image = ct_slice()
    image[keyword] = RawDataElement(Tag(keyword), "LO", 4, b"many", 0, False, True)  # noqa: FBT003
    assert 0 in (instance(image).rows, instance(image).columns)


def test_neither_surrogates_nor_nul_characters_get_out() -> None:
    """What no database can hold is replaced, and two different values stay different."""
    names = []
    for odd in ("\udcff", "\udcfe"):
        dataset = ct_slice()
        dataset.PatientID = f"A{odd}B\x00C"
        names.append(instance(dataset).patient.patient_id)
    for name in names:
        assert name.encode("utf-8").startswith(b"A")
        assert "\x00" not in name
    assert names[0] != names[1]


def test_an_endless_value_is_cut() -> None:
    """A description of a megabyte does not become a megabyte in the database."""
    assert len(instance(ct_slice(SeriesDescription="x" * 10**6)).attributes["SeriesDescription"]) == 256


@pytest.mark.parametrize("keyword", ["SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID"])
def test_without_well_formed_identifiers_there_is_no_instance(keyword: str) -> None:
    """A missing or malformed UID is a ValueError."""
    image = ct_slice()
    for broken in ("", "1.02.3", "1..2", "1." * 32 + "12", "one"):
        setattr(image, keyword, broken)
        with pytest.raises(ValueError, match="UID"):
            instance_from(image, "")


@every_syntax
def test_the_same_object_in_another_transfer_syntax_is_the_same(
    syntax: UID, transcode: Transcode, tmp_path: Path
) -> None:
    """An object that comes again recompressed, or without value representations, is a duplicate and no conflict."""
    image = ct_slice(rows=64, columns=48, PixelPaddingValue=0)
    block = image.private_block(0x0029, "ACME", create=True)
    block.add_new(1, "DS", "1.5")
    block.add_new(2, "LO", "odd")
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = "15776009", "SCT", "Pancreas"
    image.AnatomicRegionSequence = Items([item])
    source = stored(image, tmp_path / "source")
    transcode(source, tmp_path / "image.dcm")
    assert same_content(source, tmp_path / "image.dcm")
    assert same_content(tmp_path / "image.dcm", source)


def test_one_pixel_makes_another_object(tmp_path: Path) -> None:
    """The same header over pixels that differ in one value is other content."""
    image = ct_slice()
    values = np.frombuffer(image.PixelData, "<u2").copy()
    values[7] += 1
    one = stored(image, tmp_path / "one")
    assert not same_content(one, stored(ct_slice(PixelData=values.tobytes()), tmp_path / "other"))


@pytest.mark.parametrize(
    "changes",
    [{"PatientID": "PAT-2"}, {"RescaleIntercept": "-1000"}, {"PatientComments": "new"}, {"AccessionNumber": None}],
    ids=str,
)
def test_one_element_makes_another_object(changes: dict[str, str | None], tmp_path: Path) -> None:
    """The same pixels under a header that differs in one element, or has one more or less, are other content."""
    one = stored(ct_slice(), tmp_path / "one")
    assert not same_content(one, stored(ct_slice(**changes), tmp_path / "other"))


def test_an_element_deep_inside_makes_another_object(tmp_path: Path) -> None:
    """Sequences are compared item by item; one item more is another object too."""
    paths = []
    for number, meanings in enumerate((["Pancreas"], ["Stomach"], ["Pancreas", "Stomach"])):
        image = ct_slice(AnatomicRegionSequence=Items([Dataset() for _ in meanings]))
        for item, meaning in zip(image.AnatomicRegionSequence, meanings, strict=True):
            item.CodeMeaning = meaning
        paths.append(stored(image, tmp_path / str(number)))
    pancreas, stomach, both = paths
    assert not same_content(pancreas, stomach)
    assert not same_content(pancreas, both)


def test_pixels_against_no_pixels_are_other_content(tmp_path: Path) -> None:
    """An object with the same header and without pixels is not the same."""
    one = stored(ct_slice(), tmp_path / "one")
    other = stored(ct_slice(PixelData=None), tmp_path / "other")
    assert not same_content(one, other)
    assert not same_content(other, one)


def test_what_cannot_be_decoded_is_not_shown_to_be_the_same(tmp_path: Path) -> None:
    """Undecodable pixels are the same only when they are the same bytes."""
    paths = []
    for number, stream in enumerate((b"\xff\xd8one\xff\xd9", b"\xff\xd8two\xff\xd9", b"\xff\xd8one\xff\xd9")):
        image = ct_slice(PixelData=encapsulate([stream]))
        image["PixelData"].VR = "OB"
        image["PixelData"].is_undefined_length = True
        paths.append(stored(with_meta(image, JPEG2000Lossless), tmp_path / str(number)))
    assert not same_content(paths[0], paths[1])
    assert same_content(paths[0], paths[2])


def test_a_series_of_the_factory_is_a_volume(tmp_path: Path) -> None:
    """The factory's series is assembled in the order of its positions, in HU."""
    slices = ct_slices(4)
    instances = [instance(one, path=path) for one, path in zip(slices, write(slices, tmp_path), strict=True)]
    made = stack(instances[::-1])
    assert isinstance(made, Stack)
    expected = [np.frombuffer(one.PixelData, "<u2").reshape(16, 20).astype(np.float32) - 1024 for one in slices]
    np.testing.assert_array_equal(assemble(made, HERE).hu, expected)


def test_one_value_where_two_are_due_is_absent() -> None:
    """A pixel spacing of one number is none, whatever its digits are."""
    made = instance_from(parse(file_of(ct_slice(PixelSpacing="12"))), ExplicitVRLittleEndian)
    assert made.pixel_spacing_mm is None


def test_a_name_in_an_escaped_repertoire_is_decoded() -> None:
    """Bytes below 128 are not ASCII after an escape sequence of ISO 2022 (PS3.5 section H.3.1)."""
    image = ct_slice()
    image.SpecificCharacterSet = ["", "ISO 2022 IR 87"]
    image.PatientName = "Yamada^Tarou=山田^太郎"
    made = instance_from(parse(file_of(image)), ExplicitVRLittleEndian)
    assert made.patient.name == "Yamada^Tarou=山田^太郎"


def test_padding_and_empty_components_are_what_they_are() -> None:
    """Trailing spaces and NULs pad a value; a component between two backslashes may be empty."""
    image = ct_slice(ImageType=["ORIGINAL ", "", "AXIAL"], StationName="CT 1 ")
    made = instance_from(parse(file_of(image)), ExplicitVRLittleEndian)
    assert (made.attributes["ImageType"], made.attributes["StationName"]) == ("ORIGINAL\\\\AXIAL", "CT 1")
