"""Roles and what they may do."""

import pytest

from node.domain.access import Permission, Person, Role, highest, may


@pytest.mark.parametrize("permission", Permission)
def test_an_admin_may_do_everything(permission: Permission) -> None:
    """There is nothing that nobody can do."""
    assert may(Role.ADMIN, permission)


def test_a_viewer_only_looks() -> None:
    """And changes nothing."""
    assert {one for one in Permission if may(Role.VIEWER, one)} == {Permission.SEE_CASES}


def test_a_verdict_is_a_readers_word() -> None:
    """Who runs the node does not judge its results."""
    assert may(Role.READER, Permission.GIVE_VERDICT)
    assert not may(Role.OPERATOR, Permission.GIVE_VERDICT)


def test_the_audit_trail_is_not_for_those_whom_it_is_about() -> None:
    """Viewers and readers do not see it."""
    assert not may(Role.VIEWER, Permission.SEE_AUDIT)
    assert not may(Role.READER, Permission.SEE_AUDIT)


def test_of_several_roles_the_one_that_may_do_most_counts() -> None:
    """None of none."""
    assert highest([Role.READER, Role.ADMIN, Role.VIEWER]) is Role.ADMIN
    assert highest([]) is None


def test_a_person_is_named_as_one_in_the_trail() -> None:
    """Apart from workers and peers."""
    person = Person("anna", Role.READER)
    assert person.actor == "person anna"
    assert person.may(Permission.GIVE_VERDICT)
