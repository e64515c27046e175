"""DICOM files (PS3.10) made of a data set that is already encoded: what arrived is what is written."""

from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Final

from pydicom.dataset import FileMetaDataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_file_meta_info

_PREAMBLE: Final = b"\0" * 128 + b"DICM"


def write_dicom_file(path: Path, meta: FileMetaDataset, data_set: bytes) -> Path:
    """Write ``path`` whole or not at all: beside its place first, then renamed over it. OSError when it cannot be."""
    header = DicomBytesIO()
    write_file_meta_info(header, meta)
    with NamedTemporaryFile(dir=path.parent, suffix=".part", delete=False) as part:
        try:
            part.write(_PREAMBLE)
            part.write(header.getvalue())
            part.write(data_set)
            part.flush()
            Path(part.name).replace(path)
        except OSError:
            Path(part.name).unlink()
            raise
    return path
