"""Data sets that a peer may send when it is broken or means harm, from good ones, by a seed."""

import random
import struct
import warnings
import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from io import BytesIO
from pathlib import Path
from typing import Final

import numpy as np
from pydicom import Dataset, dcmread
from pydicom.encaps import encapsulate
from pydicom.uid import (
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
)

from tests.factories import ct_slice, structure_set, with_meta

Mutation = Callable[[random.Random, "Case"], "Case"]

UNCOMPRESSED: Final = (ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian)
_DATA: Final = Path(str(files("node.demo") / "data"))
PLACEHOLDER: Final = "2.25.72007200720072007200"
"""The SOP Instance UID of every base, replaced by one of the same length for each case."""
_SQ_TAG: Final = struct.pack("<HH", 0x0008, 0x1115)
_ITEM: Final = struct.pack("<HHI", 0xFFFE, 0xE000, 0)


@dataclass(frozen=True)
class Case:
    """A data set as it is announced and sent."""

    kind: str
    sop_class: str
    syntax: str
    uid: str
    data: bytes
    starts: tuple[int, ...] = ()
    """Where its elements begin, at the top level."""


@cache
def bases() -> tuple[Case, ...]:
    """Good data sets in every encoding: a real CT, synthetic CT, a segmentation and a structure set."""
    small = [_base(_encoded(syntax), syntax) for syntax in (*UNCOMPRESSED, RLELossless, JPEGLSLossless)]
    j2k = _encoded(JPEG2000Lossless)
    real = _renamed(dcmread(min((_DATA / "ct").glob("*.dcm"))))
    seg = _renamed(dcmread(_DATA / "pancreas-stand-in.dcm"))
    contours = _renamed(structure_set("2.25.7002"))
    return (
        *small,
        _base(j2k, JPEG2000Lossless),
        _base(real, real.file_meta.TransferSyntaxUID),
        _base(seg, seg.file_meta.TransferSyntaxUID),
        _base(contours, ExplicitVRLittleEndian),
    )


def case(rng: random.Random, number: int) -> Case:
    """A hostile or unharmed case with a UID of its own."""
    index = rng.choice((0, 0, 0, 1, 2, 3, 3, 4, 4, 5, 5, 6, 7, 8))  # the real CT is large: it comes more seldom
    made = bases()[index]
    mutate = rng.choice(MUTATIONS)
    for _ in range(rng.choice((1, 1, 1, 2))):
        made = mutate(rng, made)
        mutate = rng.choice(CHANGES)
    uid = f"2.25.7200{number:016d}"
    announced = uid if made.uid == PLACEHOLDER else made.uid
    return replace(made, uid=announced, data=made.data.replace(PLACEHOLDER.encode(), uid.encode()))


def _renamed(dataset: Dataset) -> Dataset:
    dataset.SOPInstanceUID = PLACEHOLDER
    return dataset


def _encoded(syntax: str) -> Dataset:
    image = _renamed(ct_slice(rows=32, columns=32))
    if syntax in UNCOMPRESSED:
        if syntax == ExplicitVRBigEndian:
            image.PixelData = np.frombuffer(image.PixelData, "<u2").astype(">u2").tobytes()
        return with_meta(image, syntax)
    image.compress(syntax, generate_instance_uid=False)
    return image


def _base(dataset: Dataset, syntax: str) -> Case:
    dataset.file_meta.TransferSyntaxUID = syntax
    buffer = BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dataset.save_as(buffer, enforce_file_format=True)
    data = without_header(buffer.getvalue())
    return Case("good", str(dataset.SOPClassUID), str(syntax), PLACEHOLDER, data, tuple(_starts(data, syntax)))


def without_header(content: bytes) -> bytes:
    """The data set in a whole file (PS3.10 section 7.1)."""
    return content[144 + struct.unpack_from("<I", content, 140)[0] :]


_LONG: Final = frozenset((b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"UC", b"UN", b"UR", b"UT", b"SV", b"UV"))


