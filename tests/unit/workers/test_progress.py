"""Progress: a worker tells its parent what it is at, and never waits for it."""

import json
import os
from dataclasses import replace
from datetime import UTC, datetime

from node.domain.identifiers import JobId, SeriesUID, StudyUID
from node.domain.lifecycle import Step
from node.store.jobs import Claim
from workers.progress import Told, Untold

CLAIM = Claim(JobId("a"), SeriesUID("1.3"), StudyUID("1.4"), 1, 7, "m", datetime.now(UTC), None)


def test_a_job_a_step_and_the_end_are_a_line_each() -> None:
    """With the token, so that what is taken back is this claim and no later one; and whatever else is at hand."""
    reader, writer = os.pipe()
    told = Told(writer)
    told.at(CLAIM)
    told.at(CLAIM, Step.PREDICT, [replace(CLAIM, job_id=JobId("b"), token=3)])
    told.idle()
    lines = [json.loads(line) for line in os.read(reader, 4096).splitlines()]
    assert lines == [
        {"job": "a", "token": 7, "step": "", "beside": []},
        {"job": "a", "token": 7, "step": "predict", "beside": [["b", 3]]},
        {"job": "", "token": 0, "step": "", "beside": []},
    ]


def test_a_parent_that_does_not_read_holds_up_nobody() -> None:
    """Nor does one that is gone."""
    reader, writer = os.pipe()
    told = Told(writer)
    for _ in range(10_000):
        told.at(CLAIM, Step.PREDICT)
    os.close(reader)
    told.idle()


def test_without_a_parent_nothing_is_said() -> None:
    """A worker may be started by hand."""
    untold = Untold()
    untold.at(CLAIM)
    untold.idle()
