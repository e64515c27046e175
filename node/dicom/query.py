"""C-FIND and C-GET as SCU: what a PACS holds, and copies of it (PS3.4 annex C, Study Root model)."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError
from pydicom.uid import UID
from pynetdicom import evt
from pynetdicom.dsutils import create_file_meta
from pynetdicom.events import Event
from pynetdicom.presentation import build_context, build_role

from node.dicom.contexts import RESULT_SOP_CLASSES, retrieval_contexts
from node.dicom.files import write_dicom_file
from node.dicom.peer import DEFAULT_TIMEOUT_S, Peer, association_with
from node.domain.identifiers import InstanceUID, SeriesUID, StudyUID
from node.domain.identity import StudyIdentity
from node.errors import Fatal, Retryable

Match = TypeVar("Match")

STUDY_ROOT_FIND: Final = UID("1.2.840.10008.5.1.4.1.2.2.1")
STUDY_ROOT_GET: Final = UID("1.2.840.10008.5.1.4.1.2.2.3")

_IDENTITY_KEYS: Final = {
    "patient_id": "PatientID",
    "accession": "AccessionNumber",
    "issuer": "IssuerOfPatientID",
    "name": "PatientName",
    "birth_date": "PatientBirthDate",
    "sex": "PatientSex",
}

# PS3.4 table C.4-1 and table C.4-3.
_SUCCESS: Final = 0x0000
_PENDING: Final = (0xFF00, 0xFF01)
_CANNOT_STORE: Final = 0xA700


@dataclass(frozen=True, slots=True)
class StudyMatch:
    """A study that a PACS holds."""

    study_uid: StudyUID
    patient_id: str
    accession_number: str
    study_date: str
    study_description: str
    series_count: int | None
    """Number of Study Related Series (0020,1206); None when the PACS does not say."""
    instance_count: int | None
    """Number of Study Related Instances (0020,1208); None when the PACS does not say."""


@dataclass(frozen=True, slots=True)
class SeriesMatch:
    """A series that a PACS holds."""

    study_uid: StudyUID
    series_uid: SeriesUID
    modality: str
    series_number: str
    series_description: str
    instance_count: int | None
    """Number of Series Related Instances (0020,1209); None when the PACS does not say."""


@dataclass(frozen=True, slots=True)
class InstanceMatch:
    """An instance that a PACS holds."""

    study_uid: StudyUID
    series_uid: SeriesUID
    instance_uid: InstanceUID
    sop_class_uid: str
    instance_number: str


def find_studies(
    peer: Peer,
    calling_ae: str,
    *,
    study_uid: str = "",
    patient_id: str = "",
    accession_number: str = "",
    timeout_s: float = DEFAULT_TIMEOUT_S,
) -> tuple[StudyMatch, ...]:
    """The studies that match every value given; all studies when none is. Retryable when the peer does not answer."""
    keys = {
        "StudyInstanceUID": study_uid,
        "PatientID": patient_id,
        "AccessionNumber": accession_number,
        "StudyDate": "",
        "StudyDescription": "",
        "NumberOfStudyRelatedSeries": "",
        "NumberOfStudyRelatedInstances": "",
    }
    return tuple(_find(peer, calling_ae, "STUDY", keys, _study, timeout_s))


def study_identity(
    peer: Peer, calling_ae: str, study_uid: str, timeout_s: float = DEFAULT_TIMEOUT_S
) -> StudyIdentity | None:
    """Whom ``peer`` has a study filed under; None when it holds no such study. Retryable when it does not answer."""
    keys = {"StudyInstanceUID": study_uid} | dict.fromkeys(_IDENTITY_KEYS.values(), "")
    found = list(_find(peer, calling_ae, "STUDY", keys, _as_it_is, timeout_s))
    return next((_identity(match) for match in found if _text(match, "StudyInstanceUID") == study_uid), None)


def find_series(
    peer: Peer,
    calling_ae: str,
    study_uid: str,
    *,
    series_uid: str = "",
    modality: str = "",
    timeout_s: float = DEFAULT_TIMEOUT_S,
) -> tuple[SeriesMatch, ...]:
    """The series of a study that match every value given; Retryable when the peer does not answer."""
    keys = {
        "StudyInstanceUID": study_uid,
        "SeriesInstanceUID": series_uid,
        "Modality": modality,
        "SeriesNumber": "",
        "SeriesDescription": "",
        "NumberOfSeriesRelatedInstances": "",
    }
    return tuple(_find(peer, calling_ae, "SERIES", keys, _series, timeout_s))


def count_instances(
    peer: Peer, calling_ae: str, study_uid: str, series_uid: str, timeout_s: float = DEFAULT_TIMEOUT_S
) -> int | None:
    """How many instances of a series ``peer`` says it holds; None when it does not say, or holds none.

    Retryable when the peer does not answer.
    """
    found = find_series(peer, calling_ae, study_uid, series_uid=series_uid, timeout_s=timeout_s)
    return next((match.instance_count for match in found if match.series_uid == series_uid), None)


def find_instances(
    peer: Peer, calling_ae: str, study_uid: str, series_uid: str, timeout_s: float = DEFAULT_TIMEOUT_S
) -> tuple[InstanceMatch, ...]:
    """The instances of a series; Retryable when the peer does not answer."""
    keys = {
        "StudyInstanceUID": study_uid,
        "SeriesInstanceUID": series_uid,
        "SOPInstanceUID": "",
        "SOPClassUID": "",
        "InstanceNumber": "",
    }
    return tuple(_find(peer, calling_ae, "IMAGE", keys, _instance, timeout_s))


def fetch(
    peer: Peer,
    calling_ae: str,
    folder: Path,
    study_uid: str,
    series_uid: str | None = None,
    timeout_s: float = DEFAULT_TIMEOUT_S,
) -> tuple[Path, ...]:
    """Copies of a study, or of one of its series, as ``<folder>/<SOP Instance UID>.dcm`` (C-GET).

    The PACS is asked first which SOP classes there are, so that each comes back in the transfer syntax it is stored in.
    Retryable when the peer does not answer or could not send everything.
    """
    series = [series_uid] if series_uid else []
    if not series:
        series.extend(found.series_uid for found in find_series(peer, calling_ae, study_uid, timeout_s=timeout_s))
    classes = _classes(peer, calling_ae, study_uid, series, timeout_s)
    if not classes:
        return ()
    folder.mkdir(parents=True, exist_ok=True)
    written: dict[str, Path] = {}
    identifier = _identifier(
        "SERIES" if series_uid else "STUDY",
        {"StudyInstanceUID": study_uid} | ({"SeriesInstanceUID": series_uid} if series_uid else {}),
    )
    options = {
        "ext_neg": [build_role(UID(one), scp_role=True) for one in classes],
        "evt_handlers": [(evt.EVT_C_STORE, _keep, [folder, written])],
    }
    contexts = [build_context(STUDY_ROOT_GET), *retrieval_contexts(classes)]
    with association_with(peer, calling_ae, contexts, timeout_s, **options) as association:
        if STUDY_ROOT_GET not in {context.abstract_syntax for context in association.accepted_contexts}:
            raise Retryable(f"{peer} does not offer C-GET")
        status = 0
        for answer, _ in association.send_c_get(identifier, STUDY_ROOT_GET):
            status = _status(answer, peer)
    if status != _SUCCESS:
        raise Retryable(f"{peer} sent {len(written)} objects and ended with the status 0x{status:04X}")
    return tuple(written.values())


def _classes(peer: Peer, calling_ae: str, study_uid: str, series: list[str], timeout_s: float) -> list[str]:
    """The SOP classes in ``series``, each once; Celadon's own result classes for a PACS that does not say."""
    instances = [instance for uid in series for instance in find_instances(peer, calling_ae, study_uid, uid, timeout_s)]
    named = [instance.sop_class_uid for instance in instances]
    if instances and not all(named):
        named.extend(RESULT_SOP_CLASSES)
    return [uid for uid in dict.fromkeys(named) if uid]


