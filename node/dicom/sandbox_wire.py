"""What a sandbox and its decoders say to each other: a JSON header and raw arrays.

Nothing in it is executed or trusted by the reader: a decoder may have been taken over by what it decodes, so types,
sizes and counts are checked here.
"""

import json
import math
import socket
import struct
import time
from collections.abc import Sequence
from dataclasses import astuple, dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from node.domain.clinical_intake import Measurement, MeasurementDocument
from node.domain.coding import Anatomy, Code
from node.domain.identifiers import InstanceUID, SeriesUID, StudyUID
from node.domain.imaging import (
    AnnotatedRegion,
    Annotation,
    AnnotationKind,
    Contour,
    MaskPlane,
    PatientIdentity,
)
from node.domain.verdict import VerdictDocument, VerdictKind

Array = npt.NDArray[Any]

LONGEST_HEADER_BYTES: Final = 64 * 2**20
"""Of an annotation with very many planes; anything else is a few hundred bytes."""
LONGEST_ARRAYS_BYTES: Final = 4 * 2**30
_LENGTH: Final = struct.Struct("<I")
_DTYPES: Final = {name: np.dtype(name) for name in ("float32", "float64", "bool")}
_PIECE_BYTES: Final = 1024 * 1024


class BadMessage(Exception):
    """What came is not a message, or ended within one."""


@dataclass(frozen=True, slots=True, eq=False)
class Message:
    """A request or a reply."""

    header: dict[str, Any]
    arrays: Sequence[Array] = field(default=())


def send(connected: socket.socket, message: Message) -> None:
    """Send a message; OSError when the other side is gone or does not read within the socket's timeout."""
    arrays = [np.ascontiguousarray(array) for array in message.arrays]
    shapes = [[array.dtype.name, list(array.shape)] for array in arrays]
    header = json.dumps(message.header | {"arrays": shapes}).encode()
    connected.sendall(_LENGTH.pack(len(header)) + header)
    for array in arrays:
        if array.size:
            connected.sendall(_bytes_of(array))


def receive(connected: socket.socket, deadline: float | None = None) -> Message:
    """The next message, whole by ``deadline`` (``time.monotonic``; None: whenever it comes).

    Raises:
        BadMessage: the other side is gone, or sends something else.
        TimeoutError: the deadline has passed.
    """
    (length,) = _LENGTH.unpack(_exactly(connected, _LENGTH.size, deadline))
    if length > LONGEST_HEADER_BYTES:
        raise BadMessage("a header is too long")
    try:
        header = json.loads(_exactly(connected, length, deadline))
        arrays = [_empty(*described) for described in header.pop("arrays")]
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as exc:
        raise BadMessage("a header is not one") from exc
    if sum(array.nbytes for array in arrays) > LONGEST_ARRAYS_BYTES:
        raise BadMessage("arrays are too long")
    for array in arrays:
        if array.size:
            _fill(connected, _bytes_of(array), deadline)
    return Message(header, arrays)


def annotation_message(annotation: Annotation) -> Message:
    """An annotation as a message."""
    arrays: list[Array] = []
    regions = []
    for region in annotation.regions:
        arrays += [plane.mask for plane in region.planes]
        arrays += [contour.points_lps_mm for contour in region.contours]
        regions.append(_region_header(region))
    header = {
        "instance_uid": annotation.instance_uid,
        "kind": annotation.kind.value,
        "study_uid": annotation.study_uid,
        "patient": [getattr(annotation.patient, name) for name in _PATIENT],
        "referenced_series": list(annotation.referenced_series),
        "texts": [getattr(annotation, name) for name in _TEXTS],
        "regions": regions,
    }
    return Message(header, arrays)


def document_message(document: MeasurementDocument) -> Message:
    """A document as a message."""
    rows = [[*astuple(one.name), one.text, one.unit, one.observed_at] for one in document.measurements]
    patient = [getattr(document.patient, name) for name in _PATIENT]
    header = {"instance_uid": document.instance_uid, "patient": patient, "is_final": document.is_final}
    return Message(header | {"measurements": rows})


def document_from(message: Message) -> MeasurementDocument:
    """The document in a message; BadMessage when there is none."""
    try:
        header = message.header
        rows = [[str(cell) for cell in row] for row in header["measurements"]]
        return MeasurementDocument(
            InstanceUID(header["instance_uid"]),
            PatientIdentity(**dict(zip(_PATIENT, map(str, header["patient"]), strict=True))),
            header["is_final"] is True,
            tuple(
                Measurement(Code(value, scheme, meaning), text, unit, observed_at)
                for value, scheme, meaning, text, unit, observed_at in rows
            ),
        )
    except (ValueError, TypeError, LookupError, AttributeError) as exc:
        raise BadMessage("a reply is no document") from exc


def verdict_message(document: VerdictDocument | None) -> Message:
    """A verdict, or that there is none, as a message."""
    if document is None:
        return Message({"verdict": None})
    patient = [getattr(document.patient, name) for name in _PATIENT]
    lists = {name: list(getattr(document, name)) for name in ("observers", "references", "own_classes")}
    header: dict[str, Any] = {
        "patient": patient,
        "verdicts": [one.value for one in document.verdicts],
        "reason": document.reason,
    }
    header |= {"instance_uid": document.instance_uid, "study_uid": document.study_uid, "is_final": document.is_final}
    return Message({"verdict": header | lists})


