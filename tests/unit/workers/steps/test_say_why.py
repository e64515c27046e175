"""Say why: the notice of a job without a result."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from node.domain.identifiers import JobId
from node.domain.imaging import Series
from node.domain.lifecycle import JobState
from node.domain.reasons import Reason, ReasonCode
from node.domain.reporting import Notice, NoticeKind, ObjectKind, ReportObject
from node.errors import Quarantined
from node.store.folder_blobs import FolderBlobs
from node.store.jobs import Claim
from tests.factories import SERIES, STUDY, as_file, ct_slice, instance
from workers.steps.say_why import say_why


class Listening:
    """A writer that keeps what it was asked to write."""

    kind = ObjectKind.NOTICE

    def __init__(self) -> None:
        """Nothing was asked yet."""
        self.notices: list[Notice] = []

    def write(self, notice: Notice) -> tuple[ReportObject, ...]:
        """No object."""
        self.notices.append(notice)
        return ()


@pytest.fixture
def series(tmp_path: Path) -> Series:
    """A stored series of one image."""
    image = ct_slice(0)
    blobs = FolderBlobs(tmp_path)
    stored = instance(image, path=blobs.path_of(blobs.put(as_file(image)).sha256))
    return Series(SERIES, STUDY, stored.patient, "CT", (stored,))


def _said(series: Series, reason: Reason, state: JobState = JobState.NOT_ANALYSED) -> Notice:
    writer = Listening()
    claim = Claim(JobId.of(SERIES, 2), SERIES, STUDY, 2, 1, "m" * 64, datetime(2024, 5, 6, tzinfo=UTC), None)
    say_why(claim, series, state, reason, correction={}, predecessors=(), node_version="0.1.0", writers=(writer,))
    (notice,) = writer.notices
    return notice


def test_a_refusal_is_told_with_its_detail(series: Series) -> None:
    """Code and detail of the verdict become words; the claim says which version, and when."""
    notice = _said(series, Reason(ReasonCode.MISSING_SLICE, "between 10 and 14 mm"))
    assert notice.kind is NoticeKind.NOT_ANALYSED
    assert (notice.reason, notice.detail) == (ReasonCode.MISSING_SLICE.sentence, "between 10 and 14 mm")
    assert (notice.version, notice.fixed_at) == (2, datetime(2024, 5, 6, tzinfo=UTC))
    assert notice.source == series.instances[0].path


def test_places_in_programs_are_for_operators(series: Series) -> None:
    """Whoever reads a study learns that it is held, not in which line."""
    notice = _said(series, Reason(ReasonCode.INTERNAL, "ValueError at predict.py:12"), JobState.QUARANTINED)
    assert (notice.kind, notice.detail) == (NoticeKind.HELD, "")


def test_a_file_that_changed_on_the_disk_speaks_for_nobody(series: Series) -> None:
    """Its header may name any patient."""
    path = series.instances[0].path
    assert path is not None
    changed = path.with_name("0" * 64)
    path.rename(changed)
    damaged = replace(series, instances=(replace(series.instances[0], path=changed),))
    with pytest.raises(Quarantined):
        _said(damaged, Reason(ReasonCode.MISSING_SLICE))