def _starts(data: bytes, syntax: str) -> list[int]:
    """Where the elements of a good data set begin; up to the first one of undefined length."""
    order = ">" if syntax == ExplicitVRBigEndian else "<"
    starts, at = [], 0
    while at + 8 <= len(data):
        starts.append(at)
        if syntax == ImplicitVRLittleEndian:
            length, header = struct.unpack_from("<I", data, at + 4)[0], 8
        elif data[at + 4 : at + 6] in _LONG:
            length, header = struct.unpack_from(order + "I", data, at + 8)[0], 12
        else:
            length, header = struct.unpack_from(order + "H", data, at + 6)[0], 8
        at += header + length
        if length == 0xFFFFFFFF:
            break
    return starts


# ---- what is changed


def _unchanged(_: random.Random, base: Case) -> Case:
    return base


def _header_end(base: Case) -> int:
    return base.starts[-1] if base.starts else len(base.data)


def _flip_header(rng: random.Random, base: Case) -> Case:
    changed = bytearray(base.data)
    for _ in range(rng.choice((1, 1, 2, 8))):
        changed[rng.randrange(max(1, min(len(changed), _header_end(base) + 16)))] ^= 1 << rng.randrange(8)
    return replace(base, kind="header bits", data=bytes(changed))


def _flip_pixels(rng: random.Random, base: Case) -> Case:
    """In the code stream, for the decoders."""
    changed = bytearray(base.data)
    start = min(_header_end(base), len(changed) - 1)
    span = len(changed) - start if rng.random() < 0.5 else min(200, len(changed) - start)
    for _ in range(rng.choice((1, 2, 8, 64))):
        changed[start + rng.randrange(span)] = rng.choice((rng.randrange(256), 0, 0xFF))
    return replace(base, kind="pixel bytes", data=bytes(changed))


def _truncate(rng: random.Random, base: Case) -> Case:
    """Within a tag, a VR, a length, a value, and between elements."""
    at = rng.choice(base.starts or (0,)) + rng.choice((0, 1, 2, 4, 5, 6, 7, 8, 9, 10, 12, 13, 40, 1000))
    return replace(base, kind="truncated", data=base.data[: max(2, at)])


def _truncate_end(rng: random.Random, base: Case) -> Case:
    return replace(base, kind="truncated", data=base.data[: -rng.choice((1, 2, 4, 8, 9, 16, 100, 500))] or b"\0\0")


def _lie(rng: random.Random, base: Case) -> Case:
    changed = bytearray(base.data)
    at = rng.choice(base.starts or (0,)) + rng.choice((4, 6, 8))
    nasty = rng.choice((0, 1, 3, 0xFF, 0xFFFE, 0xFFFF, 0x10000, 0x7FFFFFFF, 0xFFFFFFFE, 0xFFFFFFFF))
    width = rng.choice((2, 4))
    changed[at : at + width] = (nasty % (1 << 8 * width)).to_bytes(width, rng.choice(("little", "big")))
    return replace(base, kind="lying length", data=bytes(changed))


def _odd_vr(rng: random.Random, base: Case) -> Case:
    changed = bytearray(base.data)
    odd = (b"ZZ", b"??", b"\0\0", b"UN", b"SQ", b"OB", b"DS", b"UI", b"AT", b"PN", b"ox", b"US", b"FD", b"OV", b"UT")
    for _ in range(rng.choice((1, 1, 3))):
        at = rng.choice(base.starts or (0,)) + 4
        changed[at : at + 2] = rng.choice(odd)
    return replace(base, kind="odd VR", data=bytes(changed))


def _shuffle(rng: random.Random, base: Case) -> Case:
    ends = [*base.starts[1:], len(base.data)]
    parts = [base.data[start:end] for start, end in zip(base.starts, ends, strict=True)]
    how = rng.randrange(3)
    if how == 0:
        rng.shuffle(parts)
    elif how == 1:
        del parts[rng.randrange(len(parts))]
    else:
        parts.insert(rng.randrange(len(parts)), rng.choice(parts))
    return replace(base, kind="shuffled", data=b"".join(parts))


def _inserted(base: Case, kind: str, element: bytes) -> Case:
    """An element more, before the pixels and in no order."""
    at = _header_end(base)
    return replace(base, kind=kind, data=base.data[:at] + element + base.data[at:])


