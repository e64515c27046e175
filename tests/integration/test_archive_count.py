"""A listener that asks the archive: a real process, a real PACS, and a series that nothing else would complete."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from pynetdicom import AE

from node.demo.pacs import DemoPacs, orthanc_program, start_pacs
from node.domain.audit import AuditAction
from node.domain.lifecycle import JobState
from node.settings import Settings, read_settings
from node.store.session import Database
from node.stores import Stores
from tests.factories import SERIES, ct_slice, write
from tests.servers import require
from tests.waiting import wait_until

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:pydicom")  # these headers are odd on purpose

# No silence of this test is long enough for the other rules.
NEVER_S = 3600
WITH_A_GAP = (0, 1, 2, 5, 6)


@pytest.fixture(params=["small PACS", "Orthanc"])
def archive(request: pytest.FixtureRequest) -> Iterator[DemoPacs]:
    """An archive that answers queries, and sends nothing by itself."""
    if request.param == "Orthanc":
        require("Orthanc", orthanc_program())
    with start_pacs(prefer_orthanc=request.param == "Orthanc") as pacs:
        assert pacs.kind == request.param
        yield pacs


@pytest.fixture
def settings(archive: DemoPacs, tmp_path: Path) -> Settings:
    """A node that may ask the archive."""
    path = tmp_path / "celadon.toml"
    path.write_text(
        f'data_dir = "{tmp_path / "data"}"\n'
        f'[dicom]\nport = 0\nmin_free_gb = 0\n[completion]\nquery_peer = "main"\nquiet_max_s = {NEVER_S}\n'
        f'[pacs.main]\nae_title = "{archive.ae_title}"\nhost = "{archive.host}"\nport = {archive.port}\n'
    )
    made = read_settings(path)
    Database(made.url).upgrade()
    return made


@pytest.fixture
def port(settings: Settings, tmp_path: Path) -> Iterator[int]:
    """Where ``celadon listen`` listens."""
    reader, writer = os.pipe()
    command = [sys.executable, "-m", "node", "listen", "--config", str(tmp_path / "celadon.toml")]
    process = subprocess.Popen([*command, "--ready-fd", str(writer)], pass_fds=(writer,))
    os.close(writer)
    with os.fdopen(reader) as announcements:
        yield int(json.loads(announcements.readline())["port"])
    process.terminate()
    assert process.wait(30) == 0


def test_the_count_of_the_archive_completes_what_silence_would_not(
    archive: DemoPacs, settings: Settings, port: int, tmp_path: Path
) -> None:
    """A series with a legal gap, over an association that stays open, waits for the archive's last one only."""
    slices = [ct_slice(index) for index in WITH_A_GAP]
    archive.store(write(slices, tmp_path / "files"))
    stores = Stores.open(settings)
    ae = AE("SCANNER")
    ae.add_requested_context(slices[0].SOPClassUID, slices[0].file_meta.TransferSyntaxUID)
    association = ae.associate("127.0.0.1", port, ae_title="CELADON")
    assert association.is_established
    for one in slices:
        assert stores.jobs.counts()[JobState.WAITING] == 0
        assert association.send_c_store(one).Status == 0x0000
    wait_until(lambda: stores.jobs.counts()[JobState.WAITING] or None, "the series is complete")
    assert association.is_established
    association.release()
    (told,) = [one for one in stores.audit.events() if one.action is AuditAction.SERIES_COMPLETED]
    assert (told.series_uid, told.details) == (SERIES, {"evidence": "the archive holds as many: 5", "count": 5})
