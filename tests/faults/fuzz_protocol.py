"""Streams of PDUs that a peer may send when it is broken or means harm, from good ones, by a seed."""

import random
import struct
from collections.abc import Callable
from typing import Final

from pydicom.uid import CTImageStorage

from tests.factories import as_file, ct_slice
from tests.faults.fuzz_files import without_header
from tests.raw_peer import (
    CT,
    ECHO,
    RELEASE_RQ,
    associate_rq,
    command_set,
    data_tf,
    echo_rq,
    pdu,
    store,
    store_rq,
    ui,
    us,
    value,
)

Mutation = Callable[[random.Random, list[bytes]], list[bytes]]

UID: Final = "2.25.7200"
NASTY_LENGTHS: Final = (0, 1, 2, 3, 5, 6, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 0x10000, 0x7FFFFFFF, 0xFFFFFFFF)


_DATA_SET: Final = without_header(as_file(ct_slice(SOPInstanceUID=UID)))


def stream(rng: random.Random) -> bytes:
    """One hostile conversation, everything that is sent of it."""
    pdus = _good(rng)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        pdus = [one for one in rng.choice(MUTATIONS)(rng, pdus) if one] or pdus
    return b"".join(pdus)


def _good(rng: random.Random) -> list[bytes]:
    """A good conversation, PDU by PDU."""
    stored = store(_DATA_SET, rng.randrange(65536), step=rng.choice((100, 700, 16000)), uid=UID)
    stored_pdus = []
    while stored:
        length = 6 + struct.unpack_from(">BxI", stored)[1]
        stored_pdus.append(stored[:length])
        stored = stored[length:]
    echo = data_tf(value(ECHO, echo_rq(rng.randrange(65536))))
    middle = rng.choice(([echo], stored_pdus, [echo, *stored_pdus], [*stored_pdus, echo]))
    return [associate_rq(longest=rng.choice((0, 64, 16384, 2**32 - 1))), *middle, RELEASE_RQ]


def _pick(rng: random.Random, pdus: list[bytes]) -> int:
    """The index of a PDU, the association request as often as all others together."""
    return 0 if rng.random() < 0.5 else rng.randrange(len(pdus))


def _replaced(pdus: list[bytes], index: int, one: bytes) -> list[bytes]:
    return [*pdus[:index], one, *pdus[index + 1 :]]


def _flip(rng: random.Random, pdus: list[bytes]) -> list[bytes]:
    index = _pick(rng, pdus)
    changed = bytearray(pdus[index])
    for _ in range(rng.choice((1, 1, 2, 4, 16))):
        changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return _replaced(pdus, index, bytes(changed))


def _lie(rng: random.Random, pdus: list[bytes]) -> list[bytes]:
    """The length of a PDU, of a value, of an item or of anything else that stands where a length might."""
    index = _pick(rng, pdus)
    changed = bytearray(pdus[index])
    width, order = rng.choice(((2, "big"), (4, "big"), (4, "little")))
    at = rng.choice((2, 6, 76, 80, rng.randrange(len(changed))))
    nasty = rng.choice(NASTY_LENGTHS) % (1 << 8 * width)
    changed[at : at + width] = nasty.to_bytes(width, order)  # type: ignore[arg-type]
    return _replaced(pdus, index, bytes(changed))


def _truncate(rng: random.Random, pdus: list[bytes]) -> list[bytes]:
    index = _pick(rng, pdus)
    kept = pdus[index][: rng.randrange(len(pdus[index]))]
    return pdus[:index] + [kept] + ([] if rng.random() < 0.5 else pdus[index + 1 :])


def _shorten(rng: random.Random, pdus: list[bytes]) -> list[bytes]:
    """Bytes are taken out, and the PDU's length is true."""
    index = _pick(rng, pdus)
    kind, body = pdus[index][0], pdus[index][6:]
    start = rng.randrange(len(body) + 1)
    return _replaced(pdus, index, pdu(kind, body[:start] + body[start + rng.randrange(64) :]))


def _insert(rng: random.Random, pdus: list[bytes]) -> list[bytes]:
    index = _pick(rng, pdus)
    kind, body = pdus[index][0], pdus[index][6:]
    start = rng.randrange(len(body) + 1)
    return _replaced(pdus, index, pdu(kind, body[:start] + rng.randbytes(rng.randrange(64)) + body[start:]))


def _duplicate(rng: random.Random, pdus: list[bytes]) -> list[bytes]:
    index = rng.randrange(len(pdus))
    return [*pdus[:index], *[pdus[index]] * rng.choice((2, 3, 20)), *pdus[index + 1 :]]


def _drop(rng: random.Random, pdus: list[bytes]) -> list[bytes]:
    return _without(pdus, rng.randrange(len(pdus)))


