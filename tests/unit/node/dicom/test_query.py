"""Queries to a PACS that answers badly; the good answers are tested with the small PACS and with Orthanc."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydicom.dataset import Dataset
from pynetdicom import AE, evt
from pynetdicom.events import Event

from node.dicom.peer import Peer
from node.dicom.query import STUDY_ROOT_FIND, fetch, find_series, find_studies
from node.domain.identifiers import AeTitle
from node.errors import Retryable


@pytest.fixture
def answers() -> list[tuple[int, Dataset | None]]:
    """What the PACS answers; a test fills it."""
    return []


@pytest.fixture
def peer(answers: list[tuple[int, Dataset | None]]) -> Iterator[Peer]:
    """A PACS that offers C-FIND only."""

    def find(_: Event) -> Iterator[Any]:
        yield from answers

    ae = AE("PACS")
    ae.add_supported_context(STUDY_ROOT_FIND)
    server = ae.start_server(("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_C_FIND, find)])
    yield Peer(AeTitle("PACS"), "127.0.0.1", server.server_address[1])
    server.shutdown()


def test_a_failed_query_may_be_tried_again(peer: Peer, answers: list[tuple[int, Dataset | None]]) -> None:
    """A failure status is not an empty answer."""
    answers.append((0xA700, None))
    with pytest.raises(Retryable, match="0xA700"):
        find_studies(peer, "TESTER")


def test_counts_that_a_pacs_does_not_give_are_none(peer: Peer, answers: list[tuple[int, Dataset | None]]) -> None:
    """An optional count that is missing is unknown, not zero."""
    match = Dataset()
    match.StudyInstanceUID, match.SeriesInstanceUID = "1.2", "1.2.3"
    answers.append((0xFF00, match))
    (series,) = find_series(peer, "TESTER", "1.2")
    assert series.instance_count is None
    assert series.modality == ""


def test_a_pacs_without_c_get_says_so(peer: Peer, answers: list[tuple[int, Dataset | None]], tmp_path: Path) -> None:
    """Fetching from a PACS that does not offer C-GET is an error with a sentence."""
    match = Dataset()
    match.StudyInstanceUID, match.SeriesInstanceUID, match.SOPInstanceUID = "1.2", "1.2.3", "1.2.3.4"
    match.SOPClassUID = "1.2.840.10008.5.1.4.1.1.2"
    answers.append((0xFF00, match))
    with pytest.raises(Retryable, match="C-GET"):
        fetch(peer, "TESTER", tmp_path, "1.2", "1.2.3")
