"""Requestors that others wrote: DCMTK and pynetdicom."""

import os
import shutil
import subprocess
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import pytest
from pydicom import Dataset, dcmread
from pydicom.encaps import encapsulate
from pydicom.uid import (
    CTImageStorage,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)
from pynetdicom import AE
from pynetdicom.presentation import build_context

from node.dicom.upper_layer import End, Limits
from node.dicom.validation import validate
from tests.factories import as_file, ct_slice, ct_slices, with_meta, write
from tests.raw_peer import HOST, NODE, VERIFICATION, Recorder, acceptor, serving
from tests.servers import require

COMPRESSED = (JPEG2000Lossless, JPEGLosslessSV1, JPEGLSLossless, RLELossless)


def _dcmtk(name: str, *arguments: str | Path | int) -> subprocess.CompletedProcess[str]:
    program = require("DCMTK", shutil.which(name))
    command = [program, *(str(one) for one in arguments)]
    environment = {**os.environ, "TCP_NODELAY": "1"}
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=60, env=environment)


def test_echoscu() -> None:
    """Verification by DCMTK, five times on one association."""
    user = Recorder()
    with serving(user) as server:
        assert _dcmtk("echoscu", "-aec", NODE, "--repeat", 5, HOST, server.port).returncode == 0
        assert user.how_it_ended() is End.RELEASED


def test_echoscu_is_told_why_not() -> None:
    """DCMTK reads our rejection: a wrong title, and a host with too many connections."""
    with serving() as server:
        assert "Called AE Title Not Recognized" in _dcmtk("echoscu", "-aec", "OTHER", HOST, server.port).stderr
    with serving(limits=Limits(connections=0)) as server:
        assert "Local Limit Exceeded" in _dcmtk("echoscu", "-aec", NODE, HOST, server.port).stderr


@pytest.mark.parametrize(
    ("option", "syntax"),
    [("-x=", ExplicitVRLittleEndian), ("-xi", ImplicitVRLittleEndian), ("-xb", ExplicitVRBigEndian)],
)
def test_storescu(option: str, syntax: str, tmp_path: Path) -> None:
    """A series by DCMTK in each uncompressed transfer syntax: what arrives is valid, in order and whole."""
    slices = ct_slices(12, rows=300, columns=300)
    user = Recorder()
    accepts = acceptor(contexts=(build_context(CTImageStorage, syntax),))
    with serving(user, accepts=accepts) as server:
        sent = _dcmtk("storescu", option, "-aec", NODE, HOST, server.port, *write(slices, tmp_path / "ct"))
        assert sent.returncode == 0, sent.stderr
        assert user.how_it_ended() is End.RELEASED
    assert [request.sop_instance_uid for request in user.stored] == [one.SOPInstanceUID for one in slices]
    for request, one in zip(user.stored, slices, strict=True):
        read = dcmread(BytesIO(request.content))
        assert (request.transfer_syntax, read.file_meta.TransferSyntaxUID) == (syntax, syntax)
        assert (read.pixel_array == one.pixel_array).all()
        names = {"sop_class_uid": request.sop_class_uid, "sop_instance_uid": request.sop_instance_uid}
        assert validate(request.content, **names).uid == one.SOPInstanceUID


def test_storescu_compressed(tmp_path: Path) -> None:
    """A compressed object by DCMTK stays as it is."""
    image = ct_slice(rows=64, columns=64)
    image.compress(RLELossless)
    user = Recorder()
    with serving(user) as server:
        sent = _dcmtk("storescu", "-xr", "-aec", NODE, HOST, server.port, *write([image], tmp_path / "ct"))
        assert sent.returncode == 0, sent.stderr
    assert user.stored[0].transfer_syntax == RLELossless
    assert dcmread(BytesIO(user.stored[0].content)).PixelData == image.PixelData


@dataclass(frozen=True)
class _Sent:
    statuses: list[int]
    accepted: int
    is_released: bool


def _send(port: int, datasets: list[Dataset], longest: int = 16382) -> _Sent:
    entity = AE(ae_title="SCANNER")
    entity.maximum_pdu_size = longest
    entity.add_requested_context(VERIFICATION)
    for syntax in {str(one.file_meta.TransferSyntaxUID) for one in datasets}:
        entity.add_requested_context(CTImageStorage, syntax)
    association = entity.associate(HOST, port, ae_title=NODE)
    assert association.is_established
    statuses = [association.send_c_store(one).Status for one in datasets] + [association.send_c_echo().Status]
    accepted = len(association.accepted_contexts)
    association.release()
    return _Sent(statuses, accepted, association.is_released)


def test_pynetdicom_in_every_syntax() -> None:
    """One object by pynetdicom in each transfer syntax, each by its own context."""
    datasets = [with_meta(ct_slice(0), ExplicitVRLittleEndian), with_meta(ct_slice(1), ImplicitVRLittleEndian)]
    for number, syntax in enumerate(COMPRESSED, 2):
        image = ct_slice(number)
        image.PixelData = encapsulate([bytes(1000)])
        image["PixelData"].is_undefined_length = True
        datasets.append(with_meta(image, syntax))
    user = Recorder()
    with serving(user) as server:
        sent = _send(server.port, datasets)
    assert sent == _Sent([0] * (len(datasets) + 1), len(datasets) + 1, is_released=True)
    assert [one.transfer_syntax for one in user.stored] == [one.file_meta.TransferSyntaxUID for one in datasets]
    arrived = [dcmread(BytesIO(one.content)) for one in user.stored]
    assert [one.SOPInstanceUID for one in arrived] == [one.SOPInstanceUID for one in datasets]
    assert arrived[0].PixelData == datasets[0].PixelData


@pytest.mark.parametrize("longest", [128, 16382, 0])
def test_pynetdicom_with_any_pdu_length(longest: int) -> None:
    """Whatever length of PDU the requestor takes, it understands the answers, comments included."""
    user = Recorder(answer=lambda _: (0xB000, "coerced, " * 6))
    with serving(user) as server:
        assert _send(server.port, [ct_slice()], longest).statuses == [0xB000, 0]


def test_the_file_is_what_pynetdicom_would_have_made() -> None:
    """The header before the data set agrees with the one of the sender's file in all that identifies the object."""
    image = ct_slice()
    user = Recorder()
    with serving(user) as server:
        _send(server.port, [image])
    ours, theirs = dcmread(BytesIO(user.stored[0].content)), dcmread(BytesIO(as_file(image)))
    for keyword in ("MediaStorageSOPClassUID", "MediaStorageSOPInstanceUID", "TransferSyntaxUID"):
        assert ours.file_meta[keyword] == theirs.file_meta[keyword]
    assert ours == theirs