def verdict_from(message: Message) -> VerdictDocument | None:
    """The verdict in a message; BadMessage when there is something else."""
    try:
        header = message.header["verdict"]
        if header is None:
            return None
        lists = {name: tuple(map(str, header[name])) for name in ("observers", "references", "own_classes")}
        return VerdictDocument(
            instance_uid=InstanceUID(header["instance_uid"]),
            study_uid=str(header["study_uid"]),
            patient=PatientIdentity(**dict(zip(_PATIENT, map(str, header["patient"]), strict=True))),
            is_final=header["is_final"] is True,
            verdicts=tuple(VerdictKind(one) for one in header["verdicts"]),
            reason=str(header["reason"]),
            **lists,
        )
    except (ValueError, TypeError, LookupError, AttributeError) as exc:
        raise BadMessage("a reply is no verdict") from exc


def annotation_from(message: Message) -> Annotation:
    """The annotation in a message; BadMessage when there is none."""
    try:
        header, arrays = message.header, list(message.arrays)
        return Annotation(
            instance_uid=InstanceUID(header["instance_uid"]),
            kind=AnnotationKind(header["kind"]),
            study_uid=StudyUID(header["study_uid"]),
            patient=PatientIdentity(**dict(zip(_PATIENT, map(str, header["patient"]), strict=True))),
            referenced_series=tuple(SeriesUID(uid) for uid in header["referenced_series"]),
            **dict(zip(_TEXTS, map(str, header["texts"]), strict=True)),
            regions=tuple(_region(one, arrays) for one in header["regions"]),
        )
    except (ValueError, TypeError, LookupError, AttributeError) as exc:
        raise BadMessage("a reply is no annotation") from exc


_PATIENT: Final = ("patient_id", "issuer", "name", "birth_date", "sex")
_TEXTS: Final = ("frame_of_reference_uid", "manufacturer", "created_at")
_PLANE_DIMENSIONS: Final = 2


def _region_header(region: AnnotatedRegion) -> dict[str, Any]:
    return {
        "number": region.number,
        "label": region.label,
        "anatomy": region.anatomy.name if region.anatomy else None,
        "is_coded": region.anatomy_is_coded,
        "is_lesion": region.is_lesion,
        "planes": [[*plane.position_lps_mm, *plane.orientation, *plane.spacing_mm] for plane in region.planes],
        "contours": len(region.contours),
    }


def _region(header: dict[str, Any], arrays: list[Array]) -> AnnotatedRegion:
    """A region; takes its arrays from the front of ``arrays``."""
    masks, rest = arrays[: len(header["planes"])], arrays[len(header["planes"]) :]
    points, arrays[:] = rest[: header["contours"]], rest[header["contours"] :]
    return AnnotatedRegion(
        number=int(header["number"]),
        label=str(header["label"]),
        anatomy=None if header["anatomy"] is None else Anatomy[header["anatomy"]],
        anatomy_is_coded=bool(header["is_coded"]),
        is_lesion=bool(header["is_lesion"]),
        planes=tuple(_plane(*one) for one in zip(header["planes"], masks, strict=True)),
        contours=tuple(_contour(one) for one in points),
    )


def _plane(place: list[float], mask: Array) -> MaskPlane:
    x, y, z, *cosines, between_rows, between_columns = (float(one) for one in place)
    if mask.dtype != np.bool_ or mask.ndim != _PLANE_DIMENSIONS:
        raise BadMessage("a plane is no mask")
    first, second, third, fourth, fifth, sixth = cosines
    return MaskPlane(mask, (x, y, z), (first, second, third, fourth, fifth, sixth), (between_rows, between_columns))


def _contour(points: Array) -> Contour:
    if points.dtype != np.float64 or points.ndim != _PLANE_DIMENSIONS:
        raise BadMessage("a contour is not made of points")
    return Contour(points)


def _empty(dtype: str, shape: list[int]) -> Array:
    if any(not isinstance(size, int) or size < 0 for size in shape):
        raise BadMessage("an array has no shape")
    if math.prod(shape) * _DTYPES[dtype].itemsize > LONGEST_ARRAYS_BYTES:
        raise BadMessage("an array is too long")
    return np.empty(shape, dtype=_DTYPES[dtype])


def _bytes_of(array: Array) -> memoryview:
    return array.reshape(-1).view(np.uint8).data


def _exactly(connected: socket.socket, count: int, deadline: float | None) -> bytes:
    received = bytearray(count)
    _fill(connected, memoryview(received), deadline)
    return bytes(received)


def _fill(connected: socket.socket, view: memoryview, deadline: float | None) -> None:
    while view:
        connected.settimeout(None if deadline is None else max(0.001, deadline - time.monotonic()))
        try:
            count = connected.recv_into(view[:_PIECE_BYTES])
        except TimeoutError:
            raise
        except OSError as exc:
            raise BadMessage("the other side is gone") from exc
        if not count:
            raise BadMessage("the other side is gone")
        view = view[count:]