def _find(
    peer: Peer,
    calling_ae: str,
    level: str,
    keys: dict[str, str],
    read: Callable[[Dataset], Match],
    timeout_s: float,
) -> Iterator[Match]:
    """Ask, and read each answer."""
    with association_with(peer, calling_ae, [build_context(STUDY_ROOT_FIND)], timeout_s) as association:
        if not association.accepted_contexts:
            raise Retryable(f"{peer} does not offer C-FIND")
        for answer, match in association.send_c_find(_identifier(level, keys), STUDY_ROOT_FIND):
            status = _status(answer, peer)
            if status in _PENDING and match is not None:
                yield read(match)
            elif status not in (*_PENDING, _SUCCESS):
                raise Retryable(f"{peer} answered the query with the status 0x{status:04X}")


def _status(answer: Dataset, peer: Peer) -> int:
    """The status of an answer; Retryable when there was none."""
    if "Status" not in answer:
        raise Retryable(f"{peer} stopped answering")
    return int(answer.Status)


def _identifier(level: str, keys: dict[str, str]) -> Dataset:
    """A query identifier (PS3.4 section C.4.1.1.3)."""
    identifier = Dataset()
    identifier.QueryRetrieveLevel = level
    for keyword, value in keys.items():
        setattr(identifier, keyword, value)
    return identifier


