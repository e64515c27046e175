"""Clinical values as people enter them: kept with whom they are of and who said so, or not at all."""

import pytest

from node.domain.access import Person, Role
from node.domain.imaging import PatientIdentity
from node.errors import UsageError
from node.web.entering import Given, given, keep, variables
from tests.page import PageUnderTest

READER = Person("reader", Role.READER)
PATIENT = PatientIdentity("PAT-7", "HOSPITAL")


def test_a_value_is_kept_with_its_moment_and_name(page: PageUnderTest) -> None:
    """Nothing begins again where there are no images."""
    assert keep(page.site, READER, PATIENT, Given("cea", "5", "ng/mL", "2024-05-01T10:00+02:00")) == ()
    (known,) = page.stores.clinical.all()
    assert known.received.patient == PATIENT
    assert known.received.by == "reader"
    moment = known.received.read.raw.observed_at
    assert moment is not None
    assert f"{moment.timestamp():.0f}" == "1714550400"


@pytest.mark.parametrize("observed", ["soon", "0001-01-01T00:00", "2024-13-01"])
def test_a_moment_that_there_is_not_is_said(page: PageUnderTest, observed: str) -> None:
    """And nothing is kept."""
    with pytest.raises(UsageError):
        keep(page.site, READER, PATIENT, Given("cea", "5", "ng/mL", observed))
    assert page.stores.clinical.all() == ()


def test_what_no_database_takes_is_left_out() -> None:
    """A null character in a form."""
    assert given("cea\x00", "5\x00", "ng/mL", "\x00") == Given("cea", "5", "ng/mL", "")


def test_everything_that_can_be_entered_is_offered_with_its_units_or_words() -> None:
    """By name; nothing has neither."""
    offered = variables()
    assert [one["key"] for one in offered] == sorted(one["key"] for one in offered)
    assert all(bool(one["units"]) != bool(one["words"]) for one in offered)