def _without(pdus: list[bytes], index: int) -> list[bytes]:
    return pdus[:index] + pdus[index + 1 :]


def _reorder(rng: random.Random, pdus: list[bytes]) -> list[bytes]:
    return rng.sample(pdus, len(pdus))


def _retype(rng: random.Random, pdus: list[bytes]) -> list[bytes]:
    index = _pick(rng, pdus)
    return _replaced(pdus, index, bytes([rng.randrange(256)]) + pdus[index][1:])


def _noise(rng: random.Random, pdus: list[bytes]) -> list[bytes]:
    at = rng.randrange(len(pdus) + 1)
    return [*pdus[:at], rng.randbytes(rng.choice((1, 6, 100, 5000))), *pdus[at:]]


def _contexts(rng: random.Random, pdus: list[bytes]) -> list[bytes]:
    """Presentation contexts with any ids, names and numbers of syntaxes, encoded by hand."""
    items = b"".join(_context(rng) for _ in range(rng.choice((0, 1, 3, 130, 200))))
    head, user = pdus[0][6:74], _user_information(rng)
    application = _item(0x10, rng.choice((b"1.2.840.10008.3.1.1.1", b"", rng.randbytes(30))))
    parts = [application, items, user]
    rng.shuffle(parts)
    return [pdu(1, head + b"".join(parts)), *pdus[1:]]


def _context(rng: random.Random) -> bytes:
    syntaxes = b"".join(_item(0x40, _name(rng)) for _ in range(rng.choice((0, 1, 1, 2, 30))))
    inner = _item(0x30, _name(rng)) * rng.choice((0, 1, 1, 1, 2)) + syntaxes
    return _item(0x20, bytes([rng.randrange(256), 0, rng.randrange(256), 0]) + inner)


def _user_information(rng: random.Random) -> bytes:
    kinds = [rng.choice((0x51, 0x52, 0x53, 0x54, 0x55, 0x56, 0x57, 0x58, 0x59, 0x10, 0xFF)) for _ in range(4)]
    inner = b"".join(_item(kind, rng.choice((b"\0\0\x40\0", b"", _name(rng), rng.randbytes(20)))) for kind in kinds)
    return _item(0x50, inner)


def _item(kind: int, content: bytes) -> bytes:
    return struct.pack(">BxH", kind, len(content)) + content


def _name(rng: random.Random) -> bytes:
    good = (CTImageStorage.encode(), b"1.2.840.10008.1.1", b"1.2.840.10008.1.2", b"1.2.840.10008.1.2.1")
    return rng.choice((*good, *good, b"", b"..", b"1." * 60, rng.randbytes(12), "1.2.é".encode(), b"0" * 64))


def _values(rng: random.Random, pdus: list[bytes]) -> list[bytes]:
    """Presentation data values with any context, any control header and any part of a message."""
    parts = [store_rq(uid=UID), echo_rq(), _DATA_SET, b"", rng.randbytes(30)]
    made = [
        value(
            rng.choice((CT, CT, ECHO, 5, 7, rng.randrange(256))),
            rng.choice(parts),
            command=rng.random() < 0.5,
            last=rng.random() < 0.5,
        )
        for _ in range(rng.choice((0, 1, 2, 5, 300)))
    ]
    at = rng.randrange(1, len(pdus) + 1)
    return [*pdus[:at], data_tf(*made), *pdus[at:]]


def _command(rng: random.Random, pdus: list[bytes]) -> list[bytes]:
    """A command set of any elements."""
    usual = [(0x2, ui(CTImageStorage)), (0x100, us(1)), (0x110, us(1)), (0x800, us(0)), (0x1000, ui(UID))]
    odd = [(rng.randrange(0x1100), rng.randbytes(rng.choice((0, 1, 2, 4, 70)))) for _ in range(rng.randrange(4))]
    field = [(0x100, us(rng.choice((1, 0x10, 0x20, 0x21, 0x30, 0x100, 0x140, 0xFFF, 0x8001, rng.randrange(65536)))))]
    chosen = {number: one for number, one in usual + odd + field if rng.random() < 0.9}
    made = command_set(*(sorted(chosen.items()) if rng.random() < 0.8 else chosen.items()))
    data = value(CT, _DATA_SET, command=False)
    return [pdus[0], data_tf(value(rng.choice((CT, ECHO)), made), *([data] if rng.random() < 0.7 else [])), *pdus[1:]]


MUTATIONS: Final[tuple[Mutation, ...]] = (
    _flip, _flip, _lie, _lie, _truncate, _shorten, _insert, _duplicate, _drop, _reorder, _retype, _noise, _contexts,
    _values, _command,
)  # fmt: skip
