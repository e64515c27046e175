"""The demonstration's PACS where there is no Orthanc; with Orthanc it is an integration test."""

import pytest

from node.demo.pacs import orthanc_program, start_pacs
from node.demo.series import make_case
from node.dicom.query import find_studies


def test_without_orthanc_the_small_pacs_serves(tmp_path_factory: pytest.TempPathFactory) -> None:
    """The project's own PACS stands in, says what it is, and has no web pages."""
    case = make_case("pancreas", tmp_path_factory.mktemp("case"))
    with start_pacs(prefer_orthanc=False) as pacs:
        assert (pacs.kind, pacs.web_url) == ("small PACS", None)
        pacs.store(case.paths)
        (study,) = find_studies(pacs.peer, "TESTER")
        assert study.instance_count == len(case.paths)
        folder = pacs.folder
    assert not folder.exists()


def test_orthanc_is_looked_for_where_debian_puts_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Orthanc in /usr/sbin is found although that is not on an ordinary user's PATH."""
    monkeypatch.setattr("shutil.which", lambda name: name if name == "/usr/sbin/Orthanc" else None)
    assert orthanc_program() == "/usr/sbin/Orthanc"
