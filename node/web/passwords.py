"""Passwords: argon2id (RFC 9106) as the library recommends it; no answer tells by its time whether a name exists."""

from functools import cache
from typing import Final

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from node.errors import UsageError

SHORTEST: Final = 12
"""Characters; NIST SP 800-63B asks for length rather than for kinds of character."""
LONGEST: Final = 256

_HASHER: Final = PasswordHasher()


def hashed(password: str) -> str:
    """What is kept of a password.

    Raises:
        UsageError: it is too short or too long.
    """
    if not SHORTEST <= len(password) <= LONGEST:
        raise UsageError(f"a password has {SHORTEST} to {LONGEST} characters")
    return _HASHER.hash(password)


def is_right(kept: str | None, password: str) -> bool:
    """Whether a password is the one that ``kept`` was made of; ``kept`` None: takes as long, and is never right."""
    try:
        _HASHER.verify(kept or _nobodys(), password[:LONGEST])
    except (VerificationError, InvalidHashError):
        return False
    return bool(kept)


def is_outdated(kept: str) -> bool:
    """Whether the library recommends other parameters by now."""
    return _HASHER.check_needs_rehash(kept)


@cache
def _nobodys() -> str:
    return _HASHER.hash("of nobody at all")
