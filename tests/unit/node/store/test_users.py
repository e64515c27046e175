"""People, sessions and tokens: who is let in, and for how long."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text

from node.domain.access import Role
from node.errors import UsageError
from node.store.session import Database
from node.store.users import Lifetimes, UserStore

LIFETIMES = Lifetimes(idle=timedelta(minutes=30), whole=timedelta(hours=12))


@dataclass
class Now:
    """A clock to wind on."""

    at: datetime = datetime(2026, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        """The time."""
        return self.at

    def wind(self, **by: float) -> None:
        """Let time pass."""
        self.at += timedelta(**by)


@pytest.fixture
def now() -> Now:
    """The first of January."""
    return Now()


@pytest.fixture
def users(database: Database, now: Now) -> UserStore:
    """Nobody yet."""
    return UserStore(database, now)


@pytest.fixture
def anna(users: UserStore) -> UserStore:
    """Anna, a reader."""
    users.add("anna", "hash", Role.READER)
    return users


def test_nobody_is_there_at_first(users: UserStore) -> None:
    """An empty store says so, and knows nobody."""
    assert users.is_empty()
    assert not users.any_enabled()
    assert users.find("anna") is None


def test_somebody_who_was_added_is_found_with_the_role(anna: UserStore) -> None:
    """And the store is not empty any more."""
    found = anna.find("anna")
    assert found is not None
    assert (found.name, found.role, found.password) == ("anna", Role.READER, "hash")
    assert anna.any_enabled()
    assert not anna.is_empty()


@pytest.mark.parametrize("name", ["", " anna", "a" * 65, "anna\n", "<b>", "-anna"])
def test_what_is_no_name_is_refused(users: UserStore, name: str) -> None:
    """Names go into audit rows and shells."""
    with pytest.raises(UsageError, match="name"):
        users.add(name, "hash", Role.VIEWER)


def test_nobody_is_of_what_is_no_name(anna: UserStore) -> None:
    """No database takes a null character as a text, and none is asked."""
    assert anna.find("anna") is not None
    assert anna.find("an\x00na") is None


def test_a_session_holds_for_as_long_as_somebody_does_something(anna: UserStore, now: Now) -> None:
    """Half an hour of nothing ends it."""
    secret = anna.begin_session("anna", Role.READER, is_local=True)
    for _ in range(5):
        now.wind(minutes=29)
        person = anna.of_session(secret, LIFETIMES)
        assert person is not None
        assert person.name == "anna"
    now.wind(minutes=31)
    assert anna.of_session(secret, LIFETIMES) is None
    now.wind(minutes=-31)
    assert anna.of_session(secret, LIFETIMES) is None


def test_a_page_that_is_left_open_keeps_nobody_signed_in(anna: UserStore, now: Now) -> None:
    """It asks for what has changed, every few seconds, and nobody sits before it."""
    secret = anna.begin_session("anna", Role.READER, is_local=True)
    for _ in range(3):
        now.wind(minutes=9)
        assert anna.of_session(secret, LIFETIMES, is_attended=False) is not None
    now.wind(minutes=4)
    assert anna.of_session(secret, LIFETIMES, is_attended=False) is None


def test_a_session_ends_after_a_shift_whatever_is_done(anna: UserStore, now: Now) -> None:
    """Twelve hours, and everybody signs in again."""
    secret = anna.begin_session("anna", Role.READER, is_local=True)
    for _ in range(26):
        now.wind(minutes=28)
        last = anna.of_session(secret, LIFETIMES)
    assert last is None


def test_a_session_that_was_ended_is_over(anna: UserStore) -> None:
    """Signing out is not only a matter of the browser."""
    secret = anna.begin_session("anna", Role.READER, is_local=True)
    anna.end_session(secret)
    assert anna.of_session(secret, LIFETIMES) is None


def test_the_database_does_not_hold_what_a_cookie_holds(anna: UserStore, database: Database) -> None:
    """Whoever reads the tables cannot sign in with them."""
    secret = anna.begin_session("anna", Role.READER, is_local=True)
    token = anna.add_token("anna", "script", days=1)
    with database.read() as connection:
        kept = str(
            [*connection.execute(text("SELECT * FROM sessions")), *connection.execute(text("SELECT * FROM api_tokens"))]
        )
    assert secret not in kept
    assert token not in kept


def test_a_new_role_counts_at_once_and_a_new_password_ends_sessions(anna: UserStore) -> None:
    """Whoever got hold of the old password is out."""
    secret = anna.begin_session("anna", Role.READER, is_local=True)
    anna.add("anna", "other hash", Role.ADMIN)
    assert anna.of_session(secret, LIFETIMES) is None
    found = anna.find("anna")
    assert found is not None
    assert found.role is Role.ADMIN


def test_whoever_is_disabled_is_out_everywhere(anna: UserStore) -> None:
    """Password, session and token; and the store is not empty, so that the page does not open to all."""
    secret = anna.begin_session("anna", Role.READER, is_local=True)
    token = anna.add_token("anna", "script", days=1)
    anna.disable("anna")
    assert anna.find("anna") is None
    assert anna.of_session(secret, LIFETIMES) is None
    assert anna.of_token(token) is None
    assert not anna.any_enabled()
    assert not anna.is_empty()
    with pytest.raises(UsageError, match="no user"):
        anna.disable("berta")


def test_a_token_does_what_its_person_may_until_it_ends(anna: UserStore, now: Now) -> None:
    """A day is a day."""
    token = anna.add_token("anna", "script", days=1)
    person = anna.of_token(token)
    assert person is not None
    assert (person.name, person.role, person.how) == ("anna", Role.READER, "token")
    assert anna.of_token(token + "x") is None
    now.wind(days=1)
    assert anna.of_token(token) is None


def test_revoked_tokens_are_useless(anna: UserStore) -> None:
    """All of somebody's, at once; a new one works again."""
    old = anna.add_token("anna", "script", days=1)
    assert anna.tokens() == {"anna": 1}
    assert anna.revoke_tokens("anna") == 1
    assert anna.of_token(old) is None
    assert anna.of_token(anna.add_token("anna", "script", days=1)) is not None


def test_a_token_needs_its_person(users: UserStore) -> None:
    """Nobody's token is refused."""
    with pytest.raises(UsageError, match="no user"):
        users.add_token("nobody", "script", days=1)


def test_people_of_a_provider_need_no_account_here(users: UserStore) -> None:
    """Their session carries the role that the provider gave."""
    person = users.of_session(users.begin_session("carla", Role.OPERATOR, is_local=False), LIFETIMES)
    assert person is not None
    assert (person.name, person.role) == ("carla", Role.OPERATOR)


def test_sessions_that_are_over_are_swept_up(anna: UserStore, now: Now) -> None:
    """And those that are not stay."""
    anna.begin_session("anna", Role.READER, is_local=True)
    now.wind(hours=1)
    kept = anna.begin_session("anna", Role.READER, is_local=True)
    assert anna.sweep_sessions(LIFETIMES) == 1
    assert anna.of_session(kept, LIFETIMES) is not None


def test_a_hash_can_be_renewed(anna: UserStore) -> None:
    """Parameters grow; the role stays."""
    anna.replace_password("anna", "newer")
    found = anna.find("anna")
    assert found is not None
    assert (found.password, found.role) == ("newer", Role.READER)
    assert [user.name for user in anna.all()] == ["anna"]
