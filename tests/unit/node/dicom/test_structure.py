"""The structure of a data set: honest lengths, true ends, bounded depth and number, whatever the encoding."""

import struct

import pytest
from pydicom.uid import (
    UID,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    RLELossless,
)

from node.dicom import structure
from node.dicom.structure import Structure, structure_of
from node.domain.reasons import ReasonCode
from node.errors import RefusedAtDoor
from tests.factories import as_file, ct_slice, structure_set, with_meta

ROWS = 0x00280010
OPEN = 0xFFFFFFFF


def element(tag: int, vr: bytes, content: bytes, length: int | None = None) -> bytes:
    """An element of explicit VR, little endian."""
    size = len(content) if length is None else length
    head = struct.pack("<HH", tag >> 16, tag & 0xFFFF)
    return (
        head
        + (vr + struct.pack("<xxI", size) if vr in {b"SQ", b"OB", b"UN"} else vr + struct.pack("<H", size))
        + content
    )


def item(content: bytes, length: int | None = None) -> bytes:
    """An item."""
    return struct.pack("<HHI", 0xFFFE, 0xE000, len(content) if length is None else length) + content


ITEM_END = struct.pack("<HHI", 0xFFFE, 0xE00D, 0)
SEQUENCE_END = struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)
NAME = element(0x00100010, b"PN", b"A^B ")
SQ = 0x00081115


def found(data: bytes, *read: int, implicit: bool = False, big_endian: bool = False) -> Structure:
    """What is found in a data set."""
    return structure_of(data, 0, implicit=implicit, big_endian=big_endian, read=set(read))


def reason(data: bytes, *read: int) -> ReasonCode:
    """Why it is refused."""
    with pytest.raises(RefusedAtDoor) as refused:
        found(data, *read)
    return refused.value.reason.code


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian])
def test_elements_are_found_in_every_encoding(syntax: UID) -> None:
    """The pixels, and what is to be read, in their places."""
    content = as_file(with_meta(ct_slice(), syntax))
    offset = 144 + struct.unpack_from("<I", content, 140)[0]
    made = structure_of(
        content, offset, implicit=syntax.is_implicit_VR, big_endian=not syntax.is_little_endian, read={ROWS}
    )
    assert made.pixels
    assert (made.pixels.tag, made.pixels.end, made.pixels.fragments) == (0x7FE00010, len(content), None)
    assert made.pixels.end - made.pixels.start == 16 * 20 * 2
    (read,) = made.read
    assert content[read.value : read.end] == (b"\x10\0" if syntax.is_little_endian else b"\0\x10")


def test_fragments_have_their_places() -> None:
    """The offset table and one for each frame."""
    image = ct_slice()
    image.compress(RLELossless, generate_instance_uid=False)
    content = as_file(image)
    offset = 144 + struct.unpack_from("<I", content, 140)[0]
    made = structure_of(content, offset, implicit=False, big_endian=False, read=set())
    assert made.pixels
    assert made.pixels.fragments
    begin, end = made.pixels.fragments[-1]
    assert content[begin:end] in image.PixelData
    assert len(made.pixels.fragments) == 2


def test_sequences_are_looked_through() -> None:
    """Elements and items of a nested object are counted, of what is to be read by themselves."""
    content = as_file(structure_set("2.25.7002"))
    offset = 144 + struct.unpack_from("<I", content, 140)[0]
    made = structure_of(content, offset, implicit=False, big_endian=False, read={0x30060010})
    assert made.read_elements == 8  # three sequences in each other, an item in each, and a UID in two of these
    assert made.elements > 50


@pytest.mark.parametrize(
    "nested",
    [
        element(SQ, b"SQ", item(NAME)),
        element(SQ, b"SQ", item(NAME + ITEM_END, OPEN) + SEQUENCE_END, OPEN),
        element(SQ, b"SQ", item(NAME + ITEM_END, OPEN)),
        element(SQ, b"SQ", item(NAME) + SEQUENCE_END, OPEN),
        element(SQ, b"SQ", b""),
        element(SQ, b"UN", item(NAME) + SEQUENCE_END, OPEN),
    ],
)
def test_sequences_may_end_by_length_or_by_delimiter(nested: bytes) -> None:
    """In any mixture (PS3.5 section 7.5.2)."""
    made = found(nested + element(ROWS, b"US", b"\x10\0"), ROWS)
    assert [(one.begin, one.end) for one in made.read] == [(len(nested), len(nested) + 10)]


