"""The chain: whoever changes the audit trail without the key breaks it at the row that they touched."""

import json
import random
import shutil
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import text

from node.domain.audit import AuditAction
from node.errors import Fatal
from node.store import chain
from node.store.audit import AuditTrail
from node.store.chain import Head, Verified, export_head, exported_heads, read_key, verify
from node.store.session import Database
from tests import factories

KEY = bytes(range(32))
ROWS = 40
Attack = Callable[[Database, random.Random], int]


def keyed(url: str, rows: int = ROWS) -> Database:
    """A database with a chained trail of ``rows`` rows."""
    database = Database(url, KEY)
    trail = AuditTrail(database)
    for number in range(rows):
        made = factories.event(AuditAction.COMPOSED, job_id=f"job {number}", details={"number": number, "share": 0.5})
        trail.record(made)
    return database


def look(database: Database, exported: tuple[Head, ...] = ()) -> Verified:
    """What verification says."""
    with database.view() as connection:
        return verify(connection, KEY, exported)


def lift_triggers(database: Database) -> None:
    """What an administrator of the database can do."""
    with database.write() as connection:
        for name in ("no_update", "no_delete", "no_replace"):
            connection.execute(text(f"DROP TRIGGER audit_{name}"))


def edit(database: Database, chance: random.Random) -> int:
    """Change one field of one row."""
    row = chance.randint(1, ROWS)
    column, value = chance.choice(
        [("actor", "nobody"), ("outcome", "failure"), ("details", '{"number": 0.25}'), ("job_id", "another"),
         ("at", "2019-01-01 00:00:00.000000"), ("reason", "NO_ROOM"), ("mac", "0" * 64), ("mac", "")]
    )  # fmt: skip
    with database.write() as connection:
        connection.execute(text(f"UPDATE audit SET {column} = :value WHERE id = :row"), {"value": value, "row": row})  # noqa: S608
    return row


def remove(database: Database, chance: random.Random) -> int:
    """Delete one row that is not the last."""
    row = chance.randint(1, ROWS - 1)
    with database.write() as connection:
        connection.execute(text("DELETE FROM audit WHERE id = :row"), {"row": row})
    return row


def swap(database: Database, chance: random.Random) -> int:
    """Let two rows change places."""
    one, other = sorted(chance.sample(range(1, ROWS + 1), 2))
    with database.write() as connection:
        for old, new in ((one, 9999), (other, one), (9999, other)):
            connection.execute(text("UPDATE audit SET id = :new WHERE id = :old"), {"new": new, "old": old})
    return one


def cut(database: Database, chance: random.Random) -> int:
    """Delete the last rows."""
    row = chance.randint(1, ROWS)
    with database.write() as connection:
        connection.execute(text("DELETE FROM audit WHERE id >= :row"), {"row": row})
    return row


def test_a_trail_that_nobody_touched_is_whole(url: str) -> None:
    """Every row is in the chain, whichever database."""
    assert look(keyed(url, 5)) == Verified(5)


def test_a_thousand_attacks_are_found_and_the_first_bad_row_is_named(tmp_path: Path, migrated: Path) -> None:
    """Edits, deletions, swaps and cut tails in turn, each at a random place."""
    whole = tmp_path / "whole.db"
    shutil.copy(migrated, whole)
    made = keyed(f"sqlite:///{whole}")
    lift_triggers(made)
    made.close()
    attacks: tuple[Attack, ...] = (edit, remove, swap, cut)
    chance = random.Random(20260501)  # noqa: S311 — an attack, not a secret
    with_row = Database(f"sqlite:///{whole}", KEY)
    missed = []
    for number in range(1000):
        # Undone by rolling back: a copy of the file for each would cost minutes.
        attack = attacks[number % len(attacks)]
        found, row = _attacked(with_row, attack, chance)
        if found.bad_row != row:
            missed.append((attack.__name__, row, found))
    assert missed == []
    assert look(with_row) == Verified(ROWS)


class _Undone(Exception):
    """Rolls a transaction back."""


def _attacked(database: Database, attack: Attack, chance: random.Random) -> tuple[Verified, int]:
    """What verification says within a transaction in which an attack happened, and which row it began at."""
    outcome: list[tuple[Verified, int]] = []
    with suppress(_Undone), database.write() as connection:
        row = attack(_Within(connection), chance)  # type: ignore[arg-type]  # all that an attack needs
        outcome.append((verify(connection, KEY), row))
        raise _Undone
    return outcome[0]


