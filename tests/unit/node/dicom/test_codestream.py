"""The size that a compressed image claims, read without decoding it."""

from importlib.resources import files

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.encaps import generate_frames
from pydicom.uid import UID, JPEG2000Lossless, JPEGLossless, JPEGLSLossless

from node.dicom.codestream import begins_image, size_of
from tests.factories import ct_slice


def compressed(syntax: UID, rows: int, columns: int) -> bytes:
    """The code stream of one image."""
    pixels = np.zeros((rows, columns), "<u2")
    image = ct_slice(rows=rows, columns=columns, PixelData=pixels.tobytes())
    image.compress(syntax, generate_instance_uid=False)
    return next(generate_frames(image.PixelData, number_of_frames=1))


@pytest.mark.parametrize("syntax", [JPEGLSLossless, JPEG2000Lossless])
def test_the_size_in_the_code_stream_is_the_size_of_the_image(syntax: UID) -> None:
    """Rows come first, as in the DICOM header."""
    stream = compressed(syntax, 64, 96)
    assert begins_image(stream)
    assert size_of(stream, syntax) == (64, 96)


def test_a_real_jpeg_2000_says_its_size() -> None:
    """The bundled slices, as the scanner's archive compressed them."""
    image = dcmread(files("node.demo") / "data" / "ct" / "000.dcm")
    stream = next(generate_frames(image.PixelData, number_of_frames=1))
    assert size_of(stream, JPEG2000Lossless) == (512, 512)


def test_segments_before_the_frame_header_are_passed_over() -> None:
    """A JPEG with application data and tables first still says its size (ITU-T T.81 section B.2.1)."""
    app0 = b"\xff\xe0\x00\x10" + b"\xff\xc0" * 7
    huffman = b"\xff\xc4\x00\x04ab"
    frame = b"\xff\xc3\x00\x0b\x0c\x01\x02\x03\x04\x01\x11\x00\x00"
    assert size_of(b"\xff\xd8" + app0 + huffman + frame, JPEGLossless) == (0x0102, 0x0304)


@pytest.mark.parametrize("syntax", [JPEGLossless, JPEGLSLossless, JPEG2000Lossless])
def test_a_stream_that_ends_early_says_nothing(syntax: UID) -> None:
    """No prefix of a header raises."""
    stream = compressed(syntax, 64, 96) if syntax != JPEGLossless else b"\xff\xd8\xff\xc3\x00\x0b\x0c\x01\x02"
    header = next(end for end in range(len(stream) + 1) if size_of(stream[:end], syntax) or end == len(stream))
    assert all(size_of(stream[:end], syntax) is None for end in range(header))


@pytest.mark.parametrize("stream", [b"", b"anything", b"\xff\xd8", b"\xff\xd8\xff\xe0\x00\x00" * 9], ids=repr)
def test_what_is_no_code_stream_says_nothing(stream: bytes) -> None:
    """Other bytes have no size, and raise nothing."""
    assert size_of(stream, JPEGLossless) is None
    assert size_of(stream, JPEG2000Lossless) is None
