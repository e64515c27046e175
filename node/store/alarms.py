"""Alarms: what is raised in a node, one row each, so that of several processes one tells people, and once."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final

from sqlalchemy import RowMapping, delete, insert, select, update

from node.store.session import Database
from node.store.tables import alarms

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
    detail: str
    """Counts and times, nothing of a patient."""
    is_over: bool
    is_told: bool


class AlarmStore:
    """The alarms of a database."""

    def __init__(self, database: Database) -> None:
        """Those in ``database``."""
        self._database = database

    def set(self, active: Mapping[AlarmKind, str]) -> None:
        """Raise what is active, and take as over what is not; ``active``: the detail of each."""
        with self._database.write() as connection:
            now = datetime.now(UTC)
            rows = connection.execute(select(alarms).with_for_update()).mappings().all()
            known = {AlarmKind(row["kind"]): row for row in rows}
            for kind, detail in active.items():
                values = {"detail": detail[:_LONGEST], "is_over": False}
                if kind not in known:
                    connection.execute(insert(alarms).values(kind=kind.value, since=now, is_told=False, **values))
                elif known[kind]["is_over"]:
                    connection.execute(
                        update(alarms).where(alarms.c.kind == kind.value).values(is_told=False, **values)
                    )
                else:
                    connection.execute(update(alarms).where(alarms.c.kind == kind.value).values(**values))
            for kind, row in known.items():
                if kind not in active and not row["is_over"]:
                    # What nobody was told of need not be taken back.
                    ended = update(alarms).where(alarms.c.kind == kind.value)
                    gone = delete(alarms).where(alarms.c.kind == kind.value)
                    connection.execute(ended.values(is_over=True, is_told=False) if row["is_told"] else gone)

    def take_untold(self) -> tuple[Alarm, ...]:
        """What has to be said, which is whoever's that takes it; ``put_back`` what could not be."""
        with self._database.write() as connection:
            waiting = select(alarms).where(~alarms.c.is_told).with_for_update()
            found = tuple(_alarm(row) for row in connection.execute(waiting).mappings())
            for one in found:
                connection.execute(update(alarms).where(alarms.c.kind == one.kind.value).values(is_told=True))
        return found

    def told(self, alarm: Alarm) -> None:
        """It was said; one that is over is forgotten."""
        if alarm.is_over:
            with self._database.write() as connection:
                connection.execute(delete(alarms).where(alarms.c.kind == alarm.kind.value, alarms.c.is_over))

    def put_back(self, alarm: Alarm) -> None:
        """It could not be said: somebody tries again."""
        with self._database.write() as connection:
            connection.execute(update(alarms).where(alarms.c.kind == alarm.kind.value).values(is_told=False))

    def raised(self) -> tuple[Alarm, ...]:
        """Those that are not over."""
        with self._database.read() as connection:
            found = connection.execute(select(alarms).where(~alarms.c.is_over).order_by(alarms.c.kind)).mappings()
            return tuple(_alarm(row) for row in found)


def _alarm(row: RowMapping) -> Alarm:
    return Alarm(AlarmKind(row["kind"]), row["since"], row["detail"], row["is_over"], row["is_told"])
