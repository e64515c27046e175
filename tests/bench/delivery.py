"""Delivery: how long the objects of one case take from the outbox to Orthanc, and what a plain sender takes."""

import logging
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Final

from pydicom import dcmread
from pynetdicom import AE

from node import log
from node.demo.pacs import orthanc_program, start_pacs
from node.destinations.registry import destinations
from node.dicom.contexts import EXPLICIT_LITTLE_ENDIAN
from node.dicom.peer import Peer
from node.domain.identifiers import InstanceUID, SeriesUID
from node.domain.reporting import ReportObject
from node.reports.registry import WRITERS, resolve
from node.settings import PacsSettings, Settings
from node.store.jobs import EndedStep
from node.store.session import Database
from node.stores import Stores
from tests.factories import ct_slices, event, received, step_record
from tests.unit.node.reports.factory import CtSpec, build_report, porcelain
from workers.delivery import Deliverer
from workers.steps.compose import compose

ROUNDS: Final = 7
BAR_S: Final = 1.0
CASE: Final = CtSpec(slices=40, rows=512, columns=512)


def delivery() -> None:
    """Print the table."""
    if orthanc_program() is None:
        _say("delivery: Orthanc is not installed")
        return
    log.configure("bench", level=logging.CRITICAL)
    with tempfile.TemporaryDirectory(prefix="celadon-bench-") as name, start_pacs() as orthanc:
        folder = Path(name)
        source = folder / "source"
        source.mkdir()
        objects = compose(build_report(source, porcelain(), CASE), [resolve(one) for one in WRITERS])
        settings = Settings(
            data_dir=folder / "data",
            pacs={"orthanc": PacsSettings(ae_title=orthanc.ae_title, host=orthanc.host, port=orthanc.port)},
        )
        Database(settings.url).upgrade()
        stores = Stores.open(settings)
        deliverer = Deliverer(settings, stores, destinations(settings), "bench", "orthanc")
        ours, plain = [], []
        for number in range(ROUNDS + 1):
            _commit(stores, _renamed(objects, f"ours {number}"), number)
            begun = time.perf_counter()
            assert deliverer.work()
            ours.append(time.perf_counter() - begun)
            others = _renamed(objects, f"plain {number}")
            begun = time.perf_counter()
            _send_plainly(others, orthanc.peer)
            plain.append(time.perf_counter() - begun)
        assert not stores.outbox.attention()
        assert all(job.state.value == "done" for job in stores.jobs.jobs())
    size = sum(len(one.content) for one in objects) / 1e6
    _show(len(objects), size, ours[1:], plain[1:])


def _show(count: int, megabytes: float, ours: Sequence[float], plain: Sequence[float]) -> None:
    median, other = statistics.median(ours), statistics.median(plain)
    _say(f"delivery of one case to Orthanc: {count} objects, {megabytes:.1f} MB, {len(ours)} rounds in turn")
    _say(f"{'outbox, C-STORE, written down':34}{median:8.3f} s   longest {max(ours):.3f} s   bar {BAR_S:.1f} s")
    _say(f"{'pynetdicom, nothing written down':34}{other:8.3f} s   longest {max(plain):.3f} s")
    _say(f"{'ratio of medians':34}{median / other:8.2f}")


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")


def _renamed(objects: Sequence[ReportObject], name: str) -> list[ReportObject]:
    """The same objects under other UIDs: an archive that has them already is quick."""
    renamed = []
    for one in objects:
        uid = InstanceUID.derived("bench", name, one.uid)
        dataset = dcmread(BytesIO(one.content))
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = uid
        file = BytesIO()
        dataset.save_as(file, enforce_file_format=True)
        renamed.append(replace(one, uid=uid, content=file.getvalue()))
    return renamed


def _commit(stores: Stores, objects: Sequence[ReportObject], number: int) -> None:
    series = SeriesUID.derived("bench", str(number))
    for one in ct_slices(2, series=series):
        stores.inbox.accept(received(one))
    assert stores.jobs.complete(series, "bench", 2)
    claim = stores.jobs.claim("bench")
    assert claim
    stores.results.commit(
        claim, objects, predictor="p", destinations=("orthanc",), steps=[EndedStep(step_record(), (event(),))]
    )


def _send_plainly(objects: Sequence[ReportObject], peer: Peer) -> None:
    """As the library's own examples send: one association, a data set after the other."""
    ae = AE(ae_title="PLAIN")
    for sop_class in {one.sop_class_uid for one in objects}:
        ae.add_requested_context(sop_class, EXPLICIT_LITTLE_ENDIAN)
    association = ae.associate(peer.host, peer.port, ae_title=peer.ae_title)
    for one in objects:
        assert association.send_c_store(dcmread(BytesIO(one.content))).Status == 0x0000
    association.release()
