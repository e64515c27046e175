"""A PACS of a few hundred lines' worth of DICOM: enough to demonstrate Celadon on a machine that has no archive.

It stores, answers queries, gives back what it holds, and routes originals to one peer. It is **not for clinical use**:
it knows no patients apart, keeps no backups, checks nothing and trusts everyone on the loopback interface.
"""

import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError
from pynetdicom import AE, evt
from pynetdicom.dsutils import create_file_meta
from pynetdicom.events import Event
from pynetdicom.presentation import StoragePresentationContexts

from node.dicom.contexts import (
    ACCEPTED_TRANSFER_SYNTAXES,
    LABEL_MAP_SEGMENTATION_STORAGE,
    RESULT_SOP_CLASSES,
    VERIFICATION,
)
from node.dicom.files import write_dicom_file
from node.dicom.peer import Peer
from node.dicom.query import STUDY_ROOT_FIND, STUDY_ROOT_GET
from node.dicom.sending import send_files
from node.domain.identifiers import MANUFACTURER, AeTitle, InstanceUID

if TYPE_CHECKING:
    from pynetdicom.transport import ThreadedAssociationServer

ROUTED_MODALITIES: Final = frozenset({"CT", "SEG", "RTSTRUCT"})

# PS3.4 tables B.2-1, C.4-1 and C.4-3.
_SUCCESS: Final = 0x0000
_PENDING: Final = 0xFF00
_CANCELLED: Final = 0xFE00
_CANNOT_STORE: Final = 0xA700
_BAD_IDENTIFIER: Final = 0xA900

# Query level → what makes two instances one match, and the attributes of an answer (PS3.4 section C.6.2.1).
_PATIENT_AND_STUDY: Final = [
    "PatientID",
    "PatientName",
    "PatientBirthDate",
    "PatientSex",
    "StudyInstanceUID",
    "StudyDate",
    "StudyTime",
    "StudyID",
    "AccessionNumber",
    "StudyDescription",
    "ReferringPhysicianName",
]
_SERIES: Final = ["SeriesInstanceUID", "Modality", "SeriesNumber", "SeriesDescription", "Manufacturer"]
_IMAGE: Final = ["SOPInstanceUID", "SOPClassUID", "InstanceNumber"]
_LEVELS: Final[dict[str, tuple[str, list[str]]]] = {
    "STUDY": ("StudyInstanceUID", _PATIENT_AND_STUDY),
    "SERIES": ("SeriesInstanceUID", _PATIENT_AND_STUDY + _SERIES),
    "IMAGE": ("SOPInstanceUID", _PATIENT_AND_STUDY + _SERIES + _IMAGE),
}
_MATCHED: Final = (
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "SOPInstanceUID",
    "PatientID",
    "AccessionNumber",
    "Modality",
)


@dataclass(frozen=True, slots=True)
class _Held:
    """One stored instance: its file and the header values that queries ask about."""

    path: Path
    values: dict[str, str]

    def is_original(self) -> bool:
        """Whether it should be routed: an image or contour that Celadon did not make itself."""
        made_by = self.values["Manufacturer"].strip().casefold()
        return self.values["Modality"] in ROUTED_MODALITIES and made_by != MANUFACTURER.casefold()


@dataclass(slots=True)
class _Index:
    """What is held, by SOP Instance UID; safe to use from several associations at once."""

    _held: dict[str, _Held] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, held: _Held) -> None:
        with self._lock:
            self._held[held.values["SOPInstanceUID"]] = held

    def matching(self, identifier: Dataset) -> list[_Held]:
        """The instances that match every key of ``identifier`` that has a value."""
        with self._lock:
            everything = list(self._held.values())
        wanted = {keyword: _wanted(identifier, keyword) for keyword in _MATCHED}
        return [
            held
            for held in everything
            if all(not values or held.values[keyword] in values for keyword, values in wanted.items())
        ]


