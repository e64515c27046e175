"""Files made of data sets that are already encoded."""

from pathlib import Path

import pytest
from pydicom import dcmread
from pynetdicom.dsutils import create_file_meta, split_dataset

from node.demo.series import make_case
from node.dicom.files import write_dicom_file


def test_the_data_set_is_written_as_it_is(tmp_path: Path) -> None:
    """The bytes after the meta information are those given, and the file reads as DICOM."""
    source = make_case("stomach", tmp_path / "case").seg_path
    meta, offset = split_dataset(source)
    data_set = source.read_bytes()[offset:]
    header = create_file_meta(
        sop_class_uid=meta.MediaStorageSOPClassUID,
        sop_instance_uid=meta.MediaStorageSOPInstanceUID,
        transfer_syntax=meta.TransferSyntaxUID,
    )
    written = write_dicom_file(tmp_path / "out.dcm", header, data_set)
    assert written.read_bytes().endswith(data_set)
    assert dcmread(written).SOPInstanceUID == meta.MediaStorageSOPInstanceUID


def test_nothing_is_left_when_the_place_cannot_be_written(tmp_path: Path) -> None:
    """A file that cannot be put in its place leaves no part of itself behind."""
    target = tmp_path / "taken.dcm"
    (target / "in the way").mkdir(parents=True)
    header = create_file_meta(sop_class_uid="1.2", sop_instance_uid="1.2.3", transfer_syntax="1.2.840.10008.1.2")
    with pytest.raises(OSError, match=r".+"):
        write_dicom_file(target, header, b"")
    assert list(tmp_path.iterdir()) == [target]
