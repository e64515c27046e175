"""Alarms: what is raised in a node, one row each, so that of several processes one tells people, and once.

Whoever says one holds it for a while, and writes down where it was heard: one that its process took with it,
or that it could not give back because the database was gone, is said by another, there where it was not heard yet.
"""

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Final

from sqlalchemy import ColumnElement, RowMapping, and_, delete, select, update

from node.store.leases import LeaseWatch
from node.store.session import Database, add_new
from node.store.tables import alarms

LEASE: Final = timedelta(minutes=5)
"""To say a few: each mail server and webhook is waited for some seconds."""
_LONGEST: Final = 500


class AlarmKind(StrEnum):
    """What an alarm is about; the message says the rest."""

    NO_TRAFFIC = "no-traffic"
    """Nothing has come in for longer than it ever should."""
    OLDEST_WAITING = "oldest-waiting"
    """Something has waited for a worker for too long."""
    ATTENTION = "attention"
    """Something waits for a person: it is held, or was not delivered."""


@dataclass(frozen=True, slots=True)
class Alarm:
    """One that is raised, or is over and that has to be said."""

    kind: AlarmKind
    since: datetime
    """When it was raised last."""
    detail: str
    """Counts and times, nothing of a patient."""
    is_over: bool
    heard: frozenset[str] = frozenset()
    """Where this was heard already, by the names that ``put_back`` was given."""
    token: int = field(default=0, compare=False)
    """Of whoever has taken it: another number since somebody else has, or it has changed."""


class AlarmStore:
    """The alarms of a database."""

    def __init__(self, database: Database, now: Callable[[], float] = time.monotonic) -> None:
        """Those in ``database``; ``now``: seconds on a clock that nobody can set."""
        self._database = database
        self._leases = LeaseWatch(now)

    def set(self, active: Mapping[AlarmKind, str]) -> None:
        """Raise what is active, and take as over what is not; ``active``: the detail of each."""
        with self._database.write() as connection:
            now = datetime.now(UTC)
            rows = connection.execute(select(alarms).with_for_update()).mappings().all()
            known = {AlarmKind(row["kind"]): row for row in rows}
            untold = {"is_told": False, "heard": "", "token": alarms.c.token + 1, "taken_at": None}
            for kind, detail in active.items():
                values = {"detail": detail[:_LONGEST], "is_over": False}
                change = update(alarms).where(alarms.c.kind == kind.value).values(**values)
                if kind not in known:
                    add_new(connection, alarms, {"kind": kind.value, "since": now, "is_told": False, **values})
                elif known[kind]["is_over"]:
                    connection.execute(change.values(since=now, **untold))
                else:
                    connection.execute(change)
            for kind, row in known.items():
                if kind not in active and not row["is_over"]:
                    # What nobody was told of need not be taken back.
                    was_heard = row["is_told"] or row["heard"] or row["taken_at"] is not None
                    ended = update(alarms).where(alarms.c.kind == kind.value).values(is_over=True, **untold)
                    connection.execute(ended if was_heard else delete(alarms).where(alarms.c.kind == kind.value))

    def take_untold(self) -> tuple[Alarm, ...]:
        """What has to be said, which is whoever's that takes it, for so long; ``put_back`` what could not be."""
        with self._database.write() as connection:
            waiting = select(alarms).where(~alarms.c.is_told).order_by(alarms.c.kind).with_for_update()
            rows = connection.execute(waiting).mappings().all()
            held = [(row["kind"], row["token"], row["taken_at"]) for row in rows if row["taken_at"] is not None]
            lost = {lease[0] for lease in self._leases.abandoned(held, LEASE)}
            free = [row for row in rows if row["taken_at"] is None or row["kind"] in lost]
            for row in free:
                change = update(alarms).where(alarms.c.kind == row["kind"])
                connection.execute(change.values(token=row["token"] + 1, taken_at=datetime.now(UTC)))
        return tuple(_alarm(row, row["token"] + 1) for row in free)

    def told(self, alarm: Alarm) -> None:
        """It was said everywhere; one that is over is forgotten."""
        with self._database.write() as connection:
            if alarm.is_over:
                connection.execute(delete(alarms).where(_taken(alarm)))
            else:
                connection.execute(update(alarms).where(_taken(alarm)).values(is_told=True, heard="", taken_at=None))

    def put_back(self, alarm: Alarm, heard: Iterable[str] = ()) -> None:
        """It could not be said everywhere, but was heard at ``heard``: somebody tries again where it was not."""
        words = " ".join(sorted(alarm.heard.union(heard)))
        with self._database.write() as connection:
            connection.execute(update(alarms).where(_taken(alarm)).values(heard=words, taken_at=None))

    def raised(self) -> tuple[Alarm, ...]:
        """Those that are not over."""
        with self._database.read() as connection:
            found = connection.execute(select(alarms).where(~alarms.c.is_over).order_by(alarms.c.kind)).mappings()
            return tuple(_alarm(row, row["token"]) for row in found)


def _taken(alarm: Alarm) -> ColumnElement[bool]:
    """Whether a row is the alarm as it was taken: it may have ended, or been raised again, while it was said."""
    return and_(alarms.c.kind == alarm.kind.value, alarms.c.token == alarm.token)


def _alarm(row: RowMapping, token: int) -> Alarm:
    return Alarm(
        AlarmKind(row["kind"]), row["since"], row["detail"], row["is_over"], frozenset(row["heard"].split()), token
    )
