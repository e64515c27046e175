"""Passwords are kept as argon2id and never as themselves."""

import pytest

from node.errors import UsageError
from node.web import passwords
from tests.page import HASHED, PASSWORD


def test_what_is_kept_is_argon2id() -> None:
    """And not outdated."""
    assert HASHED.startswith("$argon2id$")
    assert PASSWORD not in HASHED
    assert not passwords.is_outdated(HASHED)


def test_the_right_one_is_right_and_no_other() -> None:
    """Nobody's password is never right, nor is one against a damaged hash."""
    assert passwords.is_right(HASHED, PASSWORD)
    assert not passwords.is_right(HASHED, PASSWORD + " ")
    assert not passwords.is_right(None, "of nobody at all")
    assert not passwords.is_right("nonsense", PASSWORD)
    assert not passwords.is_right("", "")


def test_weaker_parameters_of_old_are_outdated() -> None:
    """So that the hash is renewed when somebody signs in."""
    assert passwords.is_outdated("$argon2id$v=19$m=8,t=1,p=1$c2FsdHNhbHQ$tUg2ah4rwL/tmFcH5aA6Og")


@pytest.mark.parametrize("password", ["", "eleven char", "x" * 257])
def test_length_is_asked_for(password: str) -> None:
    """Twelve characters, and not so many that hashing becomes an attack."""
    with pytest.raises(UsageError, match="characters"):
        passwords.hashed(password)
