"""The sandbox: decoding elsewhere, with the same answers as here, and a reason when there is none."""

import os
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.resources import files
from pathlib import Path

import numpy as np
import psutil
import pytest

from node.demo.series import make_case
from node.dicom.annotations import read_annotation
from node.dicom.reading import read_hounsfield
from node.dicom.sandbox import Limits, Sandbox
from node.dicom.sandbox_wire import BadMessage, Message, annotation_from, annotation_message, receive, send
from node.domain.reasons import ReasonCode
from node.errors import Fatal, Quarantined, Refused, Retryable
from tests.factories import SERIES, ct_slice, structure_set, write

CT = Path(str(files("node.demo") / "data" / "ct"))
SMALLEST_BYTES = 512 * 2**20
"""Enough to start and to decode a CT slice."""


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    """One decoder."""
    made = Sandbox(1, Limits(memory_bytes=SMALLEST_BYTES))
    yield made
    made.close()


@pytest.fixture
def hasty() -> Iterator[Sandbox]:
    """One decoder that is given a second."""
    made = Sandbox(1, Limits(call_s=1.0))
    yield made
    made.close()


@pytest.fixture
def endless(tmp_path: Path) -> Path:
    """A file that whoever opens it waits for without end."""
    os.mkfifo(tmp_path / "endless")
    return tmp_path / "endless"


def decoders() -> list[psutil.Process]:
    """The decoders of this process."""
    return [child for child in psutil.Process().children() if "node.dicom.decoder" in child.cmdline()]


def is_well(sandbox: Sandbox) -> bool:
    """Whether the next call works."""
    path = next(CT.glob("*.dcm"))
    return bool(np.array_equal(sandbox.read_hounsfield(path), read_hounsfield(path)))


def test_pixels_are_those_that_are_decoded_here(sandbox: Sandbox) -> None:
    """Real compressed slices, value for value."""
    for path in sorted(CT.glob("*.dcm")):
        np.testing.assert_array_equal(sandbox.read_hounsfield(path), read_hounsfield(path))


def test_a_segmentation_is_the_one_that_is_read_here(sandbox: Sandbox, tmp_path: Path) -> None:
    """Regions and their planes, each in its place."""
    path = make_case("pancreas", tmp_path).seg_path
    there, here = sandbox.read_annotation(path), read_annotation(path)
    assert there.referenced_series == here.referenced_series
    assert (there.patient, there.kind, there.created_at) == (here.patient, here.kind, here.created_at)
    (region,), (expected,) = there.regions, here.regions
    assert (region.label, region.anatomy, region.is_lesion) == (expected.label, expected.anatomy, expected.is_lesion)
    assert len(region.planes) == len(expected.planes) > 0
    for plane, same in zip(region.planes, expected.planes, strict=True):
        np.testing.assert_array_equal(plane.mask, same.mask)
        assert (plane.position_lps_mm, plane.orientation) == (same.position_lps_mm, same.orientation)
        assert plane.spacing_mm == same.spacing_mm


def test_contours_are_those_that_are_read_here(sandbox: Sandbox, tmp_path: Path) -> None:
    """Points in space, bit for bit."""
    (path,) = write([structure_set(SERIES)], tmp_path)
    (contour,), (expected,) = (
        sandbox.read_annotation(path).regions[0].contours,
        read_annotation(path).regions[0].contours,
    )
    np.testing.assert_array_equal(contour.points_lps_mm, expected.points_lps_mm)


def test_two_files_are_compared(sandbox: Sandbox, tmp_path: Path) -> None:
    """Same is same and other is other."""
    one, other = write([ct_slice(0), ct_slice(1)], tmp_path)
    assert sandbox.same_content(one, one)
    assert not sandbox.same_content(one, other)


def test_errors_are_those_that_are_raised_here(sandbox: Sandbox, tmp_path: Path) -> None:
    """Coded reasons, with their details; what the disk does not give may be tried again."""
    (path,) = write([ct_slice(RescaleSlope=0)], tmp_path)
    with pytest.raises(Refused) as refused:
        sandbox.read_hounsfield(path)
    assert refused.value.reason.code is ReasonCode.NO_RESCALE
    path.write_bytes(b"nothing")
    with pytest.raises(Quarantined) as held:
        sandbox.read_hounsfield(path)
    assert held.value.reason.code is ReasonCode.UNDECODABLE
    with pytest.raises(Refused):
        sandbox.read_annotation(path)
    with pytest.raises(Retryable):
        sandbox.read_hounsfield(tmp_path / "absent")
    with pytest.raises(FileNotFoundError):
        sandbox.same_content(tmp_path / "absent", path)
    assert is_well(sandbox)


def test_what_needs_too_much_memory_is_held(sandbox: Sandbox, tmp_path: Path) -> None:
    """An image that does not fit ends in a reason; the decoder and its caller live on."""
    image = ct_slice(rows=16384, columns=8192)  # 256 MiB, and as many again for each copy
    (path,) = write([image], tmp_path)
    with pytest.raises(Quarantined) as held:
        sandbox.read_hounsfield(path)
    assert held.value.reason.code is ReasonCode.UNDECODABLE
    assert is_well(sandbox)


