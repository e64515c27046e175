"""One structured report for each archive: what is written, sent to archives that take one form and not the other."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from pydicom import Dataset, dcmread
from pydicom.uid import Comprehensive3DSRStorage, EnhancedSRStorage, ExplicitVRLittleEndian, SegmentationStorage
from pynetdicom import AE, evt
from pynetdicom.events import Event

from node.destinations.registry import destinations
from node.domain.lifecycle import DeliveryState
from node.domain.reporting import Delivery, ReportObject
from node.reports.registry import wanted_writers
from node.settings import ReportsSettings, Settings
from tests.unit.node.reports.factory import build_report, gtrnet

HOST = "127.0.0.1"
STORED, WITHDRAWN = DeliveryState.STORED, DeliveryState.WITHDRAWN


@contextmanager
def archive(takes: Sequence[str], refuses: Sequence[str] = ()) -> Iterator[tuple[int, dict[str, Dataset]]]:
    """An archive that negotiates ``takes`` and ``refuses``, and answers 0x0122 to the latter: its port, what it has."""
    has: dict[str, Dataset] = {}

    def store(event: Event) -> int:
        sop_class = str(event.request.AffectedSOPClassUID)
        if sop_class in refuses:
            return 0x0122
        has[sop_class] = event.dataset
        return 0x0000

    ae = AE(ae_title="ARCHIVE")
    for sop_class in (*takes, *refuses):
        ae.add_supported_context(sop_class, ExplicitVRLittleEndian)
    server = ae.start_server((HOST, 0), block=False, evt_handlers=[(evt.EVT_C_STORE, store)])
    try:
        yield server.server_address[1], has
    finally:
        server.shutdown()


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[ReportObject, ...]:
    """What is written by default about a series."""
    report = build_report(tmp_path_factory.mktemp("ct"), gtrnet())
    return tuple(one for writer in wanted_writers(ReportsSettings()) for one in writer.write(report))


@pytest.mark.parametrize(
    ("takes", "refuses", "expected"),
    [
        ([Comprehensive3DSRStorage, EnhancedSRStorage], [], Comprehensive3DSRStorage),
        ([EnhancedSRStorage], [], EnhancedSRStorage),
        ([EnhancedSRStorage], [Comprehensive3DSRStorage], EnhancedSRStorage),
        ([Comprehensive3DSRStorage], [], Comprehensive3DSRStorage),
    ],
    ids=["takes both", "does not negotiate 3D SR", "refuses 3D SR", "takes 3D SR alone"],
)
def test_each_archive_gets_the_one_form_that_it_takes(
    written: tuple[ReportObject, ...], tmp_path: Path, takes: list[str], refuses: list[str], expected: str
) -> None:
    """With the same numbers in it; the other form is not needed, and nothing waits for a person."""
    made = {one.sop_class_uid: one for one in written}
    with archive([SegmentationStorage, *takes], refuses) as (port, has):
        pacs: dict[str, Any] = {"ae_title": "ARCHIVE", "host": HOST, "port": port, "timeout_s": 10}
        destination = destinations(Settings(data_dir=tmp_path, pacs={"archive": pacs}))["archive"]
        sent = [made[one] for one in (SegmentationStorage, Comprehensive3DSRStorage, EnhancedSRStorage)]
        outcomes = destination.deliver([_delivery(number, one, tmp_path) for number, one in enumerate(sent)])
    other = ({Comprehensive3DSRStorage, EnhancedSRStorage} - {expected}).pop()
    states = {one.sop_class_uid: outcome.state for one, outcome in zip(sent, outcomes, strict=True)}
    assert states == {SegmentationStorage: STORED, expected: STORED, other: WITHDRAWN}
    assert set(has) == {SegmentationStorage, expected}
    assert _numbers(has[expected]) == _numbers(dcmread(BytesIO(made[Comprehensive3DSRStorage].content)))


def _delivery(number: int, made: ReportObject, folder: Path) -> Delivery:
    path = folder / f"{number}.dcm"
    path.write_bytes(made.content)
    return Delivery(
        number,
        "job",
        made.uid,
        made.sop_class_uid,
        "archive",
        path,
        1,
        DeliveryState.SENDING,  # type: ignore[arg-type]
    )


def _numbers(item: Dataset) -> set[tuple[str, str]]:
    """What is measured, and how much, anywhere in the tree."""
    found: set[tuple[str, str]] = set()
    for child in item.get("ContentSequence", ()):
        if child.ValueType == "NUM":
            value = child.MeasuredValueSequence[0].NumericValue
            found.add((child.ConceptNameCodeSequence[0].CodeValue, str(value)))
        found |= _numbers(child)
    return found
