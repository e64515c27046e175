"""The chain of the audit trail: each row carries an HMAC over itself and the HMAC of the row before.

The key lies outside the database. Whoever changes, removes or moves a row without it breaks the chain at that row, and
whoever cuts off its end contradicts the sealed head, which says where the chain ends; heads are also exported, against
those who put back an old database as a whole. RFC 2104 with SHA-256.
"""

import hashlib
import hmac
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from secrets import token_hex
from typing import Any, Final

from sqlalchemy import Connection, Integer, bindparam, func, insert, select, text, true, update

from node.errors import Fatal, UsageError
from node.store.prepared import Prepared
from node.store.tables import audit, audit_head

AUDIT_KEY: Final = "celadon_audit_key"
"""The execution option that holds the key."""
PENDING: Final = "celadon_audit_pending"
"""Where a connection keeps the rows of its transaction."""
KEY_BYTES: Final = 32

_FIELDS: Final = tuple(column.name for column in audit.c if column.name not in ("id", "mac"))
_UNCHAINED: Final = Prepared(insert(audit).inline(), [*_FIELDS, "mac"])
_CHAINED: Final = Prepared(insert(audit).inline(), ["id", *_FIELDS, "mac"])
_LOCKED_HEAD: Final = (
    select(audit_head.c.last_id, audit_head.c.mac, audit_head.c.chained_from)
    .where(audit_head.c.only == bindparam("one"))
    .with_for_update()
)
_HEAD: Final = Prepared(_LOCKED_HEAD)
_MOVE: Final = Prepared(
    update(audit_head)
    .where(audit_head.c.only == bindparam("one"))
    .values(last_id=bindparam("to"), mac=bindparam("link"), seal=bindparam("sealed"))
)
_LAST_ID: Final = Prepared(select(func.max(audit.c.id)))
# The head is locked within, so that the numbers are drawn without: they follow those of whoever held it before.
_WITHIN: Final = _LOCKED_HEAD.subquery()
_EACH: Final = func.generate_series(1, bindparam("count", type_=Integer)).table_valued("number")
_HEAD_AND_IDS: Final = Prepared(
    select(_WITHIN, func.nextval(func.pg_get_serial_sequence("audit", "id"))).select_from(_WITHIN.join(_EACH, true()))
)
_ONE: Final = {"one": 1}
_BEGIN_LOCK: Final = 7370617


@dataclass(frozen=True, slots=True)
class Head:
    """Where the chain ends."""

    last_id: int
    mac: str
    chained_from: int
    """The first row that carries an HMAC; what is older was there before the chain, which begins with all of it."""
    seal: str


def add(connection: Connection, row: Mapping[str, Any]) -> None:
    """Have ``row`` written at the end of the transaction of ``connection``; at once where nothing is chained."""
    if connection.get_execution_options().get(AUDIT_KEY) is None:
        _UNCHAINED.run(connection, {**row, "mac": ""})
    else:
        connection.info.setdefault(PENDING, []).append(row)


def flush(connection: Connection) -> None:
    """Link the rows of a transaction to the chain and move its head, as the last thing before the commit."""
    rows = connection.info.pop(PENDING, None)
    if not rows:
        return
    key: bytes = connection.get_execution_options()[AUDIT_KEY]
    (last_id, mac, chained_from), ids = _end_and_ids(connection, key, len(rows))
    linked = []
    for row_id, row in zip(ids, rows, strict=True):
        mac = link(key, mac, row_id, row)
        linked.append({"id": row_id, **row, "mac": mac})
    _CHAINED.run_all(connection, linked)
    last_id = linked[-1]["id"]
    _MOVE.run(connection, {**_ONE, "to": last_id, "link": mac, "sealed": seal(key, last_id, mac, chained_from)})


def link(key: bytes, before: str, row_id: int, row: Mapping[str, Any]) -> str:
    """The HMAC of a row that follows the one whose HMAC is ``before``."""
    at: datetime = row["at"]
    fields = [row[name] for name in _FIELDS if name not in ("at", "details")]
    content = [before, row_id, at.astimezone(UTC).isoformat(), *fields, row["details"]]
    return _hmac(key, json.dumps(content, sort_keys=True, separators=(",", ":")))


def seal(key: bytes, last_id: int, mac: str, chained_from: int) -> str:
    """The HMAC over a head."""
    return _hmac(key, f"head {last_id} {mac} {chained_from}")


def head_of(connection: Connection) -> Head | None:
    """The head as the database has it, true or not; None before the first chained row."""
    row = connection.execute(select(audit_head)).mappings().first()
    return Head(row["last_id"], row["mac"], row["chained_from"], row["seal"]) if row else None