@pytest.mark.parametrize(
    "data",
    [
        NAME[:-1],
        NAME[:5],
        NAME + b"\0" * 4,
        element(0x00100010, b"PN", b"A^B ", 5),
        element(SQ, b"SQ", item(NAME), 8),
        element(SQ, b"SQ", item(NAME, 100)),
        element(SQ, b"SQ", item(NAME, 4)),
        element(SQ, b"SQ", item(NAME), OPEN),
        element(SQ, b"SQ", item(NAME, OPEN) + SEQUENCE_END, OPEN),
        element(SQ, b"SQ", NAME),
        element(SQ, b"SQ", SEQUENCE_END),
        element(SQ, b"OB", b"", OPEN)[:-4],
        element(0x00100010, b"UN", NAME, OPEN),
        ITEM_END,
        NAME + NAME,
    ],
)
def test_what_does_not_end_where_it_should_is_refused(data: bytes) -> None:
    """Beyond what contains it, before its own end, without a delimiter, or twice."""
    assert reason(data) is ReasonCode.NOT_PARSEABLE


@pytest.mark.parametrize("fragments", [b"", item(b"12"), item(b"12", 20), item(b"12", OPEN), NAME])
def test_fragments_that_do_not_end_are_refused(fragments: bytes) -> None:
    """As pixel data of a wrong length."""
    data = element(0x7FE00010, b"OB", fragments + b"", OPEN)
    assert reason(data) is ReasonCode.PIXEL_DATA_LENGTH


def test_pixel_data_of_two_kinds_are_refused() -> None:
    """Nobody could say which of them count."""
    data = element(0x7FE00008, b"OB", b"12") + element(0x7FE00010, b"OB", b"12")
    assert reason(data) is ReasonCode.PIXEL_DATA_LENGTH


@pytest.mark.parametrize(("depth", "is_refused"), [(32, False), (33, True), (10_000, True)])
def test_depth_is_bounded(depth: int, is_refused: bool) -> None:
    """Without recursion: ten thousand levels are no different from thirty-three."""
    opening = element(SQ, b"SQ", b"", OPEN) + item(b"", OPEN)
    data = opening * depth + (ITEM_END + SEQUENCE_END) * depth
    if is_refused:
        assert reason(data) is ReasonCode.TOO_DEEP
    else:
        assert found(data).elements == 4 * depth


def test_number_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Items that cost their sender eight bytes each do not come without end."""
    monkeypatch.setattr(structure, "MOST_ELEMENTS", 1000)
    assert found(element(SQ, b"SQ", item(b"") * 999)).elements == 1000
    assert reason(element(SQ, b"SQ", item(b"") * 1000)) is ReasonCode.TOO_LARGE
    assert reason(element(0x7FE00010, b"OB", item(b"") * 1000, OPEN)) is ReasonCode.TOO_LARGE


def test_what_is_read_is_short() -> None:
    """A number or name of a megabyte is none; the length of anything else is its own affair."""
    long = element(ROWS, b"UN", b"1\\" * 3000)
    assert reason(long, ROWS) is ReasonCode.NOT_PARSEABLE
    assert found(long).elements == 1
    assert reason(element(SQ, b"SQ", item(element(0x0020000E, b"UI", b"1." * 3000)))) is ReasonCode.NOT_PARSEABLE


def test_items_may_switch_to_implicit_vr() -> None:
    """As some writers do, and pydicom follows."""
    within = struct.pack("<HHI", 0x0010, 0x0010, 4) + b"A^B "
    assert found(element(SQ, b"SQ", item(within))).elements == 3


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
def test_what_stands_before_a_value_is_told(syntax: UID) -> None:
    """Tag, VR when there is one, and where the value begins."""
    content = as_file(with_meta(ct_slice(), syntax))
    offset = 144 + struct.unpack_from("<I", content, 140)[0]
    (read,) = structure_of(content, offset, implicit=syntax.is_implicit_VR, big_endian=False, read={ROWS}).read
    assert (read.tag, read.vr) == (ROWS, b"" if syntax.is_implicit_VR else b"US")
    assert content[read.value : read.end] == b"\x10\0"
