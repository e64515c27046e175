"""How a data set is built (PS3.5 section 7), found out without building anything: where its elements begin and end.

A parser makes an object of every element and item, hundreds of bytes for the eight that an empty item costs its
sender. Here nothing is kept but a few places and numbers, so an object may be looked through before it is known to be
harmless. Lengths must be honest: an element ends within what contains it, and what begins also ends.
"""

import struct
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from pydicom._dicom_dict import DicomDictionary
from pydicom.valuerep import EXPLICIT_VR_LENGTH_32, STANDARD_VR

from node.domain.reasons import ReasonCode
from node.errors import RefusedAtDoor

DEEPEST_SEQUENCE: Final = 32
"""Levels of nested sequences; the deepest in the standard's own templates are fewer than 20."""
MOST_ELEMENTS: Final = 2_000_000
"""Elements, items and fragments in one object; a segmentation of a hundred organs has half a million."""
LONGEST_READ_BYTES: Final = 4096
"""Of an element that is read at the door; the longest that its VR allows is a person's name of under 1 KiB."""
PIXEL_TAGS: Final = (0x7FE00008, 0x7FE00009, 0x7FE00010)
"""Float, double float and integer pixel data."""
_LONG_VRS: Final = frozenset(vr.encode() for vr in EXPLICIT_VR_LENGTH_32)
_SEQUENCES: Final = frozenset(tag for tag, entry in DicomDictionary.items() if entry[0] == "SQ")
USUAL_VRS: Final = frozenset({b"", *(vr.encode() for vr in STANDARD_VR)})
"""Those that there are (PS3.5 section 6.2), and none at all."""
_SIMPLE_VRS: Final = USUAL_VRS - _LONG_VRS
"""Those with a length of two bytes (PS3.5 section 7.1.2), and none at all."""
_SPECIAL_GROUPS: Final = frozenset({0x7FE0, 0xFFFE})
"""Of pixels, and of items and delimiters."""
_ITEM: Final = 0xFFFEE000
_ITEM_END: Final = 0xFFFEE00D
_SEQUENCE_END: Final = 0xFFFEE0DD
_SERIES_UID: Final = 0x0020000E
_CHARACTER_SET: Final = 0x00080005
_UNDEFINED: Final = 0xFFFFFFFF
_HEADER_BYTES: Final = 8
_LONG_BYTES: Final = 4
_LONGEST_UNKNOWN_SEQUENCE: Final = 0xFFFF
"""A sequence of VR UN that is longer is bytes to pydicom."""


@dataclass(frozen=True, slots=True)
class Pixels:
    """A pixel data element at the top level: the places of its value, or of its fragments' values."""

    tag: int
    start: int
    end: int
    fragments: tuple[tuple[int, int], ...] | None
    """Begin and end of each, the offset table first; None when the pixels are not encapsulated."""


class Element(NamedTuple):
    """An element at the top level: where it is, and what stands before its value."""

    begin: int
    value: int
    """Where its value begins."""
    end: int
    tag: int
    vr: bytes
    """Empty when it has none."""


@dataclass(slots=True)
class Structure:
    """What was found."""

    pixels: Pixels | None = None
    read: list[Element] = field(default_factory=list)
    """The elements at the top level that are to be read."""
    read_elements: int = 0
    """How many elements and items these hold."""
    elements: int = 0


@dataclass(slots=True, kw_only=True)
class _Level:
    """A data set or sequence that has begun and not ended."""

    is_sequence: bool
    end: int
    """Where it ends, or at the latest."""
    is_open: bool
    """Whether a delimiter ends it."""
    is_implicit: bool


def structure_of(content: bytes, offset: int, *, implicit: bool, big_endian: bool, read: AbstractSet[int]) -> Structure:
    """The structure of the data set in ``content`` from ``offset`` to its end; ``read``: the tags that will be read.

    Raises:
        RefusedAtDoor: NOT_PARSEABLE, TOO_DEEP or TOO_LARGE.
    """
    return _Scan(content, big_endian, read).run(offset, implicit)


