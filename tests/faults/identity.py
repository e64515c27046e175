"""Identity: many patients, studies and character sets, and a judge who looks at the bytes that an archive was given.

Each case is a small series that goes through the door, the analysis and its real writers, and the deliverer with its
identity check, to an archive that may have changed its mind about patient or accession meanwhile. Every object that
arrives must carry the source's patient, study and frame of reference byte for byte, or what the archive says where it
is to be believed; or nothing may arrive.
"""

import logging
import random
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any, Final, Self

from pydicom import Dataset, dcmread
from pydicom.dataelem import RawDataElement
from pydicom.tag import Tag
from pydicom.uid import ExplicitVRLittleEndian
from pynetdicom import AE, evt
from pynetdicom.events import Event

from node import log
from node.destinations.registry import destinations
from node.dicom.contexts import RESULT_SOP_CLASSES
from node.dicom.query import STUDY_ROOT_FIND
from node.dicom.validation import validate
from node.domain.coding import Anatomy
from node.domain.identifiers import AeTitle, SeriesUID, StudyUID, Uid
from node.domain.intake import ReceivedInstance
from node.domain.lifecycle import WAITS_FOR_A_PERSON, JobState
from node.reports.registry import WRITERS, resolve
from node.settings import IdentityCheck, PacsSettings, RuleSettings, Settings
from node.store.session import Database
from node.stores import Stores
from tests.factories import as_file, ct_slice
from tests.fakes import HERE, FakePredictor, FakeSegmenter, FakeSource
from tests.faults.processes import HOST
from workers.analysis import Analysis
from workers.bootstrap import Workshop
from workers.delivery import Deliverer

SLICES: Final = 4
_ATTEMPTS: Final = 6
_COPIED: Final = (
    "PatientName", "PatientID", "PatientBirthDate", "PatientSex", "IssuerOfPatientID", "StudyDate", "StudyTime",
    "StudyID", "AccessionNumber", "ReferringPhysicianName", "StudyDescription", "StudyInstanceUID",
)  # fmt: skip

_PATIENT: Final = ("PatientID", "PatientName", "PatientBirthDate", "PatientSex", "IssuerOfPatientID")
_MEMORY: Final = Path("/dev/shm")  # noqa: S108 — a folder of our own in it
"""Thousands of transactions are not about disks here."""


def _switched(escape: bytes, codec: str) -> Callable[[str], bytes]:
    """Encodes a component whose letters follow an escape sequence (PS3.5 section 6.1.2.5)."""
    return lambda text: text.encode() if text.isascii() else escape + text.encode(codec)


# Name: what is declared, how a component is encoded, and names in it.
_SETS: Final[dict[str, tuple[str | list[str] | None, Callable[[str], bytes], tuple[str, ...]]]] = {
    "GB18030": (
        "GB18030",
        lambda text: text.encode("gb18030"),
        ("Wang^XiaoDong=王^小东", "李^\u3400\u4dae", "Zhang^Wei=张^伟"),
    ),
    "GBK": ("GBK", lambda text: text.encode("gbk"), ("Chen^Jie=陳^潔", "刘^洋")),
    "ISO 2022 IR 58": (
        ["", "ISO 2022 IR 58"],
        _switched(b"\x1b$)A", "gb2312"),
        ("Zhang^XiaoDong=张^小东", "Li^Na=李^娜"),
    ),
    "ISO 2022 IR 87": (
        ["", "ISO 2022 IR 87"],
        lambda text: text.encode("iso2022_jp"),
        ("Yamada^Tarou=山田^太郎=やまだ^たろう",),
    ),
    "ISO 2022 IR 149": (["", "ISO 2022 IR 149"], _switched(b"\x1b$)C", "euc_kr"), ("Hong^Gildong=洪^吉洞=홍^길동",)),
    "ISO_IR 100": (
        "ISO_IR 100",
        lambda text: text.encode("latin-1"),
        ("Müller^Jörg", "Buc^Jérôme", "Ångström^Åsa^^Dr"),
    ),
    "ISO_IR 192": ("ISO_IR 192", lambda text: text.encode(), ("عمر^فاطمة", "Wang^XiaoDong=王^小东", "Nguyễn^Thị")),
    "undeclared": (None, lambda text: text.encode(), ("Plain^Name", "O'Neill^Mary-Jane", "")),
    "undeclared, not ASCII": (None, lambda text: text.encode("gb18030"), ("王^小东", "张^伟")),
}
_KINDS: Final = ("plain", "plain", "plain", "two patients", "accession: hold", "accession: correct", "patient: correct",
                 "archive away", "study gone")  # fmt: skip