class _Within:
    """A database whose transactions are one that is under way already."""

    def __init__(self, connection: object) -> None:
        self._connection = connection

    def write(self) -> "_Within":
        """The transaction."""
        return self

    def __enter__(self) -> object:
        return self._connection

    def __exit__(self, *_: object) -> None:
        return None


def test_a_row_added_without_the_key_is_named(url: str) -> None:
    """Whoever can write the database but has no key cannot add to the trail unseen, and stops nobody."""
    database = keyed(url, 3)
    other = Database(url)
    AuditTrail(other).record(factories.event())
    with database.read() as connection:
        forged = connection.scalar(text("SELECT max(id) FROM audit"))
    AuditTrail(database).record(factories.event())
    found = look(database)
    assert found.bad_row == forged
    assert "without the key" in found.why
    other.close()


def test_what_was_there_before_the_chain_is_sealed_by_its_first_link(url: str) -> None:
    """A trail from before the chain cannot be changed afterwards either."""
    older = Database(url)
    AuditTrail(older).record(factories.event(), factories.event())
    older.close()
    database = keyed(url, 2)
    assert look(database) == Verified(4)
    if url.startswith("sqlite"):
        lift_triggers(database)
        with database.write() as connection:
            connection.execute(text("UPDATE audit SET actor = 'nobody' WHERE id = 1"))
        assert look(database).bad_row == 3


def test_a_head_that_was_forged_without_the_key_is_seen(url: str) -> None:
    """A tail cannot be cut by moving the head back."""
    database = keyed(url, 3)
    with database.write() as connection:
        connection.execute(text("UPDATE audit_head SET last_id = last_id - 1"))
    assert "head" in look(database).why


def test_an_old_database_put_back_contradicts_the_exported_head(tmp_path: Path, migrated: Path) -> None:
    """A whole database from before looks well by itself; the exported head knows better."""
    path, old, heads = tmp_path / "now.db", tmp_path / "old.db", tmp_path / "heads.jsonl"
    shutil.copy(migrated, path)
    keyed(f"sqlite:///{path}", 3).close()
    shutil.copy(path, old)
    database = keyed(f"sqlite:///{path}", 2)
    with database.read() as connection:
        export_head(connection, heads, datetime.now(UTC))
    database.close()
    put_back = Database(f"sqlite:///{old}", KEY)
    assert look(put_back) == Verified(3)
    assert look(put_back, exported_heads(heads, KEY)).bad_row == 4


def test_lines_that_somebody_else_wrote_into_the_file_of_heads_do_not_count(tmp_path: Path) -> None:
    """A head whose seal is not the key's, or that is no head at all, is left out."""
    path = tmp_path / "heads.jsonl"
    forged = {"last_id": 9, "mac": "0" * 64, "chained_from": 1, "seal": "0" * 64}
    path.write_text(json.dumps(forged) + "\nnonsense\n[1]\n")
    assert exported_heads(path, KEY) == ()


def test_a_transaction_that_fails_leaves_nothing_for_the_next(url: str) -> None:
    """Rows of a rolled back transaction are not written by the next one on the same connection."""
    database = keyed(url, 1)
    with suppress(_Undone), database.write() as connection:
        chain.add(connection, {})
        raise _Undone
    AuditTrail(database).record(factories.event())
    assert look(database) == Verified(2)


def test_the_key_is_made_once_and_only_its_owner_reads_it(tmp_path: Path) -> None:
    """The second that asks gets the first one's key."""
    path = tmp_path / "deep" / "audit.key"
    assert read_key(path) == read_key(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert [one.name for one in path.parent.iterdir()] == ["audit.key"]


@pytest.mark.parametrize("content", ["", "zz", "00" * 31])
def test_a_damaged_key_is_said_and_not_replaced(tmp_path: Path, content: str) -> None:
    """A new key would make every row look forged."""
    path = tmp_path / "audit.key"
    path.write_text(content)
    with pytest.raises(Fatal, match="damaged"):
        read_key(path)
    assert path.read_text() == content