def _nested(rng: random.Random, base: Case) -> Case:
    """Sequences in sequences, of undefined and of true lengths."""
    depth = rng.choice((2, 31, 33, 100, 1000, 10000))
    if rng.random() < 0.5:
        head = _SQ_TAG + (b"" if base.syntax == ImplicitVRLittleEndian else b"SQ\0\0") + b"\xff" * 4
        item = struct.pack("<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF)
        closing = struct.pack("<HHIHHI", 0xFFFE, 0xE00D, 0, 0xFFFE, 0xE0DD, 0)
        nested = (head + item) * depth + closing * rng.choice((depth, 0, depth // 2))
    else:
        headers = []
        length = 0
        for _ in range(min(depth, 2000)):
            item = struct.pack("<HHI", 0xFFFE, 0xE000, length)
            vr = b"" if base.syntax == ImplicitVRLittleEndian else b"SQ\0\0"
            headers.append(_SQ_TAG + vr + struct.pack("<I", length + 8) + item)
            length += len(headers[-1])
        nested = b"".join(reversed(headers))
    return _inserted(base, "nested", nested)


def _crumbs(rng: random.Random, base: Case) -> Case:
    """Very many empty items, elements or fragments, which cost eight bytes each."""
    count = rng.choice((1000, 1000, 1000, 20_000, 20_000, 100_000))
    explicit = base.syntax != ImplicitVRLittleEndian
    if rng.random() < 0.5:
        head = _SQ_TAG + (b"SQ\0\0" if explicit else b"") + struct.pack("<I", rng.choice((8 * count, 0xFFFFFFFF)))
        return _inserted(base, "crumbs", head + _ITEM * count)
    vr = b"LO" if explicit else b"\0\0"
    made = b"".join(struct.pack("<HH", 0x1001 + 2 * (n >> 16), n & 0xFFFF) + vr + b"\0\0" for n in range(count))
    return _inserted(base, "crumbs", made)


def _long_value(rng: random.Random, base: Case) -> Case:
    """Of an element that is read at the door: very many values, or one that is very long."""
    group, element, vr = rng.choice(
        (
            (0x0028, 0x1053, b"DS"), (0x0008, 0x0005, b"CS"), (0x0020, 0x0032, b"DS"), (0x0010, 0x0010, b"PN"),
            (0x0028, 0x0008, b"IS"), (0x0020, 0x000D, b"UI"), (0x0028, 0x0010, b"US"), (0x0008, 0x0008, b"CS"),
        )
    )  # fmt: skip
    content = rng.choice((b"\\", b"1\\", b"9", b"\xff", b"\0")) * rng.choice((100, 30_000, 1_000_000))
    content = content[: len(content) & ~1]
    tag = struct.pack("<HH", group, element)
    if base.syntax == ImplicitVRLittleEndian:
        made = tag + struct.pack("<I", len(content)) + content
    elif rng.random() < 0.5 or len(content) > 0xFFFF:
        made = tag + b"UN\0\0" + struct.pack("<I", len(content)) + content
    else:
        made = tag + vr + struct.pack("<H", len(content)) + content
    return _inserted(base, "long value", made)


def _charset(rng: random.Random, base: Case) -> Case:
    names = (b"ISO_IR 999 ", b"ISO 2022 IR 87\\", b"\\ISO 2022 IR 149", b"utf-8 ", b"rot13 ", b"\xff\xfe", b"punycode")
    content = rng.choice(names)
    content += b" " * (len(content) % 2)
    at = base.data.find(b"\x08\x00\x05\x00CS")
    if at < 0:
        return base
    length = struct.unpack_from("<H", base.data, at + 6)[0]
    made = base.data[: at + 6] + struct.pack("<H", len(content)) + content + base.data[at + 8 + length :]
    name = rng.choice((b"Made^Up", b"\x1b$B\x1b", b"\xc3\x28^\xff", b"<a>^\r\n\0"))
    return replace(base, kind="charset", data=made.replace(b"Made^Up", name.ljust(7)[:7]))


def _rows_columns(rng: random.Random, base: Case) -> Case:
    """A header that claims 65535 x 65535, or more than there is, or nothing; bits and frames too."""
    changed = base.data
    number = rng.choice((65535, 65535, 32768, 16384, 4096, 1, 0))
    for element in (b"\x28\x00\x10\x00", b"\x28\x00\x11\x00"):
        at = changed.find(element + b"US")
        if at >= 0 and rng.random() < 0.9:
            changed = changed[: at + 8] + struct.pack("<H", number) + changed[at + 10 :]
    at = changed.find(b"\x28\x00\x00\x01US")
    if at >= 0 and rng.random() < 0.3:
        changed = (
            changed[: at + 8] + struct.pack("<H", rng.choice((0, 1, 7, 8, 12, 32, 64, 65535))) + changed[at + 10 :]
        )
    return replace(base, kind="65535 x 65535", data=changed)


def _rle_bomb(rng: random.Random, base: Case) -> Case:
    """A few bytes of RLE for an image that the header says is huge."""
    rows = rng.choice((16384, 3000, 65535, 65535, 1))
    columns = rng.choice((16384, 3000, 65535))
    image = ct_slice(rows=32, columns=32, Rows=rows, Columns=columns)
    segment = rng.choice((b"\x81\x00" * 1000, b"\x80" * 100, b"\x7f" * 129, b""))
    header = struct.pack(
        "<16I", rng.choice((2, 2, 0, 15, 16, 99)), 64, rng.choice((64 + len(segment), 0, 2**31)), *[0] * 13
    )
    image.PixelData = encapsulate([header + segment * 2])
    image["PixelData"].is_undefined_length = True
    bomb = _base(_renamed(with_meta(image, RLELossless)), RLELossless)
    return replace(bomb, kind="RLE bomb")


def _j2k_bomb(rng: random.Random, base: Case) -> Case:
    """A code stream that claims a size, many tiles or components, within a header that agrees or does not."""
    good = next(one for one in bases() if one.syntax == JPEG2000Lossless)
    changed = bytearray(good.data)
    siz = good.data.index(b"\xff\x4f\xff\x51")
    side = rng.choice((65535, 16384, 2048, 2**31 - 1, 32))
    struct.pack_into(">II", changed, siz + 8, side, side)
    if rng.random() < 0.5:
        struct.pack_into(">II", changed, siz + 24, *rng.choice(((1, 1), (0, 0), (16384, 16384))))  # the tiles
    if rng.random() < 0.3:
        struct.pack_into(">H", changed, siz + 40, rng.choice((0, 16384, 4)))  # components
    made = replace(good, kind="J2K bomb", data=bytes(changed))
    for element in (b"\x28\x00\x10\x00US", b"\x28\x00\x11\x00US"):
        at = made.data.find(element)
        if rng.random() < 0.8:
            agreed = made.data[: at + 8] + struct.pack("<H", min(side, 65535)) + made.data[at + 10 :]
            made = replace(made, data=agreed)
    return made


def _fragments(rng: random.Random, base: Case) -> Case:
    """Encapsulated pixels whose fragments lie, are very many, or never end."""
    syntax = rng.choice((RLELossless, JPEGLSLossless, JPEG2000Lossless))
    good = next(one for one in bases() if one.syntax == syntax)
    start = good.starts[-1] + 12
    nasty = struct.pack("<HHI", 0xFFFE, 0xE000, rng.choice((0, 1, 4, 0xFFFFFFFF, 0x7FFFFFFF)))
    how = rng.randrange(4)
    if how == 0:
        data = good.data[:start] + nasty + good.data[start + 8 :]
    elif how == 1:
        data = good.data[:start] + _ITEM * rng.choice((2, 2, 1000, 1000, 1000, 100_000)) + good.data[start:]
    elif how == 2:
        data = good.data[:-8]
    else:
        data = good.data[:start] + struct.pack("<HHII", 0xFFFE, 0xE000, 4, 0xFFFFFF00) + good.data[start + 8 :]
    return replace(good, kind="fragments", data=data)


def hostile_uids() -> tuple[str, ...]:
    """Two hundred names that no file must ever get."""
    paths = (
        "../../etc/passwd",
        "/etc/passwd",
        "..\\..\\x",
        "1/../2",
        ".",
        "..",
        "1..2",
        ".1",
        "1.",
        "",
        " ",
        "\0",
        "CON",
    )
    shells = ("$(reboot)", "`id`", "1;rm -rf x", "1|x", "1&x", "'\"", "%00", "%2e%2e%2f", "{}", "*", "~", "-rf", "\r\n")
    grammar = (
        "01.2",
        "1.02",
        "1.2.",
        "1.-2",
        "1.2e3",
        "1,2",
        "1.2.a",
        "१.२",
        "1.2\x00.3",
        "1 .2",
        "é.1",
        "1.2\n",
        "0x1.2",
    )
    lengths = (*("1" + ".1" * half for half in range(32, 40)), "2.25." + "9" * 60, "9" * 65, "9" * 4000)
    made = [*paths, *shells, *grammar, *lengths]
    rng = random.Random(7)  # noqa: S311 — the same names each time
    alphabet = "0123456789./\\ :;%$\t\x1b<>é"
    while len(made) < 200:
        made.append("".join(rng.choice(alphabet) for _ in range(rng.randrange(1, 80))))
    return tuple(made)


_HOSTILE_UIDS: Final = hostile_uids()


def _uid(rng: random.Random, base: Case) -> Case:
    """One of the identifiers is not one, in the request and in the data set."""
    if base.syntax not in (ExplicitVRLittleEndian, ImplicitVRLittleEndian):
        base = bases()[rng.randrange(2)]
    name = rng.choice(_HOSTILE_UIDS)
    encoded = name.encode("utf-8", "replace")
    encoded += b"\0" * (len(encoded) % 2)
    element, is_instance = rng.choice(
        (
            (b"\x08\x00\x18\x00", True),
            (b"\x20\x00\x0e\x00", False),
            (b"\x20\x00\x0d\x00", False),
            (b"\x08\x00\x16\x00", False),
        )
    )
    at = base.data.find(element)
    if base.syntax == ImplicitVRLittleEndian:
        length, width = struct.unpack_from("<I", base.data, at + 4)[0], 4
    else:
        length, width = struct.unpack_from("<H", base.data, at + 6)[0], 2
    size = len(encoded).to_bytes(width, "little")
    data = base.data[: at + 8 - width] + size + encoded + base.data[at + 8 + length :]
    return replace(base, kind="hostile UID", data=data, uid=name if is_instance else base.uid)


def _executable(rng: random.Random, base: Case) -> Case:
    """A whole file with the head of a program, sent as if it were a data set; and programs alone."""
    head = rng.choice((b"MZ\x90\0", b"\x7fELF\x02\x01\x01", b"#!/bin/sh\n", b"%PDF-1.4\n", b"PK\x03\x04"))
    meta = struct.pack("<HH2sHI", 2, 0, b"UL", 4, 0)
    data = head.ljust(128, b"\0") + b"DICM" + meta + base.data
    return replace(base, kind="executable", data=rng.choice((data, head + rng.randbytes(2000))))


def _deflated(rng: random.Random, base: Case) -> Case:
    """A deflate bomb under a transfer syntax that is not deflated."""
    return replace(base, kind="deflated", data=_bomb() if rng.random() < 0.5 else zlib.compress(base.data))


@cache
def _bomb() -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return b"".join([*(packer.compress(bytes(2**20)) for _ in range(100)), packer.flush()])


def _random(rng: random.Random, base: Case) -> Case:
    return replace(base, kind="noise", data=rng.randbytes(2 * rng.randrange(1, 2000)))


CHANGES: Final[tuple[Mutation, ...]] = (_flip_header, _flip_pixels, _lie, _odd_vr, _truncate_end)
MUTATIONS: Final[tuple[Mutation, ...]] = (
    _unchanged, _flip_header, _flip_header, _flip_pixels, _flip_pixels, _flip_pixels, _truncate, _truncate_end, _lie,
    _lie, _odd_vr, _shuffle, _nested, _crumbs, _long_value, _charset, _rows_columns, _rle_bomb, _j2k_bomb, _fragments,
    _uid, _executable, _deflated, _random,
)  # fmt: skip