_CHECKS: Final = {"accession: correct": IdentityCheck.CORRECT, "patient: correct": IdentityCheck.CORRECT}


@dataclass
class Case:
    """A series, whom it is of, and what the archive says at delivery."""

    number: int
    characters: str
    kind: str
    study: StudyUID
    series: SeriesUID
    frame: str
    values: dict[str, bytes] = field(default_factory=dict)
    """Keyword to the encoded value, as the scanner wrote it."""
    texts: dict[str, str] = field(default_factory=dict)
    """The same as text."""
    archived: dict[str, str] | None = None
    """What the archive says of the study; None: it holds none."""

    @property
    def expected(self) -> dict[str, str]:
        """What every delivered object must say; empty when nothing may be delivered."""
        if self.kind in ("two patients", "accession: hold", "study gone"):
            return {}
        changed = {"patient: correct": _PATIENT, "accession: correct": ("AccessionNumber",)}.get(self.kind, ())
        return self.texts | {keyword: (self.archived or {})[keyword] for keyword in changed}


def make_case(number: int, seed: int) -> Case:
    """Case ``number``, the same for the same seed."""
    dice = random.Random(f"{seed} {number}")  # noqa: S311 — cases, not secrets
    characters, kind = list(_SETS)[number % len(_SETS)], dice.choice(_KINDS)
    case = Case(
        number,
        characters,
        kind,
        StudyUID.derived("identity", "study", str(seed), str(number)),
        SeriesUID.derived("identity", "series", str(seed), str(number)),
        Uid.derived("identity", "frame", str(seed), str(number)),
    )
    _, encode, names = _SETS[characters]
    case.texts = {
        "PatientName": dice.choice(names),
        "PatientID": dice.choice(("", "0", "P ")) + f"{dice.randrange(10**6)}",
        "PatientBirthDate": dice.choice(("", "19600101", "20000229")),
        "PatientSex": dice.choice(("", "F", "M", "O")),
        "IssuerOfPatientID": dice.choice(("", "HOSPITAL", "A&1.2.3&ISO")),
        "StudyDate": "20240506",
        "StudyTime": dice.choice(("", "070809", "070809.123456")),
        "StudyID": dice.choice(("", "1", "S-1")),
        "AccessionNumber": dice.choice(("", f"A{dice.randrange(10**8)}")),
        "ReferringPhysicianName": dice.choice(("", *names)),
        "StudyDescription": dice.choice(("", "CT ABDOMEN")),
    }
    case.values = {keyword: _encoded(text, encode) for keyword, text in case.texts.items()}
    case.archived = _archived(case, dice)
    return case


def _encoded(text: str, encode: Callable[[str], bytes]) -> bytes:
    groups = ["^".join(group.split("^")) for group in text.split("=")]
    value = b"=".join(b"^".join(encode(part) for part in group.split("^")) for group in groups)
    return value + b" " * (len(value) % 2)


def _archived(case: Case, dice: random.Random) -> dict[str, str] | None:
    keys = ("PatientID", "AccessionNumber", "IssuerOfPatientID", "PatientName", "PatientBirthDate", "PatientSex")
    said = {keyword: case.texts[keyword] for keyword in keys}
    if case.characters == "undeclared, not ASCII":
        said["PatientName"] = ""  # nobody knows how to read it
    if case.kind.startswith("accession"):
        said["AccessionNumber"] = f"NEW{dice.randrange(10**8)}"
        return said
    if case.kind.startswith("patient"):
        return said | {
            "PatientID": f"RIGHT{dice.randrange(10**6)}",
            "PatientName": "Right^Person",
            "PatientBirthDate": "19500505",
            "PatientSex": "F",
            "IssuerOfPatientID": "HOSPITAL",
        }
    return None if case.kind == "study gone" else said


