"""Who may do what on the page: roles, permissions, and the table that joins them."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final


class Role(StrEnum):
    """What somebody is to the node, in the order of how much they may do."""

    VIEWER = "viewer"
    """Looks at the worklist and at cases."""
    READER = "reader"
    """A radiologist: gives verdicts, enters clinical values and outcomes, sees the monitoring."""
    OPERATOR = "operator"
    """A PACS administrator: has cases run again, puts them first, withdraws results, watches; gives no verdict."""
    ADMIN = "admin"
    """May do everything."""


class Permission(StrEnum):
    """One thing that may be done."""

    SEE_CASES = "see cases"
    GIVE_VERDICT = "give a verdict"
    ENTER_CLINICAL = "enter clinical values"
    RETRY = "have a case run again"
    PRIORITISE = "put a case first"
    SEE_AUDIT = "see the audit trail"
    EXPORT_AUDIT = "export the audit trail"
    EXPORT_VERDICTS = "export verdicts"
    SEE_MONITORING = "see the monitoring"
    ENTER_OUTCOME = "enter outcomes"
    RETRACT = "withdraw a result"
    UNBLIND = "unblind a result"


_MAY: Final[Mapping[Role, frozenset[Permission]]] = MappingProxyType(
    {
        Role.VIEWER: frozenset({Permission.SEE_CASES}),
        Role.READER: frozenset(
            {
                Permission.SEE_CASES,
                Permission.GIVE_VERDICT,
                Permission.ENTER_CLINICAL,
                Permission.ENTER_OUTCOME,
                Permission.SEE_MONITORING,
            }
        ),
        Role.OPERATOR: frozenset(
            {
                Permission.SEE_CASES,
                Permission.RETRY,
                Permission.PRIORITISE,
                Permission.SEE_AUDIT,
                Permission.SEE_MONITORING,
                Permission.RETRACT,
            }
        ),
        Role.ADMIN: frozenset(Permission),
    }
)


def may(role: Role, permission: Permission) -> bool:
    """Whether a role has a permission."""
    return permission in _MAY[role]


def highest(roles: list[Role]) -> Role | None:
    """Of several roles the one that may do most; None of none."""
    order = list(Role)
    return max(roles, key=order.index) if roles else None


@dataclass(frozen=True, slots=True)
class Person:
    """Who is at the other end of a request."""

    name: str
    role: Role
    how: str = "session"
    """``session``, ``token``, or ``local`` where no users are set up."""

    @property
    def actor(self) -> str:
        """What the audit trail calls them."""
        return f"person {self.name}"

    def may(self, permission: Permission) -> bool:
        """Whether they have a permission."""
        return may(self.role, permission)
