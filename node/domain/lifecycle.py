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
        JobState.DONE: "every object is stored at its destination",
        JobState.SUPERSEDED: "a newer version has results",
        JobState.RETRACTED: "a person withdrew it",
    },
    JobState.DONE: {
        JobState.SUPERSEDED: "a newer version has results",
        JobState.RETRACTED: "a person withdrew it",
    },
    JobState.NOT_ANALYSED: {
        JobState.WAITING: "a person retried it, or the series that a contour references arrived",
        JobState.SUPERSEDED: "a newer version has results",
    },
    JobState.QUARANTINED: {
        JobState.WAITING: "a person retried it",
        JobState.SUPERSEDED: "a newer version has results",
    },
    JobState.RETRACTED: {},
    JobState.SUPERSEDED: {},
}


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


class DeliveryState(StrEnum):
    """The states of one object on its way to one destination."""

    PENDING = "pending"
    SENDING = "sending"
    STORED = "stored"
    FAILED = "failed"
    WITHDRAWN = "withdrawn"


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
        DeliveryState.WITHDRAWN: "it could not be sent, and a newer version has results by now",
    },
    DeliveryState.FAILED: {
        DeliveryState.PENDING: "a person retried it",
        DeliveryState.WITHDRAWN: "a newer version has results: nobody needs to mend this one any more",
    },
    DeliveryState.STORED: {},
    DeliveryState.WITHDRAWN: {},
}
