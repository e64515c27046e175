"""Audit actions: words that other systems and years to come hold on to."""

import re

import pytest

from node.domain.audit import AuditAction


@pytest.mark.parametrize("action", AuditAction)
def test_an_action_says_who_did_what_to_what(action: AuditAction) -> None:
    """``subject:object:action``, and short enough for its column."""
    assert re.fullmatch(r"(node|peer|worker|deliverer|person):[a-z]+:[a-z]+", action.value)
    assert len(action.value) <= 64