def images(case: Case) -> Iterator[Dataset]:
    """The slices as the scanner wrote them; of ``two patients``, half are somebody else's."""
    declared, _, _ = _SETS[case.characters]
    for index in range(SLICES):
        image = ct_slice(
            index,
            series=case.series,
            StudyInstanceUID=case.study,
            FrameOfReferenceUID=case.frame,
            SeriesNumber=9300 if case.number % 3 else 3,  # as results are numbered, and the same in every study
            SpecificCharacterSet=declared,
        )
        for keyword, value in case.values.items():
            tag = Tag(keyword)
            vr = image_vr(keyword)
            image[tag] = RawDataElement(tag, vr, len(value), value, 0, is_implicit_VR=False, is_little_endian=True)
        if case.kind == "two patients" and index % 2:
            image.PatientID = "SOMEBODY-ELSE"
        yield image


def image_vr(keyword: str) -> str:
    """The value representation of an attribute of these."""
    return {"PatientName": "PN", "ReferringPhysicianName": "PN", "PatientBirthDate": "DA", "StudyDate": "DA",
            "StudyTime": "TM", "PatientSex": "CS", "StudyID": "SH",
            "AccessionNumber": "SH"}.get(keyword, "LO")  # fmt: skip


@dataclass
class Archive:
    """Takes everything, and answers whom it has a study filed under."""

    cases: dict[str, Case] = field(default_factory=dict)
    """By study."""
    received: dict[str, list[Dataset]] = field(default_factory=dict)
    """By study."""
    is_silent: bool = False

    def __enter__(self) -> Self:
        """Be there."""
        ae = AE(ae_title="ARCHIVE")
        for sop_class in RESULT_SOP_CLASSES:
            ae.add_supported_context(sop_class, ExplicitVRLittleEndian)
        ae.add_supported_context(STUDY_ROOT_FIND)
        handlers = [(evt.EVT_C_STORE, self._store), (evt.EVT_C_FIND, self._find)]
        self._server: Any = ae.start_server((HOST, 0), block=False, evt_handlers=handlers)
        return self

    def __exit__(self, *_: object) -> None:
        """Be gone."""
        self._server.shutdown()

    @property
    def port(self) -> int:
        """Where it is."""
        return int(self._server.server_address[1])

    def _store(self, event: Event) -> int:
        found = dcmread(BytesIO(event.request.DataSet.getvalue()), force=True)
        self.received.setdefault(found.StudyInstanceUID, []).append(found)
        return 0x0000

    def _find(self, event: Event) -> Iterator[tuple[int, Dataset | None]]:
        if self.is_silent:
            yield 0xA700, None
            return
        case = self.cases.get(str(event.identifier.StudyInstanceUID))
        if case is not None and case.archived is not None:
            answer = Dataset()
            answer.SpecificCharacterSet = "ISO_IR 192"
            answer.QueryRetrieveLevel = "STUDY"
            answer.StudyInstanceUID = case.study
            for keyword, text in case.archived.items():
                setattr(answer, keyword, text)
            yield 0xFF00, answer


@dataclass(frozen=True)
class Verdict:
    """What came of the cases."""

    cases: Counter[str]
    """By kind."""
    delivered: int
    """Objects."""
    silent: int
    """Cases of which nothing was delivered, as it should be."""
    wrong: tuple[str, ...]
    """What is not as it should be."""


def run(count: int, seed: int, folder: Path, say: Callable[[str], None] = lambda _: None) -> Verdict:
    """Play ``count`` cases, one after the other, and judge them."""
    kinds: Counter[str] = Counter()
    wrong: list[str] = []
    delivered = silent = 0
    with Archive() as archive:
        shops = {
            check: _shop(folder / check.value, archive.port, check)
            for check in (IdentityCheck.HOLD, IdentityCheck.CORRECT)
        }
        for number in range(count):
            case = make_case(number, seed)
            archive.cases[case.study] = case
            kinds[case.kind] += 1
            _play(case, archive, shops[_CHECKS.get(case.kind, IdentityCheck.HOLD)])
            objects = archive.received.get(case.study, [])
            delivered, silent = delivered + len(objects), silent + (not objects)
            found = [f"case {number} ({case.characters}, {case.kind}): {one}" for one in _judged(case, objects)]
            for one in found:
                say(one)
            wrong += found
            if (number + 1) % 50 == 0:
                say(f"{number + 1} cases, {delivered} objects, {len(wrong)} wrong")
    return Verdict(kinds, delivered, silent, tuple(wrong))


