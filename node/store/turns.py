"""Whose turn it is: which of the jobs that can be claimed is the next, and how a database is asked for it."""

from collections.abc import Collection
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, Final

from sqlalchemy import Connection, RowMapping, Select, and_, bindparam, case, or_, select

from node.domain.lifecycle import JobState, Queue
from node.store.leases import Lease, any_of
from node.store.tables import IS_URGENT, jobs, series

AGED_AFTER: Final = timedelta(minutes=10)
"""How long a routine case may be overtaken before it has its turn among the urgent ones."""
TURN_OF_THE_AGED: Final = 4
"""Every so many claims of a worker: cases that have waited for longer than that are taken by their age."""

_NOW: Final = bindparam("now", type_=jobs.c.not_before.type)
_AGED: Final = bindparam("aged", type_=jobs.c.completed_at.type)


def is_any(connection: Connection, now: datetime, abandoned: tuple[Lease, ...], queues: Collection[Queue]) -> bool:
    """Whether anything can be claimed."""
    found = _claimable(abandoned, tuple(queues)).with_only_columns(jobs.c.id).limit(1)
    return connection.execute(found, {"now": now}).first() is not None


def first(
    connection: Connection,
    now: datetime,
    abandoned: tuple[Lease, ...],
    queues: Collection[Queue],
    *,
    by_age: bool,
    is_beside: bool,
) -> RowMapping | None:
    """The first of what can be claimed, locked; None when there is nothing.

    ``abandoned``: leases of dead workers, whose jobs can be claimed too; ``by_age``: nobody who has waited for long is
    overtaken; ``is_beside``: none that has cost a worker before.
    """
    values = {"now": now, "aged": now - AGED_AFTER}
    for search in _searches(abandoned, tuple(queues), by_age=by_age, is_beside=is_beside):
        row = connection.execute(search, values).mappings().first()
        if row is not None:
            return row
    return None


# Every claim asks the same, but for leases of the dead, which are rare.
@lru_cache(maxsize=32)
def _searches(
    abandoned: tuple[Lease, ...], queues: tuple[Queue, ...], *, by_age: bool, is_beside: bool
) -> tuple[Select[Any], ...]:
    """What is asked, one after the other until there is an answer.

    Urgent ones are asked for on their own: most of the time there are none, which an index knows, and the oldest of the
    others another. In one order both would be a sort of everything that waits.
    """
    found = _claimable(abandoned, queues)
    if is_beside:
        found = found.where(jobs.c.strikes == 0)
    if by_age:
        orders = [found.order_by(case((jobs.c.completed_at <= _AGED, 1), else_=series.c.urgency).desc())]
    else:
        orders = [found.where(IS_URGENT).order_by(series.c.urgency.desc()), found]
    return tuple(
        one.order_by(jobs.c.completed_at, jobs.c.id).limit(1).with_for_update(skip_locked=True, of=jobs)
        for one in orders
    )


def _claimable(abandoned: tuple[Lease, ...], queues: tuple[Queue, ...]) -> Select[Any]:
    # What was claimed later than now was claimed before the clock was set back: its waiting time says nothing.
    is_due = or_(jobs.c.not_before.is_(None), jobs.c.not_before <= _NOW, jobs.c.claimed_at > _NOW)
    waiting = and_(jobs.c.state == JobState.WAITING.value, is_due)
    of_the_dead = any_of(abandoned, jobs.c.id, jobs.c.token, jobs.c.lease_expires_at)
    left = and_(jobs.c.state == JobState.RUNNING.value, of_the_dead)
    return (
        select(jobs, series.c.study_uid, series.c.urgency)
        .join(series, series.c.series_uid == jobs.c.series_uid)
        .where(jobs.c.queue.in_([queue.value for queue in queues]), or_(waiting, left))
    )
