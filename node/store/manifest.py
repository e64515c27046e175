"""The manifest of a case: one digest over everything that it is made of, so that a changed input is another case."""

import hashlib
import json
from typing import Final

from sqlalchemy import Connection, bindparam, select, union

from node.domain.identifiers import SeriesUID
from node.store.prepared import Prepared
from node.store.tables import annotation_references, identity_corrections, instances, series

# Each half by its index: of the two in one condition a database reads all images that it knows.
_INPUT: Final = union(
    select(instances.c.sop_instance_uid, instances.c.sha256).where(instances.c.series_uid == bindparam("uid")),
    select(instances.c.sop_instance_uid, instances.c.sha256)
    .join(annotation_references, annotation_references.c.sop_instance_uid == instances.c.sop_instance_uid)
    .where(annotation_references.c.series_uid == bindparam("uid")),
)
_ASK_INPUT: Final = Prepared(_INPUT)
_CORRECTIONS: Final = (
    select(identity_corrections.c.id, identity_corrections.c.attributes)
    .join(series, series.c.study_uid == identity_corrections.c.study_uid)
    .where(series.c.series_uid == bindparam("uid"))
    .order_by(identity_corrections.c.id.desc())
    .limit(1)
)
_ASK_CORRECTED: Final = Prepared(_CORRECTIONS.with_only_columns(identity_corrections.c.id))


def manifest_of(connection: Connection, series_uid: SeriesUID) -> str:
    """SHA-256 over UID and digest of every instance of a series and of every contour that references it.

    And over what an archive has corrected of the study's identity: other results, other UIDs.
    """
    lines = sorted(f"{uid} {sha}" for uid, sha in _ASK_INPUT.run(connection, {"uid": series_uid}).fetchall())
    lines += _correction(connection, series_uid)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _correction(connection: Connection, series_uid: SeriesUID) -> list[str]:
    """The newest correction of the identity of a series' study as a line, if there is one, which is rare."""
    if _ASK_CORRECTED.run(connection, {"uid": series_uid}).fetchone() is None:
        return []
    _, attributes = connection.execute(_CORRECTIONS, {"uid": series_uid}).one()
    return [json.dumps(attributes, sort_keys=True)] if attributes else []
