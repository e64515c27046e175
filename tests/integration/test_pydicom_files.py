"""Files that pydicom is tested with, odd and broken, sent to a real listener: each taken, or refused for its reason."""

import struct
import warnings
from collections import Counter
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

import pytest
from pydicom import Dataset, dcmread
from pydicom.uid import UID, CTImageStorage
from pynetdicom.presentation import PresentationContext, build_context

from node.dicom.contexts import ACCEPTED_SOP_CLASSES, ACCEPTED_TRANSFER_SYNTAXES
from node.dicom.reading import read_hounsfield
from node.domain.reasons import ReasonCode
from node.errors import Rejected
from tests.faults.fuzz import Target, listening
from tests.raw_peer import RawPeer, associate_rq, data_tf, elements_of, store_rq, value

FOLDER = Path(str(files("pydicom.data") / "test_files"))
NOT_NEGOTIATED = "not negotiated"
ONLY_CONTEXT = 1

# What is refused; every other object of a SOP class and transfer syntax that the listener accepts is stored.
REFUSED = {
    "JPEG2000-embedded-sequence-delimiter.dcm": ReasonCode.PIXEL_DATA_LENGTH,  # a code stream of another size
    "JPEGLSNearLossless_08.dcm": ReasonCode.UID_INVALID,  # no study or series
    "JPEGLSNearLossless_16.dcm": ReasonCode.UID_INVALID,
    "SC_rgb_jls_lossy_line.dcm": ReasonCode.UID_INVALID,
    "SC_rgb_jls_lossy_sample.dcm": ReasonCode.UID_INVALID,
    "MR_small_padded.dcm": ReasonCode.PIXEL_DATA_LENGTH,  # 128 bytes more than its rows and columns
    "MR_truncated.dcm": ReasonCode.NOT_PARSEABLE,
}
WITHOUT_PIXELS = FOLDER / "dicomdirtests" / "TINY_ALPHA"
"""CT images whose pixels were taken out to make them small."""


def objects() -> list[Path]:
    """Every file with an SOP class and a transfer syntax: what could be sent at all."""
    found = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for path in sorted(FOLDER.rglob("*")):
            if path.is_file() and path.read_bytes()[128:132] == b"DICM":
                header = dcmread(path, stop_before_pixels=True)
                if "SOPClassUID" in header and "TransferSyntaxUID" in header.file_meta:
                    found.append(path)
    return found


def shared(paths: list[Path]) -> set[Path]:
    """Those that have their SOP Instance UID in common with another."""
    uids = {path: dcmread(path, specific_tags=["SOPInstanceUID"]).SOPInstanceUID for path in paths}
    common = Counter(uids.values())
    return {path for path, uid in uids.items() if common[uid] > 1}


OBJECTS = objects()
SHARED = shared(OBJECTS)


@pytest.fixture(scope="module")
def target() -> Iterator[Target]:
    """A listener."""
    with listening() as made:
        yield made
        assert made.is_served()
        assert "Traceback" not in made.log()


def expected(path: Path, header: Dataset) -> ReasonCode | str | None:
    """What the table says: a reason, no context to send it in, or None for what is taken."""
    if header.SOPClassUID not in ACCEPTED_SOP_CLASSES:
        return NOT_NEGOTIATED
    if header.file_meta.TransferSyntaxUID not in ACCEPTED_TRANSFER_SYNTAXES:
        return NOT_NEGOTIATED
    if WITHOUT_PIXELS in path.parents:
        return ReasonCode.PIXEL_DATA_LENGTH
    return REFUSED.get(path.name)


def sent(target: Target, path: Path, header: Dataset) -> ReasonCode | str | None:
    """What becomes of the file as it stands, with nothing of it rewritten."""
    content, sop_class = path.read_bytes(), str(header.SOPClassUID)
    data = content[_meta_end(content) :]
    with RawPeer(target.port) as peer:
        peer.send(associate_rq(contexts=[_context(sop_class, header.file_meta.TransferSyntaxUID)]))
        _, accepted = peer.expect(2)
        if not _is_accepted(accepted):
            return NOT_NEGOTIATED
        command = store_rq(uid=str(header.SOPInstanceUID), sop_class=sop_class)
        parts = [data[at : at + 100_000] for at in range(0, len(data), 100_000)]
        values = [
            value(ONLY_CONTEXT, part, command=False, last=number == len(parts) - 1) for number, part in enumerate(parts)
        ]
        peer.send(data_tf(value(ONLY_CONTEXT, command)) + b"".join(data_tf(one) for one in values))
        answer = elements_of(peer.response())
    if answer[0x0900] == b"\0\0":
        return None
    return ReasonCode[answer[0x0902].decode().strip()]


@pytest.mark.parametrize("path", OBJECTS, ids=lambda path: str(path.relative_to(FOLDER)))
def test_each_file_has_the_outcome_of_its_kind(target: Target, path: Path) -> None:
    """Stored, refused with the reason in the table, or without a presentation context to come in."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        header = dcmread(path, stop_before_pixels=True)
        found, due = sent(target, path, header), expected(path, header)
    # Some of the files are the same image in several forms that are not the same content.
    is_second = due is None and found is ReasonCode.CONTENT_CONFLICT and path in SHARED
    assert found == due or is_second


@pytest.mark.filterwarnings("ignore")
def test_what_was_taken_decodes_or_has_a_reason(target: Target) -> None:
    """Every CT that pydicom ships decodes to HU; what is no CT, or no image, is refused by a coded reason."""
    decoded, reasons = 0, set()
    for path in OBJECTS:
        try:
            hu = read_hounsfield(path)
            decoded += hu.size > 0 and dcmread(path, stop_before_pixels=True).SOPClassUID == CTImageStorage
        except Rejected as exc:
            reasons.add(exc.reason.code)
    assert decoded >= 14
    assert reasons <= {ReasonCode.NO_RESCALE, ReasonCode.UNDECODABLE}


def test_every_line_of_the_table_is_a_file() -> None:
    """A file that pydicom no longer ships leaves the table."""
    assert REFUSED.keys() <= {path.name for path in OBJECTS}
    assert len(OBJECTS) > 100


def _meta_end(content: bytes) -> int:
    """Where the data set begins, whatever the group length says."""
    at = 132
    while content[at : at + 2] == b"\x02\0":
        vr, length = struct.unpack_from("<4x2sH", content, at)
        at += 8
        if vr in {b"OB", b"UN"}:
            (length,), at = struct.unpack_from("<I", content, at), at + 4
        at += length
    return at


def _context(sop_class: str, syntax: UID) -> PresentationContext:
    made = build_context(sop_class, syntax)
    made.context_id = ONLY_CONTEXT
    return made


def _is_accepted(body: bytes) -> bool:
    """The result of the only presentation context (PS3.8 table 9-18)."""
    application = struct.unpack_from(">H", body, 70)[0]
    return body[72 + application + 6] == 0