def test_what_takes_too_long_is_ended(hasty: Sandbox, endless: Path) -> None:
    """Each call has a reason for its end, and the next one a decoder."""
    with pytest.raises(Quarantined, match="more than 1 s"):
        hasty.read_hounsfield(endless)
    with pytest.raises(Refused) as refused:
        hasty.read_annotation(endless)
    assert refused.value.reason.code is ReasonCode.ANNOTATION_UNREADABLE
    assert not hasty.same_content(endless, endless)
    assert is_well(hasty)


def test_a_decoder_that_dies_is_replaced(sandbox: Sandbox, endless: Path) -> None:
    """In the middle of a call: that call has a reason. Between calls: nobody notices."""
    assert is_well(sandbox)
    (doomed,) = decoders()
    threading.Timer(0.2, doomed.kill).start()
    with pytest.raises(Quarantined, match="signal 9"):
        sandbox.read_hounsfield(endless)
    assert is_well(sandbox)
    (idle,) = decoders()
    idle.kill()
    while idle.status() != psutil.STATUS_ZOMBIE:
        time.sleep(0.01)
    assert is_well(sandbox)


def test_several_calls_share_the_decoders(tmp_path: Path) -> None:
    """More threads than decoders wait for one; everyone gets the answer to its own question."""
    paths = write([ct_slice(index) for index in range(24)], tmp_path)
    sandbox = Sandbox(2)
    with ThreadPoolExecutor(6) as threads:
        found = list(threads.map(sandbox.read_hounsfield, paths))
    assert len(decoders()) <= 2 + 1  # and the one of the module's fixture
    for plane, path in zip(found, paths, strict=True):
        np.testing.assert_array_equal(plane, read_hounsfield(path))
    sandbox.close()


def test_a_sandbox_starts_nothing_before_it_is_needed_and_leaves_nothing_behind(tmp_path: Path) -> None:
    """A node that never sees an object twice has no decoder beside its listener."""
    before = {one.pid for one in decoders()}
    sandbox = Sandbox(2)
    assert {one.pid for one in decoders()} == before
    sandbox.warm()
    assert len({one.pid for one in decoders()} - before) == 2
    sandbox.close()
    sandbox.close()
    assert {one.pid for one in decoders()} == before


def test_a_decoder_has_no_secrets_and_is_confined(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """No setting of the node in its environment; memory limited, no core dump, no file that can grow."""
    monkeypatch.setenv("CELADON_DATABASE_URL", "postgresql://user:secret@host/db")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    before = {one.pid for one in decoders()}
    mine = Sandbox(1, Limits(memory_bytes=SMALLEST_BYTES))
    mine.warm()
    (decoder,) = [one for one in decoders() if one.pid not in before]
    assert not [name for name in decoder.environ() if name.startswith(("CELADON_", "AWS_"))]
    assert decoder.rlimit(psutil.RLIMIT_AS) == (SMALLEST_BYTES, SMALLEST_BYTES)
    assert decoder.rlimit(psutil.RLIMIT_CORE) == decoder.rlimit(psutil.RLIMIT_FSIZE) == (0, 0)
    mine.close()


def test_a_decoder_that_cannot_start_is_for_a_person(monkeypatch: pytest.MonkeyPatch) -> None:
    """An installation that cannot decode says so, and how to see why."""
    monkeypatch.setattr("sys.executable", "/bin/false")
    with pytest.raises(Fatal, match=r"python -m node.dicom.decoder does not start \(exit code 1\)"):
        Sandbox().warm()


@pytest.mark.parametrize(
    "reply",
    [
        b"",
        b"\xff\xff\xff\xff",
        b"\x02\0\0\0[]",
        b"\x05\0\0\0{}{}{",
        b'\x2b\0\0\0{"arrays": [["float32", [-1, 1000000000]]]}',
        b'\x2f\0\0\0{"arrays": [["float64", [1000000, 1000000000]]]}',
        b'\x1e\0\0\0{"arrays": [["object", [1]]]} ',
        b'\x1f\0\0\0{"arrays": [["float32", [4]]]} 12345678',
        b"\x10\0\0\0" + b"[" * 16,
    ],
)
def test_a_decoder_that_was_taken_over_cannot_say_what_it_likes(reply: bytes) -> None:
    """What is no message, of another type or of any length, is refused before it costs anything."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(reply)
        theirs.shutdown(socket.SHUT_WR)
        with pytest.raises(BadMessage):
            receive(ours)


def test_a_reply_that_is_no_annotation_is_none(tmp_path: Path) -> None:
    """Fields that are missing or arrays of another type do not become contours."""
    (path,) = write([structure_set(SERIES)], tmp_path)
    good = annotation_message(read_annotation(path))
    with pytest.raises(BadMessage):
        annotation_from(Message({}, good.arrays))
    with pytest.raises(BadMessage):
        annotation_from(Message(good.header, [array > 0 for array in good.arrays]))
    with pytest.raises(BadMessage):
        annotation_from(Message(good.header | {"regions": [{}]}, good.arrays))


def test_messages_arrive_as_they_were_sent() -> None:
    """Empty arrays too."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        arrays = [np.arange(6, dtype=np.float32).reshape(2, 3), np.zeros((0, 3)), np.ones((2, 2), dtype=np.bool_)]
        send(theirs, Message({"value": "ä"}, arrays))
        got = receive(ours)
    assert got.header == {"value": "ä"}
    for array, same in zip(got.arrays, arrays, strict=True):
        np.testing.assert_array_equal(array, same)
