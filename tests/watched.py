"""Months of a node's work, written straight into the database: what monitoring looks at."""

import random
from datetime import UTC, datetime, timedelta

from sqlalchemy import insert, select, update

from node.store import tables
from tests.page import PageUnderTest, many

NOW = datetime.now(UTC)
DIGEST = "a" * 64
CENTRES = ("Alder", "Birch", "Cedar")
_DAYS = 60
_REFUSED_EVERY = 50
_JUDGED_EVERY, _KNOWN_EVERY = 3, 2


def watch(
    page: PageUnderTest,
    count: int,
    *,
    shift: float = 0.0,
    scanner_changes: bool = False,
    agree: int = 9,
    calibrated: bool = True,
    is_blinded: bool = False,
    seed: int = 1,
) -> None:
    """``count`` cases over the last sixty days; what is said to change does so for the last thirty.

    ``shift``: of the scores; ``agree``: of ten readers.
    """
    chance = random.Random(seed)  # noqa: S311 — the same every time
    many(page, count)
    with page.stores.database.write() as connection:
        for number in range(count):
            at = NOW - timedelta(days=_DAYS * (number + 0.5) / count)
            is_late = number < count / 2
            job, study = f"many{number:08}", f"2.25.9{number:07}"
            took = timedelta(seconds=chance.lognormvariate(3, 0.5))
            times = {"created_at": at, "completed_at": at, "finished_at": at + took, "delivered_at": at + 2 * took}
            connection.execute(update(tables.jobs).where(tables.jobs.c.id == job).values(times))
            if number % _REFUSED_EVERY == 0:
                continue
            said = min(chance.betavariate(2, 3) + (shift if is_late else 0.0), 1.0)
            scanner = "New scanner" if scanner_changes and is_late else chance.choice(["Scanner A", "Scanner B"])
            centre = CENTRES[number % len(CENTRES)]
            observed = {
                "job_id": job, "token": 1, "at": at, "digest": DIGEST, "conclusion": "NTR_HIGH",
                "scores": {"NTR_HIGH": said}, "scanner": scanner, "kernel": "Br40", "used": 20,
                "centre": centre, "imputed": chance.randrange(8),
                "inputs": {"hu_mean": chance.gauss(90, 12), "thickness_mm": chance.choice([1.0, 3.0])},
            }  # fmt: skip
            connection.execute(insert(tables.observations).values(observed))
            finding = {"job_id": job, "token": 1, "summary": "NTR", "document": {}, "is_blinded": is_blinded}
            connection.execute(insert(tables.findings).values(finding))
            if number % _JUDGED_EVERY == 0 and not is_blinded:
                kind = "agree" if chance.randrange(10) < agree else "disagree"
                verdict = {
                    "job_id": job, "at": at, "reader": "reader", "kind": kind, "predictor": "porcelain",
                    "digest": DIGEST, "conclusion": "NTR_HIGH",
                }  # fmt: skip
                connection.execute(insert(tables.verdicts).values(verdict))
            if number % _KNOWN_EVERY == 0:
                is_so = chance.random() < (said if calibrated else 1 - said / 2)
                outcome = {
                    "study_uid": study, "question": "ntr", "answer": "NTR_HIGH" if is_so else "NTR_LOW",
                    "entered_by": "reader", "at": at,
                }  # fmt: skip
                connection.execute(insert(tables.outcomes).values(outcome))


def brighten(page: PageUnderTest, hu: float) -> None:
    """The images of the last of three centres, now as before."""
    rows = tables.observations
    with page.stores.database.write() as connection:
        for job, inputs in connection.execute(
            select(rows.c.job_id, rows.c.inputs).where(rows.c.centre == CENTRES[-1])
        ).all():
            changed = inputs | {"hu_mean": inputs["hu_mean"] + hu}
            connection.execute(update(rows).where(rows.c.job_id == job).values(inputs=changed))
