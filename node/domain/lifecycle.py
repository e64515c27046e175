"""States as tables: what a job, a step and a delivery can be, and what may follow what."""

from enum import StrEnum


class JobState(StrEnum):
    """The states of an analysis (one version of one series) that people see."""

    COLLECTING = "collecting"
    WAITING = "waiting"
    RUNNING = "running"
    DELIVERING = "delivering"
    DONE = "done"
    NOT_ANALYSED = "not-analysed"
    QUARANTINED = "quarantined"
    RETRACTED = "retracted"
    SUPERSEDED = "superseded"


# from → to: the one event that leads there
JOB_TRANSITIONS: dict[JobState, dict[JobState, str]] = {
    JobState.COLLECTING: {
        JobState.WAITING: "the series is complete",
    },
    JobState.WAITING: {
        JobState.RUNNING: "a worker claimed it",
        JobState.COLLECTING: "a late instance arrived",
    },
    JobState.RUNNING: {
        JobState.DELIVERING: "results were committed",
        JobState.DONE: "there is nothing to deliver",
        JobState.NOT_ANALYSED: "a step refused the input",
        JobState.QUARANTINED: "a step failed for good, or three workers died",
        JobState.WAITING: "the worker died or gave it back, or what a contour references arrived",
        JobState.COLLECTING: "a late instance arrived; the running result will be discarded",
    },
    JobState.DELIVERING: {
        JobState.DONE: "every object is stored at its destination, and committed to where that is asked",
        JobState.SUPERSEDED: "a newer version, or a better series of the study, has results",
        JobState.RETRACTED: "a person withdrew it",
    },
    JobState.DONE: {
        JobState.SUPERSEDED: "a newer version, or a better series of the study, has results",
        JobState.RETRACTED: "a person withdrew it",
    },
    JobState.NOT_ANALYSED: {
        JobState.WAITING: "a person retried it, what a contour references arrived, or a better series failed",
        JobState.SUPERSEDED: "a newer version has results",
    },
    JobState.QUARANTINED: {
        JobState.WAITING: "a person retried it",
        JobState.SUPERSEDED: "a newer version has results",
    },
    JobState.RETRACTED: {},
    JobState.SUPERSEDED: {
        JobState.RETRACTED: "a person withdrew it, or the version that replaced it",
    },
}

SAYS_WHY: tuple[JobState, ...] = (JobState.NOT_ANALYSED, JobState.QUARANTINED, JobState.RETRACTED)
"""States in which a job has no result to deliver, but may have a notice."""


def may_follow(state: JobState, following: JobState) -> bool:
    """Whether a job in ``state`` may become ``following``."""
    return following in JOB_TRANSITIONS[state]


class Step(StrEnum):
    """The steps of an analysis, in order."""

    TRIAGE = "triage"
    ASSEMBLE = "assemble"
    LOCATE_ROI = "locate-roi"
    GATHER_CLINICAL = "gather-clinical"
    PREDICT = "predict"
    COMPOSE = "compose"
    DELIVER = "deliver"


class Queue(StrEnum):
    """Where a waiting job waits: for a worker of this kind. Without GPUs one kind of worker serves both."""

    CPU = "cpu"
    """Everything that no model is needed for: headers, contours, documents."""
    GPU = "gpu"
    """Series that the headers speak for: decoded, segmented, predicted, written."""


class DeliveryState(StrEnum):
    """The states of one object on its way to one destination."""

    PENDING = "pending"
    SENDING = "sending"
    STORED = "stored"
    COMMITMENT_REQUESTED = "commitment-requested"
    COMMITTED = "committed"
    HELD = "held"
    FAILED = "failed"
    WITHDRAWN = "withdrawn"


# Storage commitment is PS3.4 annex J: its failure reasons are those of PS3.3 section C.14.1.1.
DELIVERY_TRANSITIONS: dict[DeliveryState, dict[DeliveryState, str]] = {
    DeliveryState.PENDING: {
        DeliveryState.SENDING: "a deliverer leased it",
        DeliveryState.WITHDRAWN: "a newer version had results before this one was sent",
    },
    DeliveryState.SENDING: {
        DeliveryState.STORED: "the destination answered success",
        DeliveryState.PENDING: "the destination could not take it now",
        DeliveryState.SENDING: "the deliverer died and another leased it",
        DeliveryState.FAILED: "the destination refused it for good",
        DeliveryState.HELD: "the archive has the study filed under another identity",
        DeliveryState.WITHDRAWN: "another form was stored, or it could not be sent and a newer version has results",
    },
    DeliveryState.STORED: {
        DeliveryState.COMMITMENT_REQUESTED: "a Transaction UID was written down, the request is sent next",
        DeliveryState.COMMITTED: "a late report of an earlier transaction says so",
    },
    DeliveryState.COMMITMENT_REQUESTED: {
        DeliveryState.COMMITTED: "the archive's report says so",
        DeliveryState.PENDING: "the archive has not got it (0x0112): it is sent again",
        DeliveryState.STORED: "the request was not taken, or no report came in time: it is asked again",
        DeliveryState.FAILED: "the archive will never commit to it",
        DeliveryState.WITHDRAWN: "the archive has not got it, and a newer version has results",
    },
    DeliveryState.HELD: {
        DeliveryState.PENDING: "a person retried it",
        DeliveryState.WITHDRAWN: "a newer version, under the right identity, has results",
    },
    DeliveryState.FAILED: {
        DeliveryState.PENDING: "a person retried it",
        DeliveryState.WITHDRAWN: "a newer version has results: nobody needs to mend this one any more",
    },
    DeliveryState.COMMITTED: {},
    DeliveryState.WITHDRAWN: {},
}

WAITS_FOR_A_PERSON: tuple[DeliveryState, ...] = (DeliveryState.FAILED, DeliveryState.HELD)
"""The operator's queue."""