def read_key(path: Path) -> bytes:
    """The key in a file, which is made with a new one where there is none; only its owner may read it.

    Raises:
        Fatal: the file is there and holds no key.
        UsageError: it cannot be read or made.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            _make_key(path)
        content = path.read_text(encoding="ascii").strip()
        key = bytes.fromhex(content)
    except OSError as exc:
        raise UsageError(f"audit.key_file: {path}: {exc.strerror}") from exc
    except ValueError as exc:
        raise Fatal(f"the audit's key {path} is damaged: put it back from a copy") from exc
    if len(key) != KEY_BYTES:
        raise Fatal(f"the audit's key {path} is damaged: put it back from a copy")
    return key


def _make_key(path: Path) -> None:
    """Several processes may come here at once: the first link wins, and nobody reads half a key."""
    # Not by the process' number: in containers that share the folder they are all the same, after a crash too.
    part = path.with_name(f"{path.name}.{token_hex(8)}")
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(os.urandom(KEY_BYTES).hex() + "\n")
        file.flush()
        os.fsync(file.fileno())
    try:
        path.hardlink_to(part)
    except FileExistsError:
        pass
    finally:
        part.unlink()


def _end_and_ids(connection: Connection, key: bytes, count: int) -> tuple[tuple[int, str, int], Sequence[int]]:
    """Where the chain ends, locked, and the numbers of the next ``count`` rows."""
    if connection.dialect.name == "postgresql":
        wanted = {**_ONE, "count": count}
        found = _HEAD_AND_IDS.run(connection, wanted).fetchall()
        if not found:
            _begin(connection, key)
            found = _HEAD_AND_IDS.run(connection, wanted).fetchall()
        return found[0][:3], [int(row[3]) for row in found]
    last_id, mac, chained_from = _HEAD.run(connection, _ONE).fetchone() or _begin(connection, key)
    # Rows that somebody has added without the key must not keep the node from working: ``verify`` tells of them.
    newest = (_LAST_ID.run(connection, {}).fetchone() or (None,))[0] or 0
    first = max(last_id, newest) + 1
    return (last_id, mac, chained_from), range(first, first + count)


def _begin(connection: Connection, key: bytes) -> tuple[int, str, int]:
    """Begin the chain after what is here already, which its first link is made of."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:number)"), {"number": _BEGIN_LOCK})
        if (head := head_of(connection)) is not None:
            return head.last_id, head.mac, head.chained_from
    mac, last_id = "", 0
    for row in connection.execute(select(audit).order_by(audit.c.id)).mappings():
        mac, last_id = link(key, mac, row["id"], dict(row)), row["id"]
    values = {"only": 1, "last_id": last_id, "mac": mac, "chained_from": last_id + 1, "seal": ""}
    connection.execute(insert(audit_head).values(values))
    return last_id, mac, last_id + 1


def _hmac(key: bytes, content: str) -> str:
    return hmac.new(key, content.encode(), hashlib.sha256).hexdigest()


@dataclass(frozen=True, slots=True)
class Verified:
    """What came of looking at the whole chain."""

    rows: int
    bad_row: int | None = None
    """The number of the first row that is not what was written, or is missing; None when all is well."""
    why: str = ""


def verify(connection: Connection, key: bytes, exported: Iterable[Head] = ()) -> Verified:
    """Whether every row is as it was written, none is missing, and the chain goes at least to every exported head."""
    head = head_of(connection)
    anchors = {one.last_id: one for one in exported}
    count, last_id, mac = 0, 0, ""
    query = select(audit).order_by(audit.c.id).execution_options(yield_per=1000)
    chained_from = head.chained_from if head else 1
    for row in connection.execute(query).mappings():
        count += 1
        mac = link(key, mac, row["id"], dict(row))
        if row["id"] >= chained_from and not hmac.compare_digest(mac, row["mac"]):
            missing = row["id"] > last_id + 1 and connection.dialect.name == "sqlite"
            return Verified(count, last_id + 1 if missing else row["id"], _words(row["mac"], missing=missing))
        last_id = row["id"]
        anchor = anchors.get(last_id)
        if anchor is not None and not hmac.compare_digest(anchor.mac, mac):
            return Verified(count, last_id, "the chain up to this row is not the one whose head was exported")
    return _end(key, head, anchors, (count, last_id, mac))


def _words(mac: str, *, missing: bool) -> str:
    if missing:
        return "this row was removed"
    if not mac:
        return "this row was added by somebody without the key"
    return "this row, or one between it and the row before, was changed, moved or removed"


def _end(key: bytes, head: Head | None, anchors: Mapping[int, Head], end: tuple[int, int, str]) -> Verified:
    """Whether the rows end where the head and the exported heads say."""
    count, last_id, mac = end
    if head is None:
        lost = bool(count or anchors)
        return (
            Verified(count, 1, "the head of the chain was removed, or no row was ever chained") if lost else Verified(0)
        )
    beyond = max(anchors, default=0)
    sealed = seal(key, head.last_id, head.mac, head.chained_from)
    faults = (
        (not hmac.compare_digest(sealed, head.seal), last_id + 1, "the head of the chain was changed"),
        (head.last_id > last_id, last_id + 1, f"the last rows, up to {head.last_id}, were removed"),
        (head.mac != mac, last_id, "the chain does not end as its head says"),
        (beyond > last_id, last_id + 1, f"the last rows, at least up to {beyond}, were removed"),
    )
    return next((Verified(count, row, why) for is_so, row, why in faults if is_so), Verified(count))


def export_head(connection: Connection, path: Path, now: datetime) -> Head | None:
    """Add the head to the file of exported heads, one JSON line each, durably; None when there is none yet."""
    head = head_of(connection)
    if head is None:
        return None
    line = {"at": now.isoformat(), "last_id": head.last_id, "mac": head.mac, "chained_from": head.chained_from}
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o640)
    try:
        os.write(descriptor, (json.dumps(line | {"seal": head.seal}) + "\n").encode())
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    return head


def exported_heads(path: Path, key: bytes) -> tuple[Head, ...]:
    """The heads in a file, those whose seal is not ours left out."""
    if not path.is_file():
        return ()
    heads = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            found = json.loads(line)
            head = Head(int(found["last_id"]), str(found["mac"]), int(found["chained_from"]), str(found["seal"]))
        except (ValueError, KeyError, TypeError):
            continue
        if hmac.compare_digest(seal(key, head.last_id, head.mac, head.chained_from), head.seal):
            heads.append(head)
    return tuple(heads)