class SmallPacs:
    """The PACS itself, for the length of a ``with`` block; everything it is sent lies in ``folder`` as DICOM files."""

    def __init__(
        self,
        folder: Path,
        *,
        ae_title: str = "SMALLPACS",
        host: str = "127.0.0.1",
        port: int = 0,
        route: Peer | None = None,
    ) -> None:
        """``port`` 0 takes a free one; ``route`` may also be given later, with ``route_to``."""
        self.folder = folder
        self.ae_title = AeTitle(ae_title)
        self.host = host
        self._port = port
        self._route = route
        self._index = _Index()
        self._arrivals: dict[Any, list[_Held]] = {}
        self._routers: list[threading.Thread] = []
        self._server: ThreadedAssociationServer | None = None

    def __enter__(self) -> Self:
        self.folder.mkdir(parents=True, exist_ok=True)
        for path in sorted(self.folder.glob("*.dcm")):
            self._index.add(_read(path))
        handlers = [
            (evt.EVT_C_STORE, self._store),
            (evt.EVT_C_FIND, self._find),
            (evt.EVT_C_GET, self._get),
            (evt.EVT_RELEASED, self._released),
            (evt.EVT_ABORTED, self._aborted),
        ]
        server = _entity(self.ae_title).start_server((self.host, self._port), block=False, evt_handlers=handlers)
        self._server = server
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server = None
        for router in self._routers:
            router.join()

    @property
    def port(self) -> int:
        """The port it listens on."""
        return int(self._server.server_address[1]) if self._server is not None else self._port

    @property
    def peer(self) -> Peer:
        """This PACS as others call it."""
        return Peer(self.ae_title, self.host, self.port)

    def route_to(self, peer: Peer | None) -> None:
        """Send originals of associations that end from now on to ``peer``; to nobody when it is None."""
        self._route = peer

    def _store(self, event: Event) -> int:
        """C-STORE: keep the data set as it came."""
        try:
            uid = InstanceUID(str(event.request.AffectedSOPInstanceUID))
            meta = create_file_meta(
                sop_class_uid=event.request.AffectedSOPClassUID,
                sop_instance_uid=uid,
                transfer_syntax=event.context.transfer_syntax,
            )
            path = write_dicom_file(self.folder / f"{uid}.dcm", meta, event.request.DataSet.getvalue())
            held = _read(path)
        except (OSError, ValueError, InvalidDicomError, NotImplementedError):
            return _CANNOT_STORE
        self._index.add(held)
        self._arrivals.setdefault(event.assoc, []).append(held)
        return _SUCCESS

    def _find(self, event: Event) -> Iterator[tuple[int, Dataset | None]]:
        """C-FIND: one answer for each different match at the level asked."""
        identifier = event.identifier
        level = str(identifier.get("QueryRetrieveLevel", ""))
        if level not in _LEVELS:
            yield _BAD_IDENTIFIER, None
            return
        for group in _grouped(self._index.matching(identifier), _LEVELS[level][0]):
            if event.is_cancelled:
                yield _CANCELLED, None
                return
            yield _PENDING, _answer(level, group)

    def _get(self, event: Event) -> Iterator[Any]:
        """C-GET: everything that matches, over the same association."""
        found = self._index.matching(event.identifier)
        yield len(found)
        for held in found:
            if event.is_cancelled:
                yield _CANCELLED, None
                return
            yield _PENDING, dcmread(held.path)

    def _released(self, event: Event) -> None:
        """Route what the association brought."""
        originals = [held.path for held in self._arrivals.pop(event.assoc, []) if held.is_original()]
        route = self._route
        if originals and route is not None:
            router = threading.Thread(target=send_files, args=(originals, route, self.ae_title), daemon=True)
            self._routers.append(router)
            router.start()

    def _aborted(self, event: Event) -> None:
        """An association that was cut is not routed: its sender will send again."""
        self._arrivals.pop(event.assoc, None)


def _entity(ae_title: AeTitle) -> AE:
    """The application entity with everything it accepts."""
    ae = AE(ae_title=ae_title)
    ae.maximum_pdu_size = 0
    ae.add_supported_context(VERIFICATION)
    ae.add_supported_context(STUDY_ROOT_FIND)
    ae.add_supported_context(STUDY_ROOT_GET)
    usual = (str(context.abstract_syntax) for context in StoragePresentationContexts)
    for sop_class in dict.fromkeys((*RESULT_SOP_CLASSES, LABEL_MAP_SEGMENTATION_STORAGE, *usual)):
        ae.add_supported_context(sop_class, list(ACCEPTED_TRANSFER_SYNTAXES), scu_role=True, scp_role=True)
    return ae


def _read(path: Path) -> _Held:
    """The header values of a stored file."""
    header = dcmread(path, stop_before_pixels=True)
    return _Held(path, {keyword: _text(header, keyword) for keyword in _LEVELS["IMAGE"][1]})


def _text(header: Dataset, keyword: str) -> str:
    value = header.get(keyword)
    return "" if value is None else str(value)


def _wanted(identifier: Dataset, keyword: str) -> frozenset[str]:
    """The values a key asks for: one, or several of a UID list; none when it matches everything."""
    value = identifier.get(keyword)
    if value is None or value in ("", "*"):
        return frozenset()
    return frozenset([value] if isinstance(value, str) else [str(one) for one in value])


def _grouped(instances: Iterable[_Held], keyword: str) -> list[list[_Held]]:
    """The instances that share a value of ``keyword``, in the order in which they came."""
    groups: dict[str, list[_Held]] = {}
    for held in instances:
        groups.setdefault(held.values[keyword], []).append(held)
    return list(groups.values())


def _answer(level: str, group: list[_Held]) -> Dataset:
    """A query answer: the attributes of the level, and how much lies beneath it (PS3.4 section C.3.4)."""
    answer = Dataset()
    answer.SpecificCharacterSet = "ISO_IR 192"
    answer.QueryRetrieveLevel = level
    for keyword in _LEVELS[level][1]:
        setattr(answer, keyword, group[0].values[keyword])
    if level == "STUDY":
        answer.NumberOfStudyRelatedSeries = len({held.values["SeriesInstanceUID"] for held in group})
        answer.NumberOfStudyRelatedInstances = len(group)
    if level == "SERIES":
        answer.NumberOfSeriesRelatedInstances = len(group)
    return answer