def _keep(event: Event, folder: Path, written: dict[str, Path]) -> int:
    """Write what C-GET brings, under its checked UID."""
    try:
        uid = InstanceUID(str(event.request.AffectedSOPInstanceUID))
        meta = create_file_meta(
            sop_class_uid=event.request.AffectedSOPClassUID,
            sop_instance_uid=uid,
            transfer_syntax=event.context.transfer_syntax,
        )
        written[uid] = write_dicom_file(folder / f"{uid}.dcm", meta, event.request.DataSet.getvalue())
    except (OSError, ValueError):
        return _CANNOT_STORE
    return _SUCCESS


def _study(match: Dataset) -> StudyMatch:
    return StudyMatch(
        StudyUID(_text(match, "StudyInstanceUID")),
        _text(match, "PatientID"),
        _text(match, "AccessionNumber"),
        _text(match, "StudyDate"),
        _text(match, "StudyDescription"),
        _count(match, "NumberOfStudyRelatedSeries"),
        _count(match, "NumberOfStudyRelatedInstances"),
    )


def _as_it_is(match: Dataset) -> Dataset:
    return match


def _identity(match: Dataset) -> StudyIdentity:
    return StudyIdentity(**{name: _text(match, keyword) for name, keyword in _IDENTITY_KEYS.items()})


def read_identity(path: Path) -> tuple[StudyUID, StudyIdentity]:
    """The study of a DICOM file that Celadon wrote, and whom it says that it is of.

    Raises Retryable when the file cannot be read now, and Fatal when it is not what was written.
    """
    try:
        header = dcmread(path, stop_before_pixels=True, specific_tags=["StudyInstanceUID", *_IDENTITY_KEYS.values()])
        return StudyUID(str(header.StudyInstanceUID)), _identity(header)
    except OSError as exc:
        raise Retryable(f"an object of our own cannot be read: {exc.strerror}") from exc
    except (InvalidDicomError, AttributeError, ValueError, TypeError, KeyError, EOFError) as exc:
        raise Fatal(f"an object of our own is damaged: {type(exc).__name__}") from exc


def _series(match: Dataset) -> SeriesMatch:
    return SeriesMatch(
        StudyUID(_text(match, "StudyInstanceUID")),
        SeriesUID(_text(match, "SeriesInstanceUID")),
        _text(match, "Modality"),
        _text(match, "SeriesNumber"),
        _text(match, "SeriesDescription"),
        _count(match, "NumberOfSeriesRelatedInstances"),
    )


def _instance(match: Dataset) -> InstanceMatch:
    return InstanceMatch(
        StudyUID(_text(match, "StudyInstanceUID")),
        SeriesUID(_text(match, "SeriesInstanceUID")),
        InstanceUID(_text(match, "SOPInstanceUID")),
        _text(match, "SOPClassUID"),
        _text(match, "InstanceNumber"),
    )


def _text(match: Dataset, keyword: str) -> str:
    value = match.get(keyword)
    return "" if value is None else str(value)


def _count(match: Dataset, keyword: str) -> int | None:
    text = _text(match, keyword)
    return int(text) if text.isdecimal() else None