def _shop(folder: Path, port: int, check: IdentityCheck) -> Workshop:
    settings = Settings(
        data_dir=folder,
        pacs={"archive": PacsSettings(ae_title="ARCHIVE", host=HOST, port=port, identity=check)},
        rules=(RuleSettings(predictor="fake", when={}),),
    )
    Database(settings.url).upgrade()
    return Workshop(
        settings=settings,
        stores=Stores.open(settings),
        decoder=HERE,
        segmenters=((FakeSegmenter(), (Anatomy.PANCREAS,)),),
        predictors={"fake": FakePredictor()},
        sources=(FakeSource(),),
        writers=tuple(resolve(name) for name in WRITERS),
        destinations=destinations(settings),
        node_version="0.0.0",
    )


def _play(case: Case, archive: Archive, shop: Workshop) -> None:
    stores = shop.stores
    for image in images(case):
        content = as_file(image)
        instance = validate(content, sop_class_uid=image.SOPClassUID, sop_instance_uid=image.SOPInstanceUID)
        stores.inbox.accept(ReceivedInstance(instance, content, AeTitle("SCANNER"), HOST))
    stores.jobs.complete(case.series, "test", SLICES)
    archive.is_silent = case.kind == "archive away"
    deliverer = Deliverer(shop.settings, stores, shop.destinations, "deliverer", "archive")
    for _ in range(_ATTEMPTS):
        while claim := stores.jobs.claim("worker"):
            Analysis(shop, "worker").run(claim)
        if not deliverer.work():
            mine = [job for job in stores.jobs.jobs() if job.series_uid == case.series]
            if mine[0].state is not JobState.DELIVERING or _is_held(stores, mine[0].job_id):
                break
            time.sleep(0.3)
        if archive.is_silent:
            # Not told whose it is, it must not have sent anything; then the archive answers.
            assert case.study not in archive.received
            archive.is_silent = False


def _is_held(stores: Stores, job_id: str) -> bool:
    return any(state in WAITS_FOR_A_PERSON for _, _, state, _ in stores.outbox.of(job_id))


def _judged(case: Case, objects: list[Dataset]) -> Iterator[str]:
    expected = case.expected
    if not expected:
        if objects:
            yield f"{len(objects)} objects were delivered that should not have been"
        return
    if not objects:
        yield "nothing was delivered"
    for one in objects:
        for keyword in _COPIED:
            if problem := _difference(case, one, keyword, expected):
                yield f"{one.SOPClassUID.name}: {keyword} {problem}"
        frame = one.get("FrameOfReferenceUID")
        if frame is not None and frame != case.frame:
            yield f"{one.SOPClassUID.name}: another frame of reference"


def _difference(case: Case, one: Dataset, keyword: str, expected: dict[str, str]) -> str:
    if keyword == "StudyInstanceUID":
        return "" if one.StudyInstanceUID == case.study else "is another"
    declared, _, _ = _SETS[case.characters]
    element = one.get_item(Tag(keyword))
    if element is None:
        return "is missing" if expected[keyword] else ""
    value = element.value or b""
    if expected[keyword] == case.texts[keyword] and one.get("SpecificCharacterSet") == declared:
        return "" if value.rstrip(b" \0") == case.values[keyword].rstrip(b" \0") else "has other bytes"
    codec = {"ISO_IR 192": "utf-8", "ISO_IR 100": "latin-1", "GB18030": "gb18030", "GBK": "gbk"}.get(
        str(one.get("SpecificCharacterSet") or ""), "ascii"
    )
    text = value.decode(codec, errors="replace").rstrip(" \0")
    return "" if text == expected[keyword].rstrip() else "says something else"


def matrix(count: int, seed: int, say: Callable[[str], None]) -> bool:
    """Run and print; whether every case is as it should be."""
    log.configure("identity", level=logging.CRITICAL)
    folder = Path(tempfile.mkdtemp(prefix="celadon-identity-", dir=_MEMORY if _MEMORY.is_dir() else None))
    try:
        found = run(count, seed, folder, say)
    finally:
        shutil.rmtree(folder)
    for kind, number in sorted(found.cases.items()):
        say(f"{kind:24}{number:>6} cases")
    what = f"{found.delivered} objects delivered, {found.silent} cases of which nothing was"
    say(f"{count} cases, {what}, {len(found.wrong)} wrong")
    return not found.wrong