class _Scan:
    """One pass over one data set."""

    def __init__(self, content: bytes, big_endian: bool, read: AbstractSet[int]) -> None:
        order = ">" if big_endian else "<"
        self._content = content
        self._read = read
        self._found = Structure()
        self._explicit_header = struct.Struct(f"{order}HH2sH").unpack_from
        self._implicit_header = struct.Struct(f"{order}HHI").unpack_from
        self._long = struct.Struct(f"{order}I").unpack_from
        self._opened: _Level | None = None
        """What the element that was looked at last begins."""
        self._head = (b"", 0)
        """Its VR, and where its value begins."""

    def run(self, at: int, implicit: bool) -> Structure:
        """Look through everything from ``at`` on."""
        found, seen = self._found, set[int]()
        top = _Level(
            is_sequence=False,
            end=len(self._content),
            is_open=False,
            is_implicit=self._looks_implicit(at, implicit=implicit),
        )
        while (at := self._simple(top, at, seen)) < top.end:
            begun, before = at, found.elements
            tag, at = self._element(top, at)
            vr, value = self._head
            if self._opened:
                at = self._nested(self._opened, at)
            if tag in seen:
                raise _broken(f"{tag:08X} occurs twice")
            seen.add(tag)
            if tag in self._read:
                found.read.append(Element(begun, value, at, tag, vr))
                found.read_elements += found.elements - before
        return found

    def _simple(self, top: _Level, at: int, seen: set[int]) -> int:
        """Pass the elements of the top level that hold nothing but a short value: where the first other one begins.

        Most are of this kind. Whatever is not as it should be is left to ``_element`` to judge.
        """
        content, end, read, found = self._content, top.end, self._read, self._found
        header = self._implicit_header if top.is_implicit else self._explicit_header
        vr = b""
        while end - at >= _HEADER_BYTES and found.elements < MOST_ELEMENTS:
            if top.is_implicit:
                group, element, length = header(content, at)
            else:
                group, element, vr, length = header(content, at)
            tag, value = group << 16 | element, at + _HEADER_BYTES
            if vr not in _SIMPLE_VRS or group in _SPECIAL_GROUPS or tag in seen or length > LONGEST_READ_BYTES:
                break
            if value + length > end or (not vr and tag in _SEQUENCES):
                break
            seen.add(tag)
            found.elements += 1
            if tag in read:
                found.read.append(Element(at, value, value + length, tag, vr))
                found.read_elements += 1
            at = value + length
        return at

    def _nested(self, first: _Level, at: int) -> int:
        """Look through a sequence and everything in it: where it ends. Without recursion."""
        levels, sequences = [first], 1
        while levels:
            level = levels[-1]
            if at == level.end and not level.is_open:
                levels.pop()
                sequences -= level.is_sequence
                continue
            tag, at = self._item(level, at) if level.is_sequence else self._element(level, at)
            if tag == (_SEQUENCE_END if level.is_sequence else _ITEM_END):
                levels.pop()
                sequences -= level.is_sequence
            elif self._opened:
                levels.append(self._opened)
                sequences += self._opened.is_sequence
                if sequences > DEEPEST_SEQUENCE:
                    raise RefusedAtDoor(ReasonCode.TOO_DEEP, f"more than {DEEPEST_SEQUENCE} levels of sequences")
        return at

    def _item(self, level: _Level, at: int) -> tuple[int, int]:
        """The item of a sequence at ``at``, which it opens, or the end of the sequence."""
        self._count(level, at)
        group, element, length = self._implicit_header(self._content, at)
        tag, at = group << 16 | element, at + _HEADER_BYTES
        self._opened = None
        if tag == _SEQUENCE_END and level.is_open:
            return tag, at
        if tag != _ITEM:
            raise _broken("a sequence holds something that is no item")
        is_open = length == _UNDEFINED
        end = level.end if is_open else at + length
        if end > level.end:
            raise _broken("an item ends early")
        is_implicit = level.is_implicit or self._looks_implicit(at, implicit=False)
        self._opened = _Level(is_sequence=False, end=end, is_open=is_open, is_implicit=is_implicit)
        return tag, at

    def _element(self, level: _Level, at: int) -> tuple[int, int]:
        """The tag of the element at ``at``, and where it ends, or where what it opens begins."""
        self._count(level, at)
        self._opened = None
        tag, vr, length, at = self._header(level, at)
        self._head = vr, at
        if tag == _ITEM_END:
            if not level.is_open:
                raise _broken("an item ends that has not begun")
            return tag, at
        if length == _UNDEFINED:
            return tag, self._undefined(level, tag, vr, at)
        end = at + length
        if end > level.end:
            raise _broken(f"{tag:08X} ends early")
        if length and _is_sequence(tag, vr, length):
            is_implicit = level.is_implicit or not vr
            self._opened = _Level(is_sequence=True, end=end, is_open=False, is_implicit=is_implicit)
            return tag, at
        if length > LONGEST_READ_BYTES and (tag in self._read or tag in _READ_ANYWHERE):
            raise _broken(f"{tag:08X} is far longer than its VR allows")
        if tag in PIXEL_TAGS and level.end == len(self._content):
            self._keep(Pixels(tag, at, end, None))
        return tag, end

    def _header(self, level: _Level, at: int) -> tuple[int, bytes, int, int]:
        """Tag, VR (empty when there is none), length, and where the value begins (PS3.5 section 7.1)."""
        content = self._content
        group, element, vr, length = self._explicit_header(content, at)
        if level.is_implicit or not b"AA" <= vr <= b"ZZ":  # as pydicom has it: some writers switch in between
            group, element, length = self._implicit_header(content, at)
            return group << 16 | element, b"", length, at + _HEADER_BYTES
        at += _HEADER_BYTES
        if vr in _LONG_VRS:
            if level.end - at < _LONG_BYTES:
                raise _broken("an element ends early")
            (length,), at = self._long(content, at), at + _LONG_BYTES
        return group << 16 | element, vr, length, at

    def _undefined(self, level: _Level, tag: int, vr: bytes, at: int) -> int:
        """An element of undefined length: fragments, or a sequence, which is opened."""
        if vr in _FRAGMENT_VRS or (tag in PIXEL_TAGS and not vr):
            fragments, end = self._fragments(level, at)
            if tag in PIXEL_TAGS and level.end == len(self._content):
                self._keep(Pixels(tag, at, end, fragments))
            return end
        if vr not in _SEQUENCE_VRS:
            raise _broken(f"{tag:08X} has no length")
        is_implicit = level.is_implicit or not vr
        self._opened = _Level(is_sequence=True, end=level.end, is_open=True, is_implicit=is_implicit)
        return at

    def _fragments(self, level: _Level, at: int) -> tuple[tuple[tuple[int, int], ...], int]:
        """The places of the fragments from ``at`` on, and where their delimiter ends (PS3.5 section A.4)."""
        found: list[tuple[int, int]] = []
        while True:
            if level.end - at < _HEADER_BYTES:
                raise RefusedAtDoor(ReasonCode.PIXEL_DATA_LENGTH, "the fragments have no end")
            self._count(level, at)
            group, element, length = self._implicit_header(self._content, at)
            tag, at = group << 16 | element, at + _HEADER_BYTES
            if tag == _SEQUENCE_END:
                return tuple(found), at
            if tag != _ITEM or length == _UNDEFINED or at + length > level.end:
                raise RefusedAtDoor(ReasonCode.PIXEL_DATA_LENGTH, "the fragments are not whole")
            found.append((at, at + length))
            at += length

    def _keep(self, pixels: Pixels) -> None:
        if self._found.pixels:
            raise RefusedAtDoor(ReasonCode.PIXEL_DATA_LENGTH, "there are pixel data of two kinds")
        self._found.pixels = pixels

    def _count(self, level: _Level, at: int) -> None:
        if level.end - at < _HEADER_BYTES:
            raise _broken("an element, item or fragment ends early")
        self._found.elements += 1
        if self._found.elements > MOST_ELEMENTS:
            raise RefusedAtDoor(ReasonCode.TOO_LARGE, f"more than {MOST_ELEMENTS} elements")

    def _looks_implicit(self, at: int, *, implicit: bool) -> bool:
        """Whether what begins at ``at`` is of implicit VR, whatever is said of it: pydicom looks, too."""
        vr = self._content[at + 4 : at + 6]
        return implicit if len(vr) < len(b"VR") else not (vr.isalpha() and vr.isupper())


_FRAGMENT_VRS: Final = frozenset({b"OB", b"OW"})
_SEQUENCE_VRS: Final = frozenset({b"SQ", b"UN", b""})
_READ_ANYWHERE: Final = frozenset({_SERIES_UID, _CHARACTER_SET})


def _is_sequence(tag: int, vr: bytes, length: int) -> bool:
    if vr == b"SQ":
        return True
    return tag in _SEQUENCES and (not vr or (vr == b"UN" and length < _LONGEST_UNKNOWN_SEQUENCE))


def _broken(detail: str) -> RefusedAtDoor:
    return RefusedAtDoor(ReasonCode.NOT_PARSEABLE, detail)
