"""What archives have corrected of a study's patient and accession number since its images came."""

from datetime import UTC, datetime
from types import MappingProxyType
from typing import Final

from sqlalchemy import Connection, bindparam, insert, select

from node.domain.audit import AuditAction, AuditEvent, AuditOutcome
from node.domain.identifiers import SeriesUID, StudyUID
from node.domain.identity import NO_CORRECTION, Correction
from node.store import audit
from node.store.jobs import reopen
from node.store.session import Database
from node.store.tables import identity_corrections, series

_NEWEST: Final = (
    select(identity_corrections.c.attributes)
    .where(identity_corrections.c.study_uid == bindparam("study"))
    .order_by(identity_corrections.c.id.desc())
    .limit(1)
)


class Identities:
    """The corrections in a database."""

    def __init__(self, database: Database) -> None:
        """The corrections in ``database``."""
        self._database = database

    def of(self, study_uid: StudyUID | str) -> Correction:
        """What is known to be otherwise than the images say; empty when nothing is."""
        with self._database.read() as connection:
            return _newest(connection, study_uid)

    def correct(self, series_uid: SeriesUID, change: Correction, destination: str) -> bool:
        """Have the results of a series made anew with ``change``, beside what was corrected before.

        False, and nothing written, when that would change nothing: what was made has it already.
        """
        with self._database.write() as connection:
            now = datetime.now(UTC)
            study_uid = str(connection.scalar(select(series.c.study_uid).where(series.c.series_uid == series_uid)))
            known = dict(_newest(connection, study_uid))
            wanted = known | dict(change)
            if wanted != known:
                connection.execute(
                    insert(identity_corrections).values(
                        study_uid=study_uid, at=now, destination=destination, attributes=wanted
                    )
                )
            if reopen(connection, series_uid, now, "the archive has corrected the identity") is None:
                return False
            audit.append(connection, _event(study_uid, series_uid, change, destination, now))
        return True


def _newest(connection: Connection, study_uid: str) -> Correction:
    found = connection.scalar(_NEWEST, {"study": study_uid})
    return MappingProxyType(dict(found)) if found else NO_CORRECTION


def _event(study_uid: str, series_uid: str, change: Correction, destination: str, now: datetime) -> AuditEvent:
    return AuditEvent(
        at=now,
        actor=f"archive {destination}",
        action=AuditAction.IDENTITY_CORRECTED,
        outcome=AuditOutcome.SUCCESS,
        study_uid=study_uid,
        series_uid=series_uid,
        details={"attributes": " ".join(sorted(change))},
    )
