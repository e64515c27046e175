"""People, their sessions and the tokens of their programs; of cookies and tokens only digests are kept."""

import hashlib
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from sqlalchemy import Connection, Row, delete, exists, func, insert, select, update

from node.domain.access import Person, Role
from node.domain.audit import AuditAction, AuditEvent, AuditOutcome
from node.errors import UsageError
from node.store import audit
from node.store.session import Database
from node.store.tables import api_tokens, sessions, users

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")
_SECRET_BYTES: Final = 32
_TOKEN_PREFIX: Final = "celadon_"  # noqa: S105 — what a token begins with, so that scanners for secrets know it
_SEEN_EVERY: Final = timedelta(seconds=30)
"""A session is written back when it was seen, but not for each of a hundred pictures."""


@dataclass(frozen=True, slots=True)
class User:
    """A person with an account here."""

    name: str
    role: Role
    password: str
    """argon2id, in PHC's form."""
    created_at: datetime
    disabled_at: datetime | None


@dataclass(frozen=True, slots=True)
class Lifetimes:
    """How long a session holds."""

    idle: timedelta
    whole: timedelta


class UserStore:
    """The people of a database."""

    def __init__(self, database: Database, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        """``now``: the clock that sessions and tokens end by."""
        self._database = database
        self._now = now

    def any_enabled(self) -> bool:
        """Whether anybody can sign in with a password."""
        with self._database.read() as connection:
            return bool(connection.scalar(select(exists().where(users.c.disabled_at.is_(None)))))

    def is_empty(self) -> bool:
        """Whether nobody was ever set up."""
        with self._database.read() as connection:
            return not connection.scalar(select(exists().where(users.c.name != "")))

    def all(self) -> tuple[User, ...]:
        """Everybody, by name."""
        with self._database.read() as connection:
            rows = connection.execute(_USER.order_by(users.c.name)).all()
        return tuple(_user(row) for row in rows)

    def find(self, name: str) -> User | None:
        """Who has an account of that name and may use it; None for nobody, and of what is no name."""
        if not _NAME.fullmatch(name):
            return None
        query = _USER.where(users.c.name == name, users.c.disabled_at.is_(None))
        with self._database.read() as connection:
            row = connection.execute(query).first()
        return _user(row) if row else None

    def add(self, name: str, password: str, role: Role) -> None:
        """Add somebody, or give somebody a new password and role; whoever was disabled may come back.

        ``password``: hashed already.

        Raises:
            UsageError: that is no name.
        """
        if not _NAME.fullmatch(name):
            raise UsageError("a user's name is up to 64 letters, digits and . _ @ -, and begins with a letter or digit")
        with self._database.write() as connection:
            values = {"password": password, "role": role.value, "disabled_at": None}
            if not connection.execute(update(users).where(users.c.name == name).values(values)).rowcount:
                connection.execute(insert(users).values(name=name, created_at=self._now(), **values))
            # Whoever has got hold of the old password is out.
            connection.execute(delete(sessions).where(sessions.c.name == name))
            self._tell(connection, AuditAction.USER_ADDED, name, role.value)

    def disable(self, name: str) -> None:
        """Keep somebody out from now on: password, sessions and tokens.

        Raises:
            UsageError: there is nobody of that name.
        """
        with self._database.write() as connection:
            now = self._now()
            changed = connection.execute(update(users).where(users.c.name == name).values(disabled_at=now))
            if not changed.rowcount:
                raise UsageError(f"there is no user {name!r}")
            connection.execute(delete(sessions).where(sessions.c.name == name))
            held = update(api_tokens).where(api_tokens.c.name == name, api_tokens.c.revoked_at.is_(None))
            connection.execute(held.values(revoked_at=now))
            self._tell(connection, AuditAction.USER_DISABLED, name, "")

    def replace_password(self, name: str, password: str) -> None:
        """Keep a hash that newer parameters have made of the same password."""
        with self._database.write() as connection:
            connection.execute(update(users).where(users.c.name == name).values(password=password))

    def begin_session(self, name: str, role: Role, *, is_local: bool) -> str:
        """Sign somebody in: the secret that their cookie holds. ``is_local``: with an account here."""
        secret = secrets.token_urlsafe(_SECRET_BYTES)
        with self._database.write() as connection:
            now = self._now()
            row = {"name": name, "role": role.value, "is_local": is_local, "began_at": now, "seen_at": now}
            connection.execute(insert(sessions).values(digest=digest_of(secret), **row))
        return secret

    def of_session(self, secret: str, lifetimes: Lifetimes, *, is_attended: bool = True) -> Person | None:
        """Who is signed in with that cookie; None when nobody is any more.

        ``is_attended``: whether a person has done something; else the session goes on towards its end.
        """
        query = select(sessions).where(sessions.c.digest == digest_of(secret))
        with self._database.read() as connection:
            row = connection.execute(query).first()
            if row is None:
                return None
            role = connection.scalar(_ROLE.where(users.c.name == row.name)) if row.is_local else row.role
        now = self._now()
        if role is None or now - row.began_at > lifetimes.whole or now - row.seen_at > lifetimes.idle:
            self.end_session(secret)
            return None
        if is_attended and now - row.seen_at > _SEEN_EVERY:
            with self._database.write() as connection:
                connection.execute(update(sessions).where(sessions.c.digest == row.digest).values(seen_at=now))
        return Person(row.name, Role(role))

    def end_session(self, secret: str) -> None:
        """Sign out."""
        with self._database.write() as connection:
            connection.execute(delete(sessions).where(sessions.c.digest == digest_of(secret)))

    def sweep_sessions(self, lifetimes: Lifetimes) -> int:
        """Take away the sessions that are over; gives how many there were."""
        now = self._now()
        over = (sessions.c.began_at < now - lifetimes.whole) | (sessions.c.seen_at < now - lifetimes.idle)
        with self._database.write() as connection:
            return connection.execute(delete(sessions).where(over)).rowcount

    def add_token(self, name: str, label: str, days: int) -> str:
        """A token for a program of somebody's, shown once; it may do what they may.

        Raises:
            UsageError: there is nobody of that name.
        """
        if self.find(name) is None:
            raise UsageError(f"there is no user {name!r}, or they are disabled")
        token = _TOKEN_PREFIX + secrets.token_urlsafe(_SECRET_BYTES)
        with self._database.write() as connection:
            now = self._now()
            row = {"digest": digest_of(token), "name": name, "label": label[:64], "created_at": now}
            connection.execute(insert(api_tokens).values(**row, expires_at=now + timedelta(days=days)))
            self._tell(connection, AuditAction.TOKEN_ADDED, name, label[:64])
        return token

    def of_token(self, token: str) -> Person | None:
        """Whose token that is; None when it is nobody's any more."""
        query = (
            select(users.c.name, users.c.role)
            .join(api_tokens, api_tokens.c.name == users.c.name)
            .where(
                api_tokens.c.digest == digest_of(token),
                api_tokens.c.revoked_at.is_(None),
                api_tokens.c.expires_at > self._now(),
                users.c.disabled_at.is_(None),
            )
        )
        with self._database.read() as connection:
            row = connection.execute(query).first()
        return Person(row.name, Role(row.role), "token") if row else None

    def revoke_tokens(self, name: str) -> int:
        """Make every token of somebody useless; gives how many there were."""
        held = update(api_tokens).where(api_tokens.c.name == name, api_tokens.c.revoked_at.is_(None))
        with self._database.write() as connection:
            count = connection.execute(held.values(revoked_at=self._now())).rowcount
            self._tell(connection, AuditAction.TOKENS_REVOKED, name, str(count))
        return count

    def tokens(self) -> dict[str, int]:
        """How many tokens that still work each person has."""
        still = (api_tokens.c.revoked_at.is_(None), api_tokens.c.expires_at > self._now())
        query = select(api_tokens.c.name, func.count()).where(*still).group_by(api_tokens.c.name)
        with self._database.read() as connection:
            return {row[0]: row[1] for row in connection.execute(query)}

    def _tell(self, connection: Connection, action: AuditAction, name: str, what: str) -> None:
        details: dict[str, str | int | float] = {"user": name, "what": what}
        audit.append(connection, AuditEvent(self._now(), "operator", action, AuditOutcome.SUCCESS, details=details))


_USER: Final = select(users.c.name, users.c.role, users.c.password, users.c.created_at, users.c.disabled_at)
_ROLE: Final = select(users.c.role).where(users.c.disabled_at.is_(None))


def digest_of(secret: str) -> str:
    """What is kept of a secret that is too long to be guessed."""
    return hashlib.sha256(secret.encode()).hexdigest()


def _user(row: Row[Any, Any, Any, Any, Any]) -> User:
    return User(row.name, Role(row.role), row.password, row.created_at, row.disabled_at)
